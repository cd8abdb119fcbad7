/**
 * `npm run unit:newest-node`: the unit tier on the newest Node there is, whose binary comes from the package
 * registry into `.cache/`. Everything else stays as it is.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import { makeReady, ROOT } from "./ready.mjs";

const PACKAGE = `node-linux-${process.arch}`;
const PREFIX = join(ROOT, ".cache/newest-node");
const BIN = join(PREFIX, "node_modules", PACKAGE, "bin");

makeReady();
mkdirSync(PREFIX, { recursive: true });
const install = ["install", "--prefix", PREFIX, "--no-save", "--ignore-scripts", `${PACKAGE}@latest`];
if (spawnSync("npm", install, { stdio: ["ignore", 2, 2] }).status !== 0) {
  console.error(`cannot install ${PACKAGE}`);
  process.exit(1);
}
const node = join(BIN, "node");
console.log(`Node ${spawnSync(node, ["--version"], { encoding: "utf8" }).stdout.trim()}`);
// Tests start further Node processes by name as well.
const env = { ...process.env, PATH: `${BIN}${delimiter}${process.env.PATH}` };
const tap = [join(ROOT, "node_modules/.bin/tap"), "run", "--reporter=terse", ...process.argv.slice(2)];
process.exitCode = spawnSync(node, tap, { cwd: ROOT, env, stdio: "inherit" }).status ?? 1;
