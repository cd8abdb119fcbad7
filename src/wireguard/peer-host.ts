/** What stands around a peer: the device that it belongs to, and through that the way out. */
import type { Arena, Milliseconds } from "../base/index.js";
import type { DeviceCounters } from "./drop.js";
import type { Identity } from "./handshake.js";
import type { IndexTable } from "./index-table.js";
import type { Peer } from "./peer.js";
import type { Schedule } from "./schedule.js";
import type { TimestampSource } from "./tai64n.js";
import type { PeerTimers } from "./timers.js";

/** Takes datagrams that the device builds itself: handshakes, cookies, keep-alives, staged packets. */
export interface DatagramOutput {
  /**
   * Must not call back into the device.
   * @param endpoint as in base/endpoint
   * @param offset arena offset; the bytes are valid until the call returns
   */
  send(endpoint: Uint8Array, offset: number, length: number): void;
}

/** Told during `next` and `poll`; must not add or remove peers from within. */
export interface DeviceEvents {
  /** A session came up; `restored`: after silence or a change of the network, so what was sent meanwhile is lost. */
  onHandshake(peer: Peer, now: Milliseconds, restored: boolean): void;
  /** No answer for 5 s, and again after each further minute. `seconds` counts from the first attempt. */
  onHandshakeTimeout(peer: Peer, seconds: number): void;
  /**
   * An eager peer has been quiet, but was asked nothing: is it there? A packet that asks for an answer costs less than
   * a handshake. False when there is none to send.
   */
  onQuiet(peer: Peer, now: Milliseconds): boolean;
  /** The peer was heard from another address: `peer.endpoint` has changed. */
  onPeerEndpoint(peer: Peer): void;
}

/** What a peer needs of its device. */
export interface PeerHost {
  readonly arena: Arena;
  readonly identity: Identity;
  readonly output: DatagramOutput;
  readonly events: DeviceEvents;
  readonly indexes: IndexTable<Peer>;
  readonly schedule: Schedule<PeerTimers>;
  readonly timestamps: TimestampSource;
  readonly wallClock: () => number;
  readonly counters: DeviceCounters;
  readonly mtu: number;
  /** See `Device.drain`. */
  readonly draining: boolean;
  /** Arena offset of a datagram buffer for what the device itself sends. */
  readonly scratch: number;
}
