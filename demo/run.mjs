/** `npm run demo`: works in a fresh clone. What is missing is installed and built first. */
import { makeReady, runScript } from "../scripts/ready.mjs";

makeReady();
process.exitCode = await runScript("dist/demo/main.js", process.argv.slice(2));
