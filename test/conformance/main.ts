/**
 * `npm run conformance [-- --json] [NAME…]`: the table of what our stack and Linux show in each scenario.
 *
 * A scenario fails when our stack shows something else than expected, or when Linux differs in a way that the
 * scenario does not explain. The last line with `--json` is `{"scenarios","failed","different"}`.
 */
import { missing } from "../lab/lab.js";
import { inSandbox } from "../lab/sandbox.js";
import { report } from "./report.js";
import { runScenarios } from "./run.js";

const words = process.argv.slice(2);
const lacks = missing(["/dev/net/tun", "ip", "unshare"]);
if (lacks.length > 0) {
  console.error(`needs ${lacks.join(", ")}`);
  process.exitCode = 4;
} else {
  const wanted = words.filter(word => word !== "--json");
  await inSandbox(import.meta.url, async sandbox => {
    const start = performance.now();
    const outcomes = await runScenarios(sandbox, wanted);
    return report(outcomes, (performance.now() - start) / 1000, words.includes("--json"));
  });
}
