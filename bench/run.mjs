/**
 * `npm run bench -- SCENARIO… [--peers a,b] [--runs N] [--seconds S] [--json FILE]`; with `--report` alone: a full run,
 * and `bench/RESULTS.md` from it.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { makeReady, ROOT, runScript } from "../scripts/ready.mjs";

makeReady();
const args = process.argv.slice(2);
if (args[0] === "--report") {
  mkdirSync(join(ROOT, ".cache"), { recursive: true });
  const json = join(ROOT, ".cache/bench.json");
  // A contender that could not be started leaves a gap in the report, which is worth having all the same.
  await runScript("dist/bench/main.js", [...args.slice(1), "--json", json]);
  process.exitCode = await runScript("dist/bench/report.js", [json]);
} else {
  process.exitCode = await runScript("dist/bench/main.js", args);
}
