/**
 * `/healthz`, `/readyz` and `/metrics` for the cluster that runs the agent, over plain HTTP inside it. The
 * figures are the data plane's own, in Prometheus' text format 0.0.4; labels hold device names, never keys.
 *
 *     /healthz   this process turns over: anything else and it is started again
 *     /readyz    the data plane answers and the first catalog is there
 */
import { createServer, type Server } from "node:http";
import type { DataplaneStatus } from "../api/index.js";
import { CzctlError } from "../base/index.js";

export interface Measured {
  /** False until devices can connect, and when the agent has stopped serving them. */
  ready: boolean;
  devices: number;
  services: number;
  /** Milliseconds since the epoch. */
  catalogChangedAt: number;
  refusals: number;
  /** Null while the data plane does not answer. */
  dataplane: DataplaneStatus | null;
}

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

export async function serveMetrics(port: number, measure: () => Promise<Measured>): Promise<Server> {
  const server = createServer((req, res) => {
    const reply = (status: number, text: string): void => {
      res.writeHead(status, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
      res.end(text);
    };
    if (req.url === "/healthz") return reply(200, "ok\n");
    if (req.url !== "/readyz" && req.url !== "/metrics") return reply(404, "not found\n");
    measure().then(
      measured => {
        if (req.url === "/metrics") return reply(200, formatMetrics(measured));
        const ready = measured.ready && measured.dataplane !== null;
        reply(ready ? 200 : 503, ready ? "ok\n" : "not ready\n");
      },
      (error: Error) => reply(503, `${error.message}\n`),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", cause => reject(cannotListen(port, cause)));
    server.listen(port, resolve);
  });
  return server;
}

export function formatMetrics({ dataplane, ...agent }: Measured): string {
  const lines: string[] = [];
  const add = (type: "gauge" | "counter", name: string, help: string, samples: readonly Sample[]): void => {
    lines.push(`# HELP czctl_agent_${name} ${help}`, `# TYPE czctl_agent_${name} ${type}`);
    for (const [labels, value] of samples) lines.push(`czctl_agent_${name}${formatLabels(labels)} ${value}`);
  };
  const single = (value: number): Sample[] => [[{}, value]];
  add("gauge", "devices", "Devices that are known.", single(agent.devices));
  add("gauge", "services", "Services in the catalog.", single(agent.services));
  add(
    "gauge",
    "catalog_changed_timestamp_seconds",
    "When the catalog last changed.",
    single(agent.catalogChangedAt / 1000),
  );
  add(
    "counter",
    "denied_total",
    "Reported attempts at what the grant does not allow.",
    single(agent.refusals),
  );
  add("gauge", "dataplane_up", "Whether the data plane answers.", single(dataplane === null ? 0 : 1));
  if (dataplane === null) return `${lines.join("\n")}\n`;
  add("gauge", "flows", "Open flows.", [
    [{ protocol: "tcp" }, dataplane.flows.tcp],
    [{ protocol: "udp" }, dataplane.flows.udp],
  ]);
  const peers = (figure: (peer: DataplaneStatus["peers"][number]) => number | undefined): Sample[] =>
    dataplane.peers.flatMap((peer): Sample[] => {
      const value = figure(peer);
      return value === undefined ? [] : [[{ device: peer.name ?? "" }, value]];
    });
  add(
    "counter",
    "received_bytes_total",
    "Sealed bytes from the device.",
    peers(peer => peer.rxBytes),
  );
  add(
    "counter",
    "sent_bytes_total",
    "Sealed bytes to the device.",
    peers(peer => peer.txBytes),
  );
  add(
    "gauge",
    "handshake_timestamp_seconds",
    "When the device last shook hands; 0 for never.",
    peers(peer => peer.lastHandshakeAt / 1000),
  );
  add(
    "gauge",
    "round_trip_seconds",
    "Smoothed round trip of the tunnel.",
    peers(peer => (peer.rttMs === undefined ? undefined : peer.rttMs / 1000)),
  );
  add(
    "counter",
    "events_total",
    "The data plane's counters, drops by reason among them.",
    Object.entries(dataplane.counters).map(([name, value]): Sample => [{ name }, value]),
  );
  add("gauge", "memory_bytes", "Memory of the data plane.", [
    [{ kind: "resident" }, dataplane.memory.rssBytes],
    [{ kind: "rings" }, dataplane.memory.ringBytes],
  ]);
  return `${lines.join("\n")}\n`;
}

function formatLabels(labels: Readonly<Record<string, string>>): string {
  const parts = Object.entries(labels).map(
    ([name, value]) => `${name}="${value.replace(/[\\"]/g, "\\$&").replaceAll("\n", "\\n")}"`,
  );
  return parts.length === 0 ? "" : `{${parts.join(",")}}`;
}

function cannotListen(port: number, cause: Error): CzctlError {
  return new CzctlError(`cannot listen on TCP port ${port}: ${cause.message}`, {
    code: "METRICS_PORT_TAKEN",
    category: "environment",
    hint: "Choose another --metrics-port.",
    cause,
  });
}
