/**
 * What the CLI and the daemon say to each other: HTTP on a Unix socket, `POST /v1/<operation>` with a JSON
 * body; 200 with the response, or 4xx/5xx with an `ErrorBody`. The socket's permissions are the login: whoever
 * may open it may steer the daemon.
 *
 * Most operations only change the state file; without a daemon the CLI performs those itself, by the same code
 * and under the same lock (`daemon/operations.ts`), so there is one writer at any time.
 */
import type { ErrorCategory } from "../base/index.js";
import type { DataplaneStatus, FlowStatus, Protocol } from "./dataplane.js";

export const API_PREFIX = "/v1/";

type Nothing = Record<string, never>;

export interface DaemonOperations {
  status: { request: Nothing; response: DaemonStatus };
  services: { request: { endpoints?: boolean }; response: ServiceRow[] };
  flows: { request: Nothing; response: FlowStatus[] };
  /** Prometheus' text format. */
  metrics: { request: Nothing; response: { text: string } };
  /** Answers when all is done; the daemon exits right after. Null: device, routes, names and data plane are gone. */
  stop: { request: Nothing; response: { problem: Problem | null } };
  "space.add": { request: { credential: string; name?: string }; response: SpaceSummary };
  "space.list": { request: Nothing; response: SpaceSummary[] };
  "space.select": { request: { name: string }; response: SpaceSummary };
  "space.remove": { request: { name: string }; response: SpaceSummary };
  /** Rules of the selected space, as the user wrote them, comments included. */
  "consume.get": { request: Nothing; response: { space: string; rules: string } };
  "consume.set": { request: { rules: string }; response: { space: string; rules: string } };
  "primary-namespace.set": {
    request: { namespace: string | null };
    response: { space: string; namespace: string | null };
  };
}

export type OperationName = keyof DaemonOperations;

export interface ErrorBody {
  error: { code: string; category: ErrorCategory; message: string; hint?: string };
}

export interface SpaceSummary {
  name: string;
  /** This device's name at the agent. */
  device: string;
  /** `HOST:PORT` of the agent. */
  endpoint: string;
  selected: boolean;
  primaryNamespace: string | null;
}

export interface ServiceRow {
  namespace: string;
  name: string;
  kind: "cluster" | "headless" | "external";
  /** `denied`: not allowed by policy. */
  ports: { name?: string; protocol: Protocol; port: number; denied?: true }[];
  /** Wanted on this machine, whether the policy allows it or not. */
  consumed: boolean;
  /** What a policy would have to grant this device for the denied ports; absent when none is. */
  missingRules?: string[];
  /** Virtual addresses, IPv4 first; empty when not consumed or without addresses of its own. */
  addresses: string[];
  externalName?: string;
  /** Ports that exist and cannot be carried: `36412/sctp`. */
  uncarried?: string[];
  /** How many are ready. */
  endpoints: number;
  /** Only when asked for. */
  endpointList?: EndpointRow[];
}

export interface EndpointRow {
  address: string;
  hostname?: string;
  /** serving: about to go, and used only while none is ready. */
  state: "ready" | "serving" | "terminating" | "not ready";
}

/** connecting: no catalog yet, or the stream broke; the last catalog stays in use. */
export type LinkState = "connecting" | "connected";

export interface Problem {
  code: string;
  message: string;
  hint?: string;
}

export interface DaemonStatus {
  version: string;
  pid: number;
  supervisorPid: number;
  uptimeMs: number;
  space: string;
  teamspace: string | null;
  agentVersion: string | null;
  endpoint: string;
  link: LinkState;
  /** Why it is not connected, as far as one can tell. */
  problem: Problem | null;
  /** What else is not as it should be: hosts file not writable, range full. */
  warnings: string[];
  device: { name: string; addresses: string[]; ranges: string[]; mtu: number };
  hostsFile: string;
  dns: string[];
  /** Whether systemd-resolved asks our responder; "absent" where none runs. */
  resolved: { state: "absent" | "pending" | "registered" | "refused"; problem: string | null };
  zone: string;
  primaryNamespace: string | null;
  /** `denied`: those of which the policy lets this device reach nothing; they are not counted as consumed. */
  services: { known: number; consumed: number; denied: number };
  /** How often the data plane had to be started again. */
  dataplaneRestarts: number;
  /** Null while it is being started. */
  dataplane: DataplaneStatus | null;
}

/** `czctl up`'s summary. */
export interface UpSummary {
  space: string;
  teamspace: string;
  endpoint: string;
  device: string;
  ranges: string[];
  services: { known: number; consumed: number; denied: number };
  warnings: string[];
  tookMs: number;
}

/** From the waiting `czctl up` over an inherited pipe (fd 3) to the supervisor, which does nothing before: the lock is taken. */
export const PROCEED = "\n";

/** From the starting daemon to the waiting `czctl up`, one JSON object per line over the same pipe. */
export type UpEvent =
  | { type: "progress"; message: string }
  | { type: "up"; summary: UpSummary }
  | { type: "failed"; error: ErrorBody["error"] };
