/** `npm run lab:vpn [-- --json] [--only=NAME]`: the coexistence matrix. */
import { makeReady, runScript } from "./ready.mjs";
import { installSystemPackages } from "./system-packages.mjs";

installSystemPackages();
makeReady();
process.exitCode = await runScript("dist/test/lab/vpn/main.js", process.argv.slice(2));
