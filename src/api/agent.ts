/**
 * The Space Agent's control API: HTTP inside the tunnel, on the agent's inner address. The agent knows the
 * device by its WireGuard key; there is no other login.
 *
 * `GET /v1/catalog` answers 200 with newline-delimited JSON that never ends: one `snapshot`, then changes as
 * they happen, and a `ping` after 15 s of silence (so both ends notice a dead stream). What this device may not
 * reach is marked (`denied`), or not sent at all, as the policy says.
 *
 * `GET /v1/probe/BYTES` answers with so many zero bytes: what `czctl doctor` measures the tunnel with.
 */
import type { Service } from "../catalog/index.js";

/** TCP port of the control API on the agent's inner addresses. */
export const CONTROL_PORT = 4646;
export const CATALOG_PATH = "/v1/catalog";
export const CATALOG_PING_MS = 15_000;
export const PROBE_PATH = "/v1/probe/";
/** No more at once: a device may ask for more bytes of any service, but not of us. */
export const PROBE_BYTES_MAX: number = 64 * 1024 * 1024;

export type CatalogEvent =
  | {
      type: "snapshot";
      /** Cluster domain: `cluster.local`. */
      zone: string;
      /** Teamspace name. */
      teamspace: string;
      agentVersion: string;
      services: Service[];
    }
  | { type: "upsert"; service: Service }
  | { type: "remove"; namespace: string; name: string }
  /** This device may reach nothing any more. The last line: its flows are reset, then it is not answered. */
  | { type: "revoked" }
  /** This replica is about to stop: shake hands from another port and find another. Said again until then. */
  | { type: "draining" }
  | { type: "ping" };
