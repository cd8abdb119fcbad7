/** `npm run bench -- SCENARIO… [--peers a,b] [--runs N] [--seconds S] [--json FILE]`. */
import { makeReady, runScript } from "../scripts/ready.mjs";

makeReady();
process.exitCode = await runScript("dist/bench/main.js", process.argv.slice(2));
