/** Whether memory grows: ten minutes of transfers, and of connections that come and go. */
import { startIperf } from "../../test/lab/programs.js";
import { ECHO_PORT, SERVICE_ADDRESS } from "../contender.js";
import { czctl } from "../contenders/czctl.js";
import { residentMB } from "../cpu.js";
import { PYTHON, runEcho, startEcho } from "../programs.js";
import { median } from "../results.js";
import type { Scenario } from "../scenario.js";
import { transfer } from "./bulk.js";

const MINUTES = 10;
const STEP_SECONDS = 5;

export const growth: Scenario = {
  name: "growth",
  rounds: [`${MINUTES} minutes`],
  needs: [PYTHON, "iperf3"],
  contenders: [czctl],
  maxRuns: 1,
  async prepare({ cluster }) {
    await startEcho(cluster, SERVICE_ADDRESS, ECHO_PORT);
    await startIperf(cluster, SERVICE_ADDRESS);
  },
  async measure(round, { laptop }, running) {
    const pids = await running.pids();
    const samples: number[] = [];
    for (const end = performance.now() + MINUTES * 60_000; performance.now() < end; ) {
      await transfer(laptop, running.target, "up", STEP_SECONDS);
      await transfer(laptop, running.target, "down", STEP_SECONDS);
      await runEcho(laptop, "connects", running.target, ECHO_PORT, STEP_SECONDS);
      samples.push(Math.max(...pids.map(residentMB)));
    }
    // The first third compiles, fills caches and finds its heap's size.
    const third = Math.floor(samples.length / 3);
    const [middle, last] = [samples.slice(third, 2 * third), samples.slice(2 * third)].map(median) as [
      number,
      number,
    ];
    return [
      { variant: `${round}, resident at the end`, unit: "MB", value: last },
      { variant: `${round}, last third over the second`, unit: "MB", value: last - middle },
    ];
  },
};
