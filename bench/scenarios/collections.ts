/**
 * What the garbage collector takes of both data planes in their first bulk transfers, one each way: V8's own account
 * (`--trace-gc`), one line per collection.
 */
import { startIperf } from "../../test/lab/programs.js";
import { SERVICE_ADDRESS } from "../contender.js";
import { type RunningCzctl, tracedCzctl } from "../contenders/czctl.js";
import { ageMs } from "../cpu.js";
import type { Figure, Scenario } from "../scenario.js";
import { transfer } from "./bulk.js";

/** "[PID:…] 71 ms: Mark-Compact 6.5 (10.9) -> 5.4 (10.6) MB, 1.62 / 0.00 ms (+ 0.1 ms in 2 steps …, biggest step 0.1 ms, …". */
const COLLECTION = /^\[(\d+):0x\S+ +(\d+) ms: .* MB, ([\d.]+) \/ [\d.]+ ms(?: .*biggest step ([\d.]+) ms)?/gm;
/** Of the daemon's log: what is looked through for one run. */
const LOG_LINES = 100_000;

/** How long the process stood still each time, once it was `fromMs` old: incremental marking counts by its longest step. */
function pausesMs(trace: string, pid: number, fromMs: number): number[] {
  return [...trace.matchAll(COLLECTION)]
    .filter(([, who, at]) => Number(who) === pid && Number(at) >= fromMs)
    .map(([, , , pause, step]) => Math.max(Number(pause), Number(step ?? 0)));
}

function figures(end: string, pauses: readonly number[], seconds: number): Figure[] {
  const sum = pauses.reduce((total, pause) => total + pause, 0);
  return [
    { variant: `${end}, longest`, unit: "ms", value: Math.max(0, ...pauses) },
    { variant: `${end}, number`, unit: "per second", value: pauses.length / seconds },
    { variant: `${end}, all together`, unit: "ms/s", value: sum / seconds },
  ];
}

export const collections: Scenario = {
  name: "collections",
  rounds: ["bulk"],
  needs: ["iperf3"],
  contenders: [tracedCzctl],
  maxRuns: 3,
  async prepare({ cluster }) {
    await startIperf(cluster, SERVICE_ADDRESS);
  },
  async measure(_round, { laptop }, running, seconds) {
    const { cli, agent, target } = running as RunningCzctl;
    // Fresh processes: what their start left behind is collected while they are busy.
    await cli.run(["down"]);
    await agent.program?.stop();
    await agent.start();
    await cli.up();
    await cli.waitUntilConnected();
    const [laptopPid = 0, agentPid = 0] = await running.pids();
    const [laptopAge, agentAge] = [ageMs(laptopPid), ageMs(agentPid)];
    await transfer(laptop, target, "up", seconds);
    await transfer(laptop, target, "down", seconds);
    // What is told is complete once the process has ended.
    await cli.run(["down"]);
    await agent.program?.stop();
    const log = await cli.run(["logs", "--lines", String(LOG_LINES)]);
    return [
      ...figures("laptop", pausesMs(log, laptopPid, laptopAge), 2 * seconds),
      ...figures("agent", pausesMs(agent.program?.stdout ?? "", agentPid, agentAge), 2 * seconds),
    ];
  },
};
