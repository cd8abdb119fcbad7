/**
 * A WireGuard interface without its sockets: datagrams and inner packets in, the same out.
 *
 * Owns the peers and cryptokey routing. Follows "WireGuard: Next Generation Kernel Network
 * Tunnel" (Donenfeld; "the paper" below). No I/O, no clock: `now` is an argument, what the device itself has
 * to send goes to the `DatagramOutput`. Not safe to call back into from output or events.
 */
import {
  type Arena,
  type CryptoSuite,
  type Endpoint,
  equalConstantTime,
  FIRST_PIECE_BYTES,
  type Milliseconds,
  type Prefix,
  type Random,
  readEndpoint,
  toHex,
} from "../base/index.js";
import { AllowedIps } from "./allowed-ips.js";
import { KEY_BYTES, TAG_BYTES, TRANSPORT_HEADER_BYTES } from "./constants.js";
import { createCounters, type DeviceCounters } from "./drop.js";
import { HandshakeGate } from "./gate.js";
import type { Identity } from "./handshake.js";
import { IndexTable } from "./index-table.js";
import { clamp } from "./noise.js";
import { Peer } from "./peer.js";
import type { DatagramOutput, DeviceEvents, PeerHost } from "./peer-host.js";
import { type Received, Receiver } from "./receiver.js";
import { Schedule } from "./schedule.js";
import { TimestampSource } from "./tai64n.js";
import type { PeerTimers } from "./timers.js";

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
  /** Notices silence and repeats handshakes sooner than the paper has it; for peers that many replicas stand for. */
  eager?: boolean;
}

/** What `updatePeer` changes: only what is present. `allowedIps` replaces the list. */
export type PeerChange = Omit<PeerConfig, "publicKey">;

const DEFAULT_MTU = 1420;
const MAX_INNER_BYTES = 65_535;
/** Some AEADs use the 64 bytes before a packet. */
const SCRATCH_HEAD_BYTES = 64;
const IPV4_HEADER_BYTES = 20;
const IPV6_HEADER_BYTES = 40;

export class Device implements PeerHost {
  readonly arena: Arena;
  readonly output: DatagramOutput;
  readonly events: DeviceEvents;
  readonly wallClock: () => number;
  readonly mtu: number;
  readonly scratch: number;
  readonly indexes: IndexTable<Peer>;
  readonly schedule: Schedule<PeerTimers> = new Schedule<PeerTimers>();
  readonly timestamps: TimestampSource;
  readonly counters: DeviceCounters = createCounters();
  identity: Identity;
  draining = false;
  private readonly byKey: Map<string, Peer> = new Map<string, Peer>();
  private readonly allowedIps: AllowedIps<Peer>;
  private readonly gate: HandshakeGate;
  private readonly receiver: Receiver;

  constructor(config: DeviceConfig) {
    const { arena, crypto, random, options = {} } = config;
    this.arena = arena;
    this.output = config.output;
    this.events = config.events;
    this.wallClock = config.wallClock;
    this.mtu = options.mtu ?? DEFAULT_MTU;
    const scratchBytes = SCRATCH_HEAD_BYTES + TRANSPORT_HEADER_BYTES + MAX_INNER_BYTES + 1 + TAG_BYTES;
    this.scratch = arena.reserve(scratchBytes) + SCRATCH_HEAD_BYTES;
    this.indexes = new IndexTable<Peer>(random, options.worker);
    this.timestamps = new TimestampSource(config.wallClock);
    this.allowedIps = new AllowedIps<Peer>(arena);
    this.identity = createIdentity(crypto, random, config.privateKey);
    this.gate = new HandshakeGate(this, publicKey => this.lookup(publicKey));
    const { indexes, allowedIps, gate, counters } = this;
    this.receiver = new Receiver(arena, crypto, indexes, allowedIps, gate, counters);
  }

  get publicKey(): Uint8Array {
    return this.identity.publicKey;
  }

  /** For the configuration interface alone. */
  get privateKey(): Uint8Array {
    return this.identity.privateKey;
  }

  // ---- packets ----

