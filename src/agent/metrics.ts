/** The agent's figures in Prometheus' text format. */
import type { DataplaneStatus } from "../api/index.js";
import { addDataplane, Exposition } from "../telemetry/index.js";

export interface AgentFigures {
  version: string;
  /** False until devices can connect, and when the agent has stopped serving them. */
  ready: boolean;
  devices: number;
  services: number;
  /** Milliseconds since the epoch. */
  catalogChangedAt: number;
  /** Since when the catalog's source cannot be followed; null while it can. */
  staleSince: number | null;
  /** Null while the data plane does not answer. */
  dataplane: DataplaneStatus | null;
}

/** WireGuard renews keys at least this often while there is anything to say (REJECT_AFTER_TIME). */
const CONNECTED_MS = 180_000;

/** @param now milliseconds since the epoch */
export function agentMetrics({ dataplane, ...agent }: AgentFigures, now: number): string {
  const to = new Exposition("czctl_agent_");
  to.add("gauge", "build_info", "Always 1; its label is the version.", [[{ version: agent.version }, 1]]);
  to.add("gauge", "ready", "Whether devices are served.", agent.ready && dataplane !== null ? 1 : 0);
  to.add("gauge", "devices", "Devices that are known.", agent.devices);
  const connected = (dataplane?.peers ?? []).filter(peer => now - peer.lastHandshakeAt < CONNECTED_MS);
  to.add("gauge", "devices_connected", "Devices with a session.", connected.length);
  to.add("gauge", "services", "Services in the catalog.", agent.services);
  to.add(
    "gauge",
    "catalog_changed_timestamp_seconds",
    "When the catalog last changed.",
    agent.catalogChangedAt / 1000,
  );
  to.add(
    "gauge",
    "catalog_age_seconds",
    "For how long the catalog's source could not be followed; 0 while it is.",
    agent.staleSince === null ? 0 : Math.max(0, now - agent.staleSince) / 1000,
  );
  addDataplane(to, dataplane, peer => ({ device: peer.name ?? "" }));
  return to.toString();
}
