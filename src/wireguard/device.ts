/** A WireGuard interface without its sockets: datagrams and inner packets in, the same out. */
import type { Arena, CryptoSuite, Endpoint, Milliseconds, Prefix, Random } from "../base/index.js";
import type { Peer } from "./peer.js";

/** Takes datagrams that the device builds itself: handshakes, cookies, keep-alives, staged packets. */
export interface DatagramOutput {
  /**
   * @param endpoint 20 bytes as in base/endpoint
   * @param offset arena offset; the bytes are valid until the call returns
   */
  send(endpoint: Uint8Array, offset: number, length: number): void;
}

export interface DeviceEvents {
  /** A session came up. */
  onHandshake(peer: Peer, now: Milliseconds): void;
  /** No answer for 5 s, and again after each further minute. `seconds` counts from the first attempt. */
  onHandshakeTimeout(peer: Peer, seconds: number): void;
  /** The peer was heard from another address: `peer.endpoint` has changed. */
  onPeerEndpoint(peer: Peer): void;
}

export interface DeviceOptions {
  /** Inner MTU: padding never makes a packet longer than this. Default 1420. */
  mtu?: number;
  /** Receiver indices carry `id` in their top `bits` bits. Default none. */
  worker?: { id: number; bits: number };
}

export interface DeviceConfig {
  arena: Arena;
  crypto: CryptoSuite;
  random: Random;
  privateKey: Uint8Array;
  /** Milliseconds since the epoch, for TAI64N and "last handshake". */
  wallClock: () => number;
  output: DatagramOutput;
  events: DeviceEvents;
  options?: DeviceOptions;
}

export interface PeerConfig {
  publicKey: Uint8Array;
  /** All zero or absent: none. */
  presharedKey?: Uint8Array;
  endpoint?: Endpoint;
  allowedIps?: readonly Prefix[];
  /** 0 or absent: off. */
  persistentKeepaliveSeconds?: number;
}

/** What `updatePeer` changes: only what is present. `allowedIps` replaces the list. */
export type PeerChange = Omit<PeerConfig, "publicKey">;

export class Device {
  readonly publicKey: Uint8Array = new Uint8Array(32);
  /** Drop reasons and other counts by name. */
  readonly counters: Record<string, number> = {};
  /** After `process` returned > 0: who sent the packet. */
  receivedFrom: Peer | null = null;

  constructor(_config: DeviceConfig) {}

  /**
   * One received datagram, decrypted in place.
   * @param source arena offset of a 20-byte endpoint record
   * @returns > 0: an inner packet of that many bytes begins at `offset` + 16 and came from `receivedFrom`;
   *   0: handled; < 0: dropped for this reason (`dropReasonName`), and counted
   */
  process(_offset: number, _length: number, _source: number, _now: Milliseconds): number {
    throw new Error("not built yet");
  }

  /**
   * Encrypts the inner packet at `offset` in place. 16 bytes before it and 31 behind it must be free.
   * @returns length of the datagram that begins at `offset` − 16, to be sent to `peer.endpoint`; or 0 when
   *   there is no session: the packet was copied, and goes to the output once there is one
   */
  seal(_peer: Peer, _offset: number, _length: number, _now: Milliseconds): number {
    throw new Error("not built yet");
  }

  /** The peer that an inner packet at `offset` is to be sent to, by allowed-IPs; null when nobody's. */
  route(_offset: number, _length: number): Peer | null {
    throw new Error("not built yet");
  }

  /** Runs the timers that are due. */
  poll(_now: Milliseconds): void {}

  /** When `poll` is next needed. Early is possible, late is not. */
  pollAt(): Milliseconds {
    return Number.POSITIVE_INFINITY;
  }

  /** Throws RangeError when the key is already a peer's or our own. */
  addPeer(_config: PeerConfig, _now: Milliseconds): Peer {
    throw new Error("not built yet");
  }

  updatePeer(_publicKey: Uint8Array, _change: PeerChange, _now: Milliseconds): Peer | null {
    throw new Error("not built yet");
  }

  /** Wipes its keys and forgets it, at once. */
  removePeer(_publicKey: Uint8Array): boolean {
    throw new Error("not built yet");
  }

  lookup(_publicKey: Uint8Array): Peer | null {
    throw new Error("not built yet");
  }

  peers(): IterableIterator<Peer> {
    throw new Error("not built yet");
  }

  setPrivateKey(_privateKey: Uint8Array): void {}

  /** The machine's addresses or routes changed, or it woke up: active peers shake hands at once. */
  networkChanged(_now: Milliseconds): void {}

  /** Wipes every key. */
  close(): void {}
}
