/** Bulk transfer by iperf3 between the laptop and a service of the cluster: "1-up" is one flow from the laptop. */
import { runIperf, startIperf } from "../../test/lab/programs.js";
import { SERVICE_ADDRESS } from "../contender.js";
import { cpuSeconds } from "../cpu.js";
import type { Scenario } from "../scenario.js";

export const bulk: Scenario = {
  name: "bulk",
  variants: ["1-up", "1-down"],
  unit: "Gbit/s",
  needs: ["iperf3"],
  async prepare({ cluster }) {
    await startIperf(cluster, SERVICE_ADDRESS);
  },
  async measure(variant, { laptop }, running, seconds) {
    const direction = variant.endsWith("up") ? "up" : "down";
    const pids = await running.pids();
    const before = cpuSeconds(pids);
    const { gigabitsPerSecond, bytes } = await runIperf(laptop, running.target, direction, seconds);
    const used = cpuSeconds(pids) - before;
    return {
      value: gigabitsPerSecond,
      ...(pids.length > 0 ? { cpuSecondsPerGB: used / (bytes / 1e9) } : {}),
    };
  },
};
