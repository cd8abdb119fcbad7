/**
 * `npm run bench -- SCENARIO… [--peers a,b] [--runs N] [--seconds S] [--json FILE [--resume]]`; with `--report` first:
 * a full run, and `bench/RESULTS.md` from it. `--report --resume` measures what an interrupted one has not, or the
 * scenarios that are named.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { makeReady, ROOT, runScript } from "../scripts/ready.mjs";

const [USAGE, INTERRUPTED] = [2, 130];

makeReady();
const args = process.argv.slice(2);
if (args[0] === "--report") {
  mkdirSync(join(ROOT, ".cache"), { recursive: true });
  const json = join(ROOT, ".cache/bench.json");
  const code = await runScript("dist/bench/main.js", [...args.slice(1), "--json", json]);
  process.exitCode = code;
  if (code === INTERRUPTED) {
    console.error("interrupted: npm run bench -- --report --resume goes on after the last whole scenario");
  } else if (code !== USAGE) {
    // A contender that could not be started leaves a gap in the report, which is worth having all the same.
    process.exitCode = (await runScript("dist/bench/report.js", [json])) || code;
  }
} else {
  process.exitCode = await runScript("dist/bench/main.js", args);
}
