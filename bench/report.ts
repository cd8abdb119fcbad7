/** Writes `bench/RESULTS.md` and `bench/charts` from the JSON of one or more runs; of a scenario, the last one counts. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./peers.js";
import { render } from "./render.js";
import { merge, type Report } from "./results.js";

const [first, ...others] = process.argv
  .slice(2)
  .map(file => JSON.parse(readFileSync(file, "utf8")) as Report);
if (first === undefined) throw new Error("usage: node dist/bench/report.js FILE.json…");
const notes = readFileSync(join(ROOT, "bench/notes.md"), "utf8");
const { text, charts } = render(merge(first, ...others), notes);
const dir = join(ROOT, "bench/charts");
// A variant that is gone takes its chart with it.
rmSync(dir, { recursive: true, force: true });
mkdirSync(dir, { recursive: true });
for (const { file, svg } of charts) writeFileSync(join(dir, file), svg);
writeFileSync(join(ROOT, "bench/RESULTS.md"), text);