  /**
   * Takes arena bytes [first, first + total), which may be overwritten: datagrams of `segmentBytes` each, the last one
   * maybe shorter. `next` is to be called while `hasNext`.
   * @param source arena offset of an endpoint record
   */
  receive(first: number, total: number, segmentBytes: number, source: number, now: Milliseconds): void {
    this.receiver.begin(first, total, segmentBytes, source, now);
  }

  get hasNext(): boolean {
    return this.receiver.hasNext;
  }

  /**
   * What became of the next datagram.
   * @returns > 0: an inner packet of that many bytes begins at `received.at` and came from `received.from`;
   *   0: handled; < 0: dropped for this reason (`dropReasonName`), and counted
   */
  next(): number {
    return this.receiver.next();
  }

  /**
   * After `next` returned a packet: more packets of its length and sender that came right behind it, and begin with the same
   * ALIKE_BYTES bytes. Other datagrams are `next`'s.
   * @returns how many; the first is at `received.at` then, the others `received.stride` bytes apart
   */
  nextAlike(): number {
    return this.receiver.nextAlike();
  }

  /** What `next` and `nextAlike` have returned, until the next `next`. */
  get received(): Received {
    return this.receiver;
  }

  /**
   * Encrypts the inner packet at `offset` in place. 16 bytes before it and 31 behind it must be free.
   * @param rest as for `AeadKey.seal`
   * @returns length of the datagram that begins at `offset` − 16, to be sent to `peer.endpoint` after `runSeals`; or 0
   *   when there is no session: the packet was copied, and goes to the output once there is one
   */
  seal(
    peer: Peer,
    offset: number,
    length: number,
    now: Milliseconds,
    rest: number = offset + FIRST_PIECE_BYTES,
  ): number {
    return peer.seal(offset, length, now, rest);
  }

  /**
   * Encrypts `count` packets of `length` bytes right after `seal` has encrypted one like them for the same peer: each is
   * `stride` bytes, which is its datagram's length, after the one before, and its `rest` `restStride` bytes.
   * @returns how many of them are datagrams now, all or none
   */
  sealAlike(
    peer: Peer,
    count: number,
    offset: number,
    stride: number,
    length: number,
    rest: number,
    restStride: number,
    now: Milliseconds,
  ): number {
    return peer.sealAlike(count, offset, stride, length, rest, restStride, now);
  }

  /** Datagrams that `seal` announced are there now. */
  runSeals(): void {
    this.identity.crypto.runSeals();
  }

  /** The peer that an inner packet at `offset` is to be sent to, by allowed-IPs; null when nobody's. */
  route(offset: number, length: number): Peer | null {
    const version = (this.arena.u8[offset] as number) >>> 4;
    if (version === 4 && length >= IPV4_HEADER_BYTES) return this.allowedIps.lookup4(offset + 16);
    if (version === 6 && length >= IPV6_HEADER_BYTES) return this.allowedIps.lookup6(offset + 24);
    return null;
  }

  // ---- time ----

  /** Runs the timers that are due. */
  poll(now: Milliseconds): void {
    for (let due = this.schedule.takeDue(now); due !== null; due = this.schedule.takeDue(now)) due.run(now);
  }

  /** When `poll` is next needed. Early is possible, late is not. */
  pollAt(): Milliseconds {
    return this.schedule.next;
  }

  /** The machine's addresses or routes changed, or it woke up: active peers shake hands at once. */
  networkChanged(now: Milliseconds): void {
    for (const peer of this.byKey.values()) peer.networkChanged(now);
  }

  /**
   * Initiations are answered where their peer has been heard already, and nowhere else: sessions that are open are
   * renewed, and whoever comes anew finds another replica.
   */
  drain(): void {
    this.draining = true;
  }

  // ---- configuration ----

  /** Throws RangeError when the key is already a peer's or our own. */
  addPeer(config: PeerConfig, now: Milliseconds): Peer {
    const { publicKey } = config;
    if (publicKey.length !== KEY_BYTES) throw new RangeError(`publicKey must have ${KEY_BYTES} bytes`);
    if (this.lookup(publicKey) !== null) throw new RangeError("publicKey is a peer's already");
    if (equalConstantTime(publicKey, this.publicKey)) throw new RangeError("publicKey is our own");
    const peer = new Peer(this, publicKey);
    this.byKey.set(toHex(publicKey), peer);
    this.change(peer, config, now);
    return peer;
  }

