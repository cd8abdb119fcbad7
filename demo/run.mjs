/** `npm run demo`: works in a fresh clone. What is missing is installed and built first. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { makeReady, ROOT } from "../scripts/ready.mjs";

makeReady();
// The terminal sends Ctrl-C to the child as well; it tidies up, and this process waits for it.
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => {});
const args = [join(ROOT, "dist/demo/main.js"), ...process.argv.slice(2)];
const { status } = spawnSync(process.execPath, args, { stdio: "inherit" });
process.exitCode = status ?? 130;
