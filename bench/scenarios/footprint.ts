/** What czctl costs when nothing happens, with 5,000 connections open, and from `czctl up` to the first byte. */
import { setTimeout as sleep } from "node:timers/promises";
import { startIperf } from "../../test/lab/programs.js";
import { ECHO_PORT, SERVICE_ADDRESS } from "../contender.js";
import { czctl, type RunningCzctl } from "../contenders/czctl.js";
import { cpuSeconds, residentMB, statusField } from "../cpu.js";
import { ECHO, PYTHON } from "../programs.js";
import type { Figure, Scenario } from "../scenario.js";
import { transfer } from "./bulk.js";

const FLOWS = 5_000;
const IDLE_SECONDS = 10;
/** Delayed ACKs, window updates and the collector are done by then. */
const SETTLE_MS = 2_000;

const wakeUps = (pids: readonly number[]): number =>
  Math.max(...pids.map(pid => statusField(pid, "voluntary_ctxt_switches")));

async function idle(pids: readonly number[], suffix: string): Promise<Figure[]> {
  await sleep(SETTLE_MS);
  const [cpu, woken] = [cpuSeconds(pids), wakeUps(pids)];
  await sleep(IDLE_SECONDS * 1000);
  const share = ((cpuSeconds(pids) - cpu) / pids.length / IDLE_SECONDS) * 100;
  return [
    { variant: `idle CPU${suffix}`, unit: "% of a core", value: share },
    { variant: `wake-ups${suffix}`, unit: "per second", value: (wakeUps(pids) - woken) / IDLE_SECONDS },
  ];
}

export const footprint: Scenario = {
  name: "footprint",
  rounds: ["idle", "first byte"],
  needs: [PYTHON, "bash", "iperf3"],
  contenders: [czctl],
  async prepare({ cluster }) {
    cluster.spawn(PYTHON, [ECHO, "many", SERVICE_ADDRESS, String(ECHO_PORT)]);
    await cluster.waitForPort(ECHO_PORT);
    await startIperf(cluster, SERVICE_ADDRESS);
  },
  async measure(round, { laptop }, running) {
    const { cli, target } = running as RunningCzctl;
    if (round === "first byte") {
      await cli.run(["down"]);
      const trip = `exec 3<>/dev/tcp/${target}/${ECHO_PORT}; printf x >&3; head -c 1 <&3`;
      const start = performance.now();
      await cli.up();
      await laptop.run("bash", ["-c", trip]);
      const value = performance.now() - start;
      await cli.waitUntilConnected();
      return [{ variant: "up to first byte", unit: "ms", value }];
    }
    const pids = await running.pids();
    // A fresh process has not compiled anything yet; its base is what it holds after some work.
    await transfer(laptop, target, "up", 1);
    await transfer(laptop, target, "down", 1);
    const figures = await idle(pids, "");
    const before = residentMB(pids);
    const holder = laptop.spawn(PYTHON, [ECHO, "hold", target, String(ECHO_PORT), String(FLOWS)]);
    await holder.waitForLine(/held/, 60_000);
    figures.push(...(await idle(pids, `, ${FLOWS} flows`)));
    const after = residentMB(pids);
    await holder.stop();
    return [
      ...figures,
      { variant: "resident", unit: "MB", value: before },
      { variant: `added by ${FLOWS} flows`, unit: "MB", value: after - before },
    ];
  },
};
