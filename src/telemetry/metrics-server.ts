/**
 * `/healthz`, `/readyz` and `/metrics` over plain HTTP, for whoever runs the process. Labels hold names of devices,
 * never keys.
 *
 *     /healthz   this process turns over: anything else and it is to be started again
 *     /readyz    it serves
 */
import { createServer, type Server } from "node:http";
import { CzctlError } from "../base/index.js";

export interface Measured {
  ready: boolean;
  /** Text of /metrics. */
  metrics: string;
}

/** @param host absent: every address of the machine */
export async function serveMetrics(
  port: number,
  measure: () => Promise<Measured>,
  host?: string,
): Promise<Server> {
  const server = createServer((req, res) => {
    const reply = (status: number, text: string): void => {
      res.writeHead(status, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
      res.end(text);
    };
    if (req.url === "/healthz") return reply(200, "ok\n");
    if (req.url !== "/readyz" && req.url !== "/metrics") return reply(404, "not found\n");
    measure().then(
      ({ ready, metrics }) => {
        if (req.url === "/metrics") return reply(200, metrics);
        reply(ready ? 200 : 503, ready ? "ok\n" : "not ready\n");
      },
      (error: Error) => reply(503, `${error.message}\n`),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", cause => reject(cannotListen(port, cause)));
    server.listen({ port, ...(host === undefined ? {} : { host }) }, resolve);
  });
  return server;
}

function cannotListen(port: number, cause: Error): CzctlError {
  return new CzctlError(`cannot listen on TCP port ${port}: ${cause.message}`, {
    code: "METRICS_PORT_TAKEN",
    category: "environment",
    hint: "Choose another --metrics-port.",
    cause,
  });
}
