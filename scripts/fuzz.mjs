/** `npm run fuzz [-- --seconds S --executions N --json]`: forged packets into the TCP/IP stack (test/netstack/fuzz). */
import { makeReady, runScript } from "./ready.mjs";

makeReady();
process.exitCode = await runScript("dist/test/netstack/fuzz/main.js", process.argv.slice(2));
