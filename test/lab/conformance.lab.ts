/**
 * The stack beside the Linux kernel, packet by packet: every scenario of `npm run conformance` is a check of ours.
 * What this machine's kernel shows is told; that another version may show something else fails nothing here.
 */
import { judge, type Outcome } from "../conformance/report.js";
import { runScenarios } from "../conformance/run.js";
import { missing } from "./lab.js";
import { inSandbox } from "./sandbox.js";

const lacks = missing(["/dev/net/tun", "ip", "unshare"]);
if (lacks.length > 0) {
  console.log(`ok 1 - conformance # SKIP needs ${lacks.join(", ")}\n1..1`);
} else {
  await inSandbox(import.meta.url, async sandbox => {
    const outcomes = await runScenarios(sandbox);
    let failed = 0;
    for (const [i, outcome] of outcomes.entries()) if (!tell(i + 1, outcome)) failed++;
    console.log(`1..${outcomes.length}`);
    return failed === 0 && outcomes.length > 0 ? 0 : 1;
  });
}

function tell(number: number, outcome: Outcome): boolean {
  const { scenario, ours, linux } = outcome;
  const { verdict, remarks } = judge(outcome);
  const ok = ours === scenario.expected;
  console.log(`${ok ? "ok" : "not ok"} ${number} - ${scenario.name} [${scenario.rfc}]`);
  if (verdict === "FAILED") {
    for (const line of [`ours:  ${ours}`, `Linux: ${linux}`, ...remarks]) console.log(`#   ${line}`);
  }
  return ok;
}
