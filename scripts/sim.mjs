/** `npm run sim [-- --seeds N --seed S --no-table --json]`: the stack under a virtual clock (test/netstack/sim). */
import { makeReady, runScript } from "./ready.mjs";

makeReady();
process.exitCode = await runScript("dist/test/netstack/sim/main.js", process.argv.slice(2));
