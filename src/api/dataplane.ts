/**
 * Messages between a control process (daemon or agent) and its data plane: one JSON object per line over an
 * inherited Unix stream socket. Keys travel here and nowhere else. The parent treats what the data plane
 * says as untrusted: that process parses hostile bytes.
 */
import type { Tuning } from "./settings.js";

/** "ADDRESS" and "HOST:PORT" strings as `base/address` and `base/endpoint` parse them. */
export type AddressText = string;
export type EndpointText = string;
export type Protocol = "tcp" | "udp";

export interface PeerConfig {
  /** Base64, 32 bytes. */
  publicKey: string;
  presharedKey?: string;
  /** Absent on the agent until the device is heard of. */
  endpoint?: EndpointText;
  /** Inner prefixes, `ADDRESS/BITS`. */
  allowedIps: string[];
  persistentKeepaliveSeconds?: number;
  /** Agent: device name (logs, flows) and the grant that says what it may reach. */
  name?: string;
  grant?: string;
}

/** Laptop: what a virtual address means. */
export interface Route {
  virtual: AddressText;
  /** In-tunnel destination. */
  target: AddressText;
  /** For logs and `trace-connections`: `service.namespace`. */
  name: string;
  /**
   * Ports that exist and are consumed; anything else is refused at once. `denied`: the agent has said that it
   * would refuse, and is asked all the same, since it decides.
   */
  ports: { protocol: Protocol; port: number; denied?: true }[];
}

/** Agent: a destination that may be dialled. */
export interface Target {
  /** In-tunnel destination address as the device dials it. */
  address: AddressText;
  protocol: Protocol;
  port: number;
  name: string;
  /** Dial `address` itself (kube-proxy balances); `endpoints` are then the fall-back when it has no route. */
  direct: boolean;
  endpoints: { address: AddressText; port: number }[];
}

export type ToDataplane =
  /** First message; once. */
  | {
      type: "start";
      role: "laptop" | "agent";
      privateKey: string;
      /** Own inner addresses, one per family at most. */
      innerAddresses: AddressText[];
      /** Inner MTU of the tunnel. */
      mtu: number;
      /** UDP port to bind; 0 for any. */
      listenPort: number;
      listenAddress?: AddressText;
      peers: PeerConfig[];
      /** Laptop: inherited TUN descriptor, its MTU and which offloads were granted. */
      tun?: { fd: number; mtu: number; tso: boolean };
      /** Laptop: own address of the TUN device is answered by the kernel; these are answered by us. */
      dns?: { addresses: AddressText[]; udpPort: number; tcpPort: number };
      /**
       * Control API. Laptop: Unix socket that this process listens on and splices into the tunnel, to
       * `remote`. Agent: Unix socket that inner connections to `remote` (own inner address) are spliced to,
       * preceded by one line `{"peer":"<public key>"}`.
       */
      control?: { socketPath: string; remote: EndpointText };
      /** WireGuard UAPI: Unix socket path to listen on (mode 0600), so `wg show` works. */
      uapiSocketPath?: string;
      /** Drop to this user after start-up; absent keeps the user and drops capabilities only. */
      runAs?: { uid: number; gid: number };
      tuning: Tuning;
    }
  | { type: "peers"; set?: PeerConfig[]; remove?: string[] }
  /** Laptop: the whole table; existing flows to routes that vanished are reset. */
  | { type: "routes"; routes: Route[] }
  /** Laptop: what the DNS responder answers is about to change; these are its virtual addresses from now on. */
  | { type: "dns"; addresses: AddressText[] }
  /** The way to the peers is another one, or the machine woke up: shake hands at once. */
  | { type: "network-changed" }
  /** Laptop: the agent's replica is about to stop; go to another one (handover.ts). */
  | { type: "move" }
  /** Agent: it is about to stop, so no device that comes anew is answered. */
  | { type: "drain" }
  /** Agent: the whole table, and for each grant the indexes of `targets` that it allows. */
  | { type: "targets"; targets: Target[]; grants: Record<string, number[]> }
  | { type: "status"; id: number }
  | { type: "flows"; id: number }
  | { type: "stop" };

export interface PeerStatus {
  publicKey: string;
  name?: string;
  endpoint?: EndpointText;
  /** Milliseconds since the epoch; 0 for never. */
  lastHandshakeAt: number;
  rxBytes: number;
  txBytes: number;
  /** Smoothed round trip of the tunnel in ms, when known. */
  rttMs?: number;
  /** Bytes of the largest inner packet now in use. */
  mtu?: number;
  /** Whether the peer has confirmed that it passes; "unanswered": it answers no echo requests. */
  pathMtu?: "searching" | "confirmed" | "unanswered";
}

export interface FlowStatus {
  protocol: Protocol;
  /** Who opened it, as the side that runs this data plane sees it. */
  source: EndpointText;
  destination: EndpointText;
  /** Service, and on the agent also the device. */
  name: string;
  peer?: string;
  state: string;
  rxBytes: number;
  txBytes: number;
  rttMs?: number;
  ageMs: number;
}

/** Upper bounds of the buckets of `RoundTrips`. */
export const ROUND_TRIP_BUCKETS_MS: readonly number[] = [0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000];

/** Smoothed round trips of the tunnel's TCP connections that have ended. */
export interface RoundTrips {
  /** By bucket; those above the last are in `count` alone. */
  counts: number[];
  count: number;
  sumMs: number;
}

export interface DataplaneStatus {
  pid: number;
  uptimeMs: number;
  listenPort: number;
  crypto: string;
  offloads: string[];
  peers: PeerStatus[];
  flows: { tcp: number; udp: number };
  /** Drop reasons and other counters, by dotted name: `netstack.tun.badChecksum`. */
  counters: Record<string, number>;
  memory: { rssBytes: number; ringBytes: number };
  roundTrips?: RoundTrips;
}

export type FromDataplane =
  | { type: "ready"; listenPort: number }
  /** Start-up failed: `code` as in CzctlError. The process then exits. */
  | { type: "failed"; code: string; message: string; hint?: string }
  | { type: "handshake"; publicKey: string; at: number }
  /** A peer was heard from another address than before. */
  | { type: "endpoint"; publicKey: string; endpoint: EndpointText }
  /** Five seconds of attempts without an answer, then each further minute. */
  | { type: "handshake-timeout"; publicKey: string; seconds: number }
  /** Laptop: new flows go to another replica of the agent. */
  | { type: "moved" }
  /**
   * Somebody asked for what the policy does not grant: on the agent the device `peer`, on the laptop an
   * application. `name`: the service's, when there is one. Rate-limited; `omitted` were not told before this.
   */
  | {
      type: "denied";
      peer?: string;
      name?: string;
      protocol: Protocol;
      destination: EndpointText;
      omitted: number;
    }
  | { type: "status"; id: number; status: DataplaneStatus }
  | { type: "flows"; id: number; flows: FlowStatus[] }
  | {
      type: "log";
      level: "debug" | "info" | "warn" | "error";
      message: string;
      fields?: Record<string, unknown>;
    };