  /** The changed peer, or null when there is none with that key. */
  updatePeer(publicKey: Uint8Array, change: PeerChange, now: Milliseconds): Peer | null {
    const peer = this.lookup(publicKey);
    if (peer !== null) this.change(peer, change, now);
    return peer;
  }

  private change(peer: Peer, change: PeerChange, now: Milliseconds): void {
    if (change.presharedKey !== undefined) peer.setPresharedKey(change.presharedKey);
    // Before an endpoint may start the first handshake.
    if (change.eager !== undefined) peer.timers.eager = change.eager;
    if (change.endpoint !== undefined) peer.setEndpoint(change.endpoint, now);
    if (change.allowedIps !== undefined) this.setAllowedIps(peer, change.allowedIps);
    if (change.persistentKeepaliveSeconds !== undefined) {
      peer.setPersistentKeepalive(change.persistentKeepaliveSeconds, now);
    }
  }

  /** A prefix that was another peer's moves to this one. */
  private setAllowedIps(peer: Peer, prefixes: readonly Prefix[]): void {
    for (const prefix of peer.allowedIps) this.allowedIps.remove(prefix);
    const unique = prefixes.filter((prefix, i) => prefixes.findIndex(other => other.equals(prefix)) === i);
    for (const prefix of unique) {
      const before = this.allowedIps.insert(prefix, peer);
      if (before !== null) before.allowedIps = before.allowedIps.filter(other => !other.equals(prefix));
    }
    peer.allowedIps = unique;
    this.receiver.stopRun();
  }

  /** Becomes the same interface on another socket: the key and the peers of `other`, but not their sessions. */
  mirror(other: Device, now: Milliseconds): void {
    this.setPrivateKey(other.privateKey);
    for (const peer of other.peers()) {
      const { publicKey, endpoint, allowedIps, persistentKeepaliveSeconds } = peer;
      this.addPeer(
        {
          publicKey,
          presharedKey: peer.handshake.getPresharedKey(),
          ...(peer.hasEndpoint ? { endpoint: readEndpoint(endpoint, 0) } : {}),
          allowedIps,
          persistentKeepaliveSeconds,
          eager: peer.timers.eager,
        },
        now,
      );
    }
  }

  /** Wipes its keys and forgets it, at once. */
  removePeer(publicKey: Uint8Array): boolean {
    const peer = this.lookup(publicKey);
    if (peer === null) return false;
    this.setAllowedIps(peer, []);
    peer.close();
    this.byKey.delete(toHex(publicKey));
    this.receiver.forget(peer);
    return true;
  }

  lookup(publicKey: Uint8Array): Peer | null {
    return this.byKey.get(toHex(publicKey)) ?? null;
  }

  peers(): IterableIterator<Peer> {
    return this.byKey.values();
  }

  /** Another key ends all sessions; a peer whose key is ours now is removed. */
  setPrivateKey(privateKey: Uint8Array): void {
    const identity = createIdentity(this.identity.crypto, this.identity.random, privateKey);
    if (equalConstantTime(identity.privateKey, this.identity.privateKey)) {
      identity.privateKey.fill(0);
      return;
    }
    this.identity.privateKey.fill(0);
    this.identity = identity;
    this.removePeer(this.publicKey);
    this.gate.identityChanged();
    for (const peer of this.byKey.values()) {
      peer.identityChanged();
      this.receiver.forget(peer);
    }
  }

  /** Wipes every key. */
  close(): void {
    for (const peer of [...this.byKey.values()]) this.removePeer(peer.publicKey);
    this.identity.privateKey.fill(0);
  }
}

function createIdentity(crypto: CryptoSuite, random: Random, key: Uint8Array): Identity {
  if (key.length !== KEY_BYTES) throw new RangeError(`privateKey must have ${KEY_BYTES} bytes`);
  const privateKey = key.slice();
  clamp(privateKey);
  return { crypto, random, privateKey, publicKey: crypto.x25519PublicKey(privateKey) };
}
