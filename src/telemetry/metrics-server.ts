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

export interface MetricsEndpoint {
  port: number;
  /** An IP address of the machine; null: all of them. */
  address: string | null;
}

/** Throws CzctlError. */
export async function serveMetrics(
  endpoint: MetricsEndpoint,
  measure: () => Promise<Measured>,
): Promise<Server> {
  const { port, address } = endpoint;
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
    server.once("error", cause => reject(cannotListen(endpoint, cause)));
    server.listen({ port, ...(address === null ? {} : { host: address }) }, resolve);
  });
  return server;
}

function cannotListen({ port, address }: MetricsEndpoint, cause: Error): CzctlError {
  return new CzctlError(
    `cannot serve metrics at ${address ?? "any address"}, TCP port ${port}: ${cause.message}`,
    {
      code: "METRICS_PORT_TAKEN",
      category: "environment",
      hint: "Choose another --metrics-port, or an address that this machine has.",
      cause,
    },
  );
}
