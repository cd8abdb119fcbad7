/**
 * Many flows: 5,000 that are idle, a thousand that speak a little (two messages of 100 bytes a second on each).
 * Memory and processor time are those of both ends together; kernels' own are in nobody's figures.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { MANY_PORT, SERVICE_ADDRESS } from "../contender.js";
import { cpuSeconds, residentMB } from "../cpu.js";
import { holdFlows, PYTHON, startActive, startMany } from "../programs.js";
import type { Figure, Scenario } from "../scenario.js";

/** Not measured: compiling, for whom it applies. */
const WARM_UP_SECONDS = 3;
/** Delayed ACKs and window updates are done by then. */
const SETTLE_MS = 2_000;
const IDLE_FLOWS = 5_000;
const ACTIVE_FLOWS = 1_000;

/** Of a contender that has processes. */
function cost(round: string, pids: readonly number[], used: number, seconds: number): Figure[] {
  if (pids.length === 0) return [];
  const resident = pids.map(residentMB).reduce((sum, each) => sum + each, 0);
  return [
    { variant: `${round}, CPU`, unit: "% of a core", value: (used / seconds) * 100 },
    { variant: `${round}, resident`, unit: "MB", value: resident },
  ];
}

export const flows: Scenario = {
  name: "flows",
  // What thousands of flows leave to be cleared up must not meet those that are timed.
  rounds: [`${ACTIVE_FLOWS} active`, `${IDLE_FLOWS} idle`],
  needs: [PYTHON],
  maxRuns: 3,
  // It opens some sixty connections a second.
  maxRunsOf: { sshuttle: 0 },
  async prepare({ laptop, cluster }, { target }) {
    await startMany(cluster, SERVICE_ADDRESS, MANY_PORT);
    const { done } = await startActive(laptop, target, MANY_PORT, WARM_UP_SECONDS);
    await done;
  },
  async measure(round, { laptop }, running, seconds) {
    const { target } = running;
    const pids = await running.pids();
    if (round.endsWith("idle")) {
      const holder = await holdFlows(laptop, target, MANY_PORT, IDLE_FLOWS);
      await sleep(SETTLE_MS);
      const before = cpuSeconds(pids);
      await sleep(seconds * 1000);
      const figures = cost(round, pids, cpuSeconds(pids) - before, seconds);
      await holder.stop();
      return figures;
    }
    const { done } = await startActive(laptop, target, MANY_PORT, seconds);
    const before = cpuSeconds(pids);
    const [p50 = 0, p99 = 0] = await done;
    const used = cpuSeconds(pids) - before;
    return [
      { variant: `${round}, p50`, unit: "µs", value: p50 },
      { variant: `${round}, p99`, unit: "µs", value: p99 },
      ...cost(round, pids, used, seconds),
    ];
  },
};
