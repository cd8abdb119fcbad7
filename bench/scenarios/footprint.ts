/** What czctl costs when nothing happens, with 5,000 connections open, and from `czctl up` to the first byte. */
import { setTimeout as sleep } from "node:timers/promises";
import { CLI, type Czctl } from "../../test/lab/czctl.js";
import type { Host } from "../../test/lab/host.js";
import { startIperf, startNginx } from "../../test/lab/programs.js";
import { HTTP_PORT, MANY_PORT, SERVICE_ADDRESS } from "../contender.js";
import { czctl, type RunningCzctl } from "../contenders/czctl.js";
import { cpuSeconds, residentMB, statusField } from "../cpu.js";
import { holdFlows, PYTHON, startMany } from "../programs.js";
import type { Figure, Scenario } from "../scenario.js";
import { transfer } from "./bulk.js";

const FLOWS = 5_000;
const IDLE_SECONDS = 10;
/** Delayed ACKs, window updates and the collector are done by then. */
const SETTLE_MS = 2_000;
/** In one run: a start is short, and what else the machine does hits some of them. */
const STARTS = 5;
/**
 * Prints when `czctl up` was executed, and when the first byte of an answer to a service's name was there. As sudo does, it
 * passes on nothing that tells Node which certificates to read at each start.
 */
const FIRST_BYTE = `
unset NODE_EXTRA_CA_CERTS
started=$EPOCHREALTIME
"$@" up >&2 &&
exec 3<>/dev/tcp/speed.bench/${HTTP_PORT} &&
printf 'GET / HTTP/1.0\r\n\r\n' >&3 &&
read -r -N 1 -u 3 &&
echo "$started $EPOCHREALTIME"
`;

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

/**
 * What a user waits for, by one shell's clock: from the execution of `czctl up` until it has returned and the first
 * byte of an HTTP answer has come through the tunnel. A warm start: the machine has run czctl before, so its files are
 * in the page cache; no process of it runs.
 */
async function firstByte(laptop: Host, cli: Czctl): Promise<Figure> {
  await cli.run(["down"]);
  const times = await laptop.run("bash", ["-c", FIRST_BYTE, "bash", process.execPath, CLI]);
  const [started = 0, answered = 0] = times.trim().split(" ").map(Number);
  return { variant: "up to first byte", unit: "ms", value: (answered - started) * 1000 };
}

export const footprint: Scenario = {
  name: "footprint",
  rounds: ["idle", "first byte"],
  needs: [PYTHON, "bash", "iperf3", "nginx"],
  contenders: [czctl],
  maxRuns: 3,
  async prepare({ cluster }) {
    await startMany(cluster, SERVICE_ADDRESS, MANY_PORT);
    await startIperf(cluster, SERVICE_ADDRESS);
    await startNginx(cluster, [SERVICE_ADDRESS], HTTP_PORT);
  },
  async measure(round, { laptop }, running) {
    const { cli, target } = running as RunningCzctl;
    if (round === "first byte") {
      const figures: Figure[] = [];
      while (figures.length < STARTS) figures.push(await firstByte(laptop, cli));
      await cli.waitUntilConnected();
      return figures;
    }
    // What an earlier run left in the heap would be room for the flows of this one.
    await cli.run(["down"]);
    await cli.up();
    await cli.waitUntilConnected();
    const pids = await running.pids();
    // A fresh process has not compiled anything yet; its base is what it holds after some work.
    await transfer(laptop, target, "up", 1);
    await transfer(laptop, target, "down", 1);
    const figures = await idle(pids, "");
    const before = pids.map(residentMB);
    const holder = await holdFlows(laptop, target, MANY_PORT, FLOWS);
    figures.push(...(await idle(pids, `, ${FLOWS} flows`)));
    const added = pids.map((pid, index) => residentMB(pid) - (before[index] as number));
    await holder.stop();
    return [
      ...figures,
      { variant: "resident", unit: "MB", value: Math.max(...before) },
      { variant: `added by ${FLOWS} flows`, unit: "MB", value: Math.max(...added) },
    ];
  },
};
