/** HTTP by wrk, 16 connections from one thread, against nginx with a 1 KiB file: kept alive, and one per request. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Host } from "../../test/lab/host.js";
import { startNginx } from "../../test/lab/programs.js";
import { HTTP_PORT, SERVICE_ADDRESS } from "../contender.js";
import type { Scenario } from "../scenario.js";

/** Not measured: handshakes, and for whom it applies, compiling. */
const WARM_UP_SECONDS = 3;
const ROUNDS = ["keep-alive", "per-request"];

async function requestsPerSecond(
  laptop: Host,
  target: string,
  round: string,
  seconds: number,
): Promise<number> {
  const close = round === "per-request" ? ["--header", "Connection: close"] : [];
  const url = `http://${target}:${HTTP_PORT}/small`;
  const load = ["--threads", "1", "--connections", "16", "--duration", `${seconds}s`];
  const output = await laptop.run("wrk", [...load, ...close, url], { timeoutMs: (seconds + 15) * 1000 });
  const rate = /Requests\/sec:\s+([\d.]+)/.exec(output)?.[1];
  if (rate === undefined || /Non-2xx/.test(output)) throw new Error(`wrk: ${output}`);
  return Number(rate);
}

export const http: Scenario = {
  name: "http",
  rounds: ROUNDS,
  needs: ["wrk", "nginx"],
  maxRuns: 3,
  async prepare({ laptop, cluster }, { target }) {
    const root = await startNginx(cluster, [SERVICE_ADDRESS], HTTP_PORT);
    writeFileSync(join(root, "small"), "x".repeat(1024));
    for (const round of ROUNDS) await requestsPerSecond(laptop, target, round, WARM_UP_SECONDS);
  },
  async measure(round, { laptop }, { target }, seconds) {
    const value = await requestsPerSecond(laptop, target, round, seconds);
    return [{ variant: round, unit: "requests/s", value }];
  },
};
