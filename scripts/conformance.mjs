/** `npm run conformance [-- --json] [NAME…]`: our stack beside Linux, packet by packet (test/conformance). */
import { makeReady, runScript } from "./ready.mjs";

makeReady();
process.exitCode = await runScript("dist/test/conformance/main.js", process.argv.slice(2));
