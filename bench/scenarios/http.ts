/** HTTP by wrk, 16 connections from one thread, against nginx with a 1 KiB file: kept alive, and one per request. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { startNginx } from "../../test/lab/programs.js";
import { HTTP_PORT, SERVICE_ADDRESS } from "../contender.js";
import type { Scenario } from "../scenario.js";

export const http: Scenario = {
  name: "http",
  rounds: ["keep-alive", "per-request"],
  needs: ["wrk", "nginx"],
  maxRuns: 3,
  async prepare({ cluster }) {
    const root = await startNginx(cluster, [SERVICE_ADDRESS], HTTP_PORT);
    writeFileSync(join(root, "small"), "x".repeat(1024));
  },
  async measure(round, { laptop }, { target }, seconds) {
    const close = round === "per-request" ? ["--header", "Connection: close"] : [];
    const url = `http://${target}:${HTTP_PORT}/small`;
    const load = ["--threads", "1", "--connections", "16", "--duration", `${seconds}s`];
    const output = await laptop.run("wrk", [...load, ...close, url], { timeoutMs: (seconds + 15) * 1000 });
    const rate = /Requests\/sec:\s+([\d.]+)/.exec(output)?.[1];
    if (rate === undefined || /Non-2xx/.test(output)) throw new Error(`wrk: ${output}`);
    return [{ variant: round, unit: "requests/s", value: Number(rate) }];
  },
};
