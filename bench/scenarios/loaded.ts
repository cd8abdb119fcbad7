/** One byte there and back beside a transfer of eight flows: how long the queues are that a contender makes for itself. */
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../../test/lab/program.js";
import { startIperf } from "../../test/lab/programs.js";
import { LOAD_PORT, LOADED_ECHO_PORT, SERVICE_ADDRESS } from "../contender.js";
import { PYTHON, runEcho, startEcho } from "../programs.js";
import type { Scenario } from "../scenario.js";
import { transfer, warmUp } from "./bulk.js";

/** Before and after: the transfer is under way. */
const MARGIN_SECONDS = 1;
/** The server of the transfer may still be clearing up after the one before: then both are begun again. */
const PATIENCE_MS = 60_000;
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
    await warmUp(laptop, target, LOAD);
  },
  async measure(round, { laptop }, { target }, seconds) {
    const direction = round === "8-up" ? "up" : "down";
    const ask = async (): Promise<number[]> => {
      await sleep(MARGIN_SECONDS * 1000);
      return (await runEcho<{ us: number[] }>(laptop, "trips", target, LOADED_ECHO_PORT, seconds)).us;
    };
    const askBesideLoad = async (): Promise<number[]> => {
      const loadSeconds = seconds + 2 * MARGIN_SECONDS;
      const latest = performance.now() + 1000 * (loadSeconds + MARGIN_SECONDS / 2);
      const [us] = await Promise.all([ask(), transfer(laptop, target, direction, loadSeconds, LOAD)]);
      if (performance.now() > latest) throw new Error("the transfer began late, as its server was busy");
      return us;
    };
    const us = await eventually("a transfer beside round trips", askBesideLoad, PATIENCE_MS, 0);
    return QUANTILES.map((name, i) => ({
      variant: `beside ${round}, ${name}`,
      unit: "µs",
      value: us[i] as number,
    }));
  },
};
