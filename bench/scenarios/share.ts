/**
 * How much of both data planes' processor time the AEAD has in a bulk transfer of one flow: measured where it is used, with its
 * caches as cold and its core as shared as they are there (`programs/aead-clock.ts`). To look at the clock costs half a
 * microsecond in thirty, which is nobody's but counted.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { startIperf } from "../../test/lab/programs.js";
import { SERVICE_ADDRESS } from "../contender.js";
import { clockedCzctl, type RunningCzctl } from "../contenders/czctl.js";
import type { Scenario } from "../scenario.js";
import { transfer, warmUp } from "./bulk.js";

/** Microseconds. */
interface Times {
  aead: number;
  all: number;
}

/** Of the process that writes to `file`, between two moments of CLOCK_MONOTONIC. */
async function timesBetween(file: string, fromUs: number, toUs: number): Promise<Times> {
  const lines = (await readFile(file, "utf8")).trim().split("\n");
  const inside = lines
    .map(line => line.split(" ").map(Number))
    .filter(([at = 0]) => at >= fromUs && at <= toUs);
  const [first, last] = [inside[0], inside.at(-1)];
  if (first === undefined || last === undefined || first === last)
    throw new Error(`${file}: no times of the transfer`);
  const [, aeadBefore = 0, allBefore = 0] = first;
  const [, aead = 0, all = 0] = last;
  return { aead: aead - aeadBefore, all: all - allBefore };
}

const nowUs = (): number => Number(process.hrtime.bigint() / 1_000n);

export const share: Scenario = {
  name: "share",
  rounds: ["1-up", "1-down"],
  needs: ["iperf3"],
  contenders: [clockedCzctl],
  async prepare({ laptop, cluster }, { target }) {
    await startIperf(cluster, SERVICE_ADDRESS);
    await warmUp(laptop, target);
  },
  async measure(round, { laptop }, running, seconds) {
    const { dir, target } = running as RunningCzctl;
    const pids = await running.pids();
    const from = nowUs();
    await transfer(laptop, target, round === "1-up" ? "up" : "down", seconds);
    const to = nowUs();
    const ends = await Promise.all(pids.map(pid => timesBetween(join(dir, String(pid)), from, to)));
    const sum = (name: keyof Times): number => ends.reduce((total, end) => total + end[name], 0);
    return [
      { variant: `AEAD, ${round}`, unit: "% of processor time", value: (sum("aead") / sum("all")) * 100 },
    ];
  },
};
