/** One byte there and back over one connection, and how many connections a second can be made. */
import { CONNECTS_PORT, ECHO_PORT, SERVICE_ADDRESS } from "../contender.js";
import { PYTHON, runEcho, startEcho } from "../programs.js";
import type { Scenario } from "../scenario.js";

const WARM_UP_SECONDS = 6;
const QUANTILES = ["p50", "p99", "p99.9"];

export const trips: Scenario = {
  name: "round-trip",
  rounds: ["1 byte"],
  needs: [PYTHON],
  async prepare({ laptop, cluster }, { target }) {
    await startEcho(cluster, SERVICE_ADDRESS, ECHO_PORT);
    // Not measured: handshakes, and for whom it applies, compiling.
    await runEcho(laptop, "trips", target, ECHO_PORT, WARM_UP_SECONDS);
  },
  async measure(_round, { laptop }, { target }, seconds) {
    const { us } = await runEcho<{ us: number[] }>(laptop, "trips", target, ECHO_PORT, seconds);
    return us.map((value, i) => ({ variant: QUANTILES[i] as string, unit: "µs", value }));
  },
};

export const connects: Scenario = {
  name: "connects",
  rounds: ["8 at once"],
  needs: [PYTHON],
  async prepare({ cluster }) {
    await startEcho(cluster, SERVICE_ADDRESS, CONNECTS_PORT);
  },
  async measure(round, { laptop }, { target }, seconds) {
    const { perSecond } = await runEcho<{ perSecond: number }>(
      laptop,
      "connects",
      target,
      CONNECTS_PORT,
      seconds,
    );
    return [{ variant: round, unit: "connections/s", value: perSecond }];
  },
};
