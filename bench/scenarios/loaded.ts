/** One byte there and back beside a transfer of eight flows: how long the queues are that a contender makes for itself. */
import { setTimeout as sleep } from "node:timers/promises";
import { startIperf } from "../../test/lab/programs.js";
import { LOAD_PORT, LOADED_ECHO_PORT, SERVICE_ADDRESS } from "../contender.js";
import { PYTHON, runEcho, startEcho } from "../programs.js";
import type { Scenario } from "../scenario.js";
import { transfer } from "./bulk.js";

/** Before and after: the transfer is under way. */
const MARGIN_SECONDS = 1;
const WARM_UP_SECONDS = 3;
const QUANTILES = ["p50", "p99"];
const LOAD = ["--parallel", "8", "--port", String(LOAD_PORT)];

export const loaded: Scenario = {
  name: "round-trip-loaded",
  rounds: ["8-up", "8-down"],
  needs: [PYTHON, "iperf3"],
  maxRuns: 3,
  maxRunsOf: { sshuttle: 0 },
  async prepare({ laptop, cluster }, { target }) {
    await startEcho(cluster, SERVICE_ADDRESS, LOADED_ECHO_PORT);
    await startIperf(cluster, SERVICE_ADDRESS, LOAD_PORT);
    // Not measured: handshakes, congestion windows, and for whom it applies, compiling.
    await transfer(laptop, target, "up", WARM_UP_SECONDS, LOAD);
    await transfer(laptop, target, "down", WARM_UP_SECONDS, LOAD);
  },
  async measure(round, { laptop }, { target }, seconds) {
    const direction = round === "8-up" ? "up" : "down";
    const ask = async (): Promise<number[]> => {
      await sleep(MARGIN_SECONDS * 1000);
      return (await runEcho<{ us: number[] }>(laptop, "trips", target, LOADED_ECHO_PORT, seconds)).us;
    };
    const load = transfer(laptop, target, direction, seconds + 2 * MARGIN_SECONDS, LOAD);
    const [us] = await Promise.all([ask(), load]);
    return QUANTILES.map((name, i) => ({
      variant: `beside ${round}, ${name}`,
      unit: "µs",
      value: us[i] as number,
    }));
  },
};
