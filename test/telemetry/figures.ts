/** Figures of an agent and a daemon with something in each family, as tests and the dashboard's test need them. */
import { agentMetrics } from "../../src/agent/metrics.js";
import type { DaemonStatus, DataplaneStatus } from "../../src/api/index.js";
import { daemonMetrics } from "../../src/daemon/metrics.js";

export const NOW = 1_800_000_000_000;

export const DATAPLANE: DataplaneStatus = {
  pid: 2,
  uptimeMs: 1,
  listenPort: 51820,
  crypto: "evp",
  offloads: [],
  peers: [
    { publicKey: "SECRETLESS", name: 'a"b\\c', lastHandshakeAt: NOW - 1_000, rxBytes: 10, txBytes: 20 },
    { publicKey: "KEY", name: "bob", lastHandshakeAt: 0, rxBytes: 0, txBytes: 0 },
  ],
  flows: { tcp: 3, udp: 1 },
  counters: {
    "wireguard.handshakes": 7,
    "wireguard.dropped.replayed": 2,
    "netstack.tunnel.packetsIn": 1e12,
    "netstack.tunnel.tcpBadChecksum": 1,
    "policy.notAllowed": 5,
  },
  memory: { rssBytes: 1, ringBytes: 2 },
  roundTrips: { counts: [0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0], count: 4, sumMs: 5003.5 },
};

export function agentText(dataplane: DataplaneStatus | null = DATAPLANE): string {
  const figures = { version: "1.2.3", ready: true, devices: 2, services: 9, catalogChangedAt: NOW - 500 };
  return agentMetrics({ ...figures, staleSince: NOW - 2_500, dataplane }, NOW);
}

export function daemonText(dataplane: DataplaneStatus | null = DATAPLANE): string {
  const status = {
    version: "1.2.3",
    link: "connected",
    services: { known: 9, consumed: 4, denied: 2 },
    dataplaneRestarts: 1,
    warnings: ["w"],
    dataplane,
  } as Partial<DaemonStatus> as DaemonStatus;
  return daemonMetrics(status, 1_500);
}
