/** Many flows that speak a little: a thousand connections, two messages of 100 bytes a second on each. */
import { ECHO_PORT, SERVICE_ADDRESS } from "../contender.js";
import { cpuSeconds } from "../cpu.js";
import { ECHO, PYTHON, runEcho } from "../programs.js";
import type { Scenario } from "../scenario.js";

export const flows: Scenario = {
  name: "flows",
  rounds: ["1000 active"],
  needs: [PYTHON],
  async prepare({ cluster }) {
    cluster.spawn(PYTHON, [ECHO, "many", SERVICE_ADDRESS, String(ECHO_PORT)]);
    await cluster.waitForPort(ECHO_PORT);
  },
  async measure(round, { laptop }, running, seconds) {
    const pids = await running.pids();
    const before = cpuSeconds(pids);
    const { us } = await runEcho<{ us: [number, number] }>(
      laptop,
      "active",
      running.target,
      ECHO_PORT,
      seconds,
    );
    const share = ((cpuSeconds(pids) - before) / seconds) * 100;
    return [
      { variant: `${round}, p50`, unit: "µs", value: us[0] },
      { variant: `${round}, p99`, unit: "µs", value: us[1] },
      ...(pids.length > 0 ? [{ variant: `${round}, CPU`, unit: "% of a core", value: share }] : []),
    ];
  },
};
