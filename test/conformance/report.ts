/** The table of what was seen, and the exit code. */
import type { Scenario } from "./scenario.js";

export interface Outcome {
  scenario: Scenario;
  ours: string;
  linux: string;
}

type Verdict = "same" | "different" | "FAILED";

export function judge({ scenario, ours, linux }: Outcome): { verdict: Verdict; remarks: string[] } {
  const remarks: string[] = [];
  if (ours !== scenario.expected) remarks.push(`expected of ours: ${scenario.expected}`);
  if (linux !== ours && linux !== scenario.linux?.shows)
    remarks.push("Linux differs without a stated reason");
  if (remarks.length > 0) return { verdict: "FAILED", remarks };
  if (linux === ours) return { verdict: "same", remarks };
  return { verdict: "different", remarks: [`why: ${scenario.linux?.why}`] };
}

export function report(outcomes: readonly Outcome[], seconds: number, json: boolean): number {
  const count: Record<Verdict, number> = { same: 0, different: 0, FAILED: 0 };
  for (const outcome of outcomes) {
    const { scenario, ours, linux } = outcome;
    const { verdict, remarks } = judge(outcome);
    count[verdict]++;
    console.log(`${verdict.padEnd(10)} ${scenario.name}  [${scenario.rfc}]`);
    const seen = ours === linux ? [`both:  ${ours}`] : [`ours:  ${ours}`, `Linux: ${linux}`];
    for (const line of [...seen, ...remarks]) console.log(`           ${line}`);
  }
  const total = outcomes.length;
  console.log(
    `${total} scenarios in ${seconds.toFixed(1)} s: ${count.same} same as Linux, ` +
      `${count.different} different with a reason, ${count.FAILED} failed`,
  );
  if (json) {
    console.log(JSON.stringify({ scenarios: total, failed: count.FAILED, different: count.different }));
  }
  return count.FAILED === 0 && total > 0 ? 0 : 1;
}
