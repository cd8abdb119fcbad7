/**
 * Bulk transfer by iperf3 between the laptop and a service of the cluster: "8-up" is eight flows from the laptop,
 * "1-both" one flow each way at once, both counted together.
 */
import { eventually } from "../../test/lab/program.js";
import { type IperfResult, runIperf, startIperf } from "../../test/lab/programs.js";
import type { Topology } from "../../test/lab/topology.js";
import { SERVICE_ADDRESS } from "../contender.js";
import { type Usage, usage } from "../cpu.js";
import type { Scenario } from "../scenario.js";

const WARM_UP_SECONDS = 3;

/** An iperf3 server that just served somebody may still be clearing up. */
export function transfer(...run: Parameters<typeof runIperf>): Promise<IperfResult> {
  return eventually("iperf3", () => runIperf(...run), 5_000, 200);
}

/** What is not to be measured: handshakes, congestion windows, and for whom it applies, compiling. */
export async function warmUp(
  laptop: Topology["laptop"],
  target: string,
  options: string[] = [],
): Promise<void> {
  await transfer(laptop, target, "up", WARM_UP_SECONDS, options);
  await transfer(laptop, target, "down", WARM_UP_SECONDS, options);
}

export const bulk: Scenario = {
  name: "bulk",
  rounds: ["1-up", "1-down", "8-up", "8-down", "1-both"],
  needs: ["iperf3"],
  // Those that are far behind, and the ceiling.
  maxRunsOf: { "wireguard-go-debian": 3, boringtun: 3, sshuttle: 2, none: 3 },
  async prepare({ laptop, cluster }, { target }) {
    await startIperf(cluster, SERVICE_ADDRESS);
    await warmUp(laptop, target);
  },
  async measure(round, { laptop }, running, seconds) {
    const [flows = "1", direction] = round.split("-") as [string, "up" | "down" | "both"];
    const pids = await running.pids();
    const before = pids.map(usage);
    const { gigabitsPerSecond, bytes } = await transfer(laptop, running.target, direction, seconds, [
      "--parallel",
      flows,
    ]);
    const after = pids.map(usage);
    const perGB = (name: keyof Usage, i: number): number =>
      ((after[i] as Usage)[name] - (before[i] as Usage)[name]) / (bytes / 1e9);
    const ends = pids.map((_, i) => ({
      user: perGB("user", i),
      system: perGB("system", i),
      switches: perGB("switches", i),
    }));
    const cpuSecondsPerGB = ends.reduce((sum, { user, system }) => sum + user + system, 0);
    return [
      {
        variant: round,
        unit: "Gbit/s",
        value: gigabitsPerSecond,
        ...(pids.length > 0 ? { cpuSecondsPerGB, ends } : {}),
      },
    ];
  },
};
