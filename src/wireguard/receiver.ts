/**
 * The receive path of a device: a batch of datagrams in, inner packets out, one by one or those alike together.
 *
 * Transport messages are looked at first, opened all together, and then judged in their order (paper §5.4.6): tag,
 * replay window, allowed-IPs. A handshake message waits until what came before it was judged.
 */
import type { Arena, CryptoSuite, Milliseconds } from "../base/index.js";
import type { AllowedIps } from "./allowed-ips.js";
import { KEEPALIVE_BYTES, MESSAGE_TRANSPORT, TAG_BYTES, TRANSPORT_HEADER_BYTES } from "./constants.js";
import { count, type DeviceCounters, Drop, dropCounter } from "./drop.js";
import type { HandshakeGate } from "./gate.js";
import type { IndexTable } from "./index-table.js";
import type { Keypair } from "./keypair.js";
import { TRANSPORT_COUNTER_AT, TRANSPORT_RECEIVER_AT } from "./message.js";
import type { Peer } from "./peer.js";
import { countMessages, TransportRun } from "./transport-run.js";

/** As many as are opened together in any case. */
const BATCH = 64;
const BATCH_BYTES = 65_536;
const IPV4_HEADER_BYTES = 20;
const IPV6_HEADER_BYTES = 40;

/** Inner packets that came in. */
export interface Received {
  /** Who sent them; null once that peer, or the key that they came under, is gone. */
  readonly from: Peer | null;
  /** Arena offset of the first, and how far apart they are. */
  readonly at: number;
  readonly stride: number;
}

export class Receiver implements Received {
  from: Peer | null = null;
  at = 0;
  stride = 0;
  private readonly arena: Arena;
  private readonly crypto: CryptoSuite;
  private readonly indexes: IndexTable<Peer>;
  private readonly allowedIps: AllowedIps<Peer>;
  private readonly gate: HandshakeGate;
  private readonly counters: DeviceCounters;
  private readonly batch: readonly TransportRun[] = Array.from({ length: BATCH }, () => new TransportRun());
  /** Runs that were looked at, and those of them that were judged. */
  private waiting = 0;
  private judged = 0;
  /** The one whose message `next` has just judged, when that was a packet; and how many behind it are alike. */
  private last: TransportRun | null = null;
  private alike = 0;
  // What is left of the datagrams, and what they have in common.
  private offset = 0;
  private end = 0;
  private segmentBytes = 0;
  private source = 0;
  private now: Milliseconds = 0;
  /**
   * The session of the packet before, since the last handshake message: what `Peer.received` does is done. A batch has one
   * source and one time.
   */
  private heardUnder: Keypair | null = null;

  constructor(
    arena: Arena,
    crypto: CryptoSuite,
    indexes: IndexTable<Peer>,
    allowedIps: AllowedIps<Peer>,
    gate: HandshakeGate,
    counters: DeviceCounters,
  ) {
    this.arena = arena;
    this.crypto = crypto;
    this.indexes = indexes;
    this.allowedIps = allowedIps;
    this.gate = gate;
    this.counters = counters;
  }

  /** As `Device.receive`. */
  begin(first: number, total: number, segmentBytes: number, source: number, now: Milliseconds): void {
    this.offset = first;
    this.end = first + total;
    this.segmentBytes = segmentBytes;
    this.source = source;
    this.now = now;
    this.waiting = 0;
    this.judged = 0;
    this.last = null;
    this.alike = 0;
    this.heardUnder = null;
  }

  /** The peer's keys are gone: what it sent and was not judged yet is judged as it would be if it came now. */
  forget(peer: Peer): void {
    if (this.from === peer) this.from = null;
    this.heardUnder = null;
    for (let i = this.judged; i < this.waiting; i++) {
      const run = this.batch[i] as TransportRun;
      if (run.peer === peer) run.ticket = Drop.unknownIndex;
    }
  }

  get hasNext(): boolean {
    return this.judged < this.waiting || this.offset < this.end;
  }

  /** As `Device.next`. */
  next(): number {
    if (this.judged === this.waiting) this.collect();
    this.last = null;
    this.alike = 0;
    const result = this.judged < this.waiting ? this.judge() : this.handshake();
    if (result < 0) count(this.counters, dropCounter(result));
    return result;
  }

  /** As `Device.nextAlike`. */
  nextAlike(): number {
    const { last: run, from: peer, alike } = this;
    if (run === null || peer === null) return 0;
    this.alike = 0;
    if (alike > 0) {
      (run.keypair as Keypair).replay.acceptNext(alike);
      peer.rxBytes += alike * run.bytes;
      peer.timers.dataReceived(this.now);
      this.at += this.stride;
      this.judgedOf(run, alike);
    }
    return alike;
  }

  /** What allows packets has changed: each is judged by itself. */
  stopRun(): void {
    this.alike = 0;
  }

  private judgedOf(run: TransportRun, count: number): void {
    run.judged += count;
    if (run.judged === run.count) this.judged++;
  }

  private get length(): number {
    return Math.min(this.segmentBytes, this.end - this.offset);
  }

  private messageType(): number {
    return this.length < KEEPALIVE_BYTES ? 0 : this.arena.view.getUint32(this.offset, true);
  }

  /** Transport messages up to the next other one, as many as are opened together. */
  private collect(): void {
    this.waiting = 0;
    this.judged = 0;
    let before: TransportRun | null = null;
    while (this.waiting < BATCH && this.offset < this.end && this.messageType() === MESSAGE_TRANSPORT) {
      const run: TransportRun = this.batch[this.waiting] as TransportRun;
      if (!this.look(run, before)) break;
      before = run;
      this.waiting++;
      this.offset += run.count * this.segmentBytes;
    }
    if (this.waiting > 0) this.crypto.runOpens();
  }

  /**
   * False when no more can be opened at once.
   * @param before of the same session most of the time
   */
  private look(run: TransportRun, before: TransportRun | null): boolean {
    const { offset, length } = this;
    const { view } = this.arena;
    const index = view.getInt32(offset + TRANSPORT_RECEIVER_AT, true);
    if (before !== null && before.keypair !== null && before.keypair.localIndex === index) {
      run.peer = before.peer;
      run.keypair = before.keypair;
    } else {
      run.peer = this.indexes.get(index);
      run.keypair = run.peer === null ? null : run.peer.keypairs.find(index);
    }
    const { keypair } = run;
    run.bytes = length;
    run.ticket = Drop.unknownIndex;
    run.count = 1;
    run.judged = 0;
    if (keypair === null) return true;
    const counterAt = offset + TRANSPORT_COUNTER_AT;
    const counter = view.getUint32(counterAt, true) + view.getUint32(counterAt + 4, true) * 0x1_0000_0000;
    run.counter = counter;
    run.ticket = Drop.expired;
    if (!keypair.canReceive(counter, this.now)) return true;
    const most = Math.floor(Math.min(this.end - offset, BATCH_BYTES) / this.segmentBytes);
    const alike = countMessages(this.arena, offset, this.segmentBytes, Math.min(most, BATCH));
    if (keypair.canReceive(counter + alike - 1, this.now)) run.count = alike;
    const innerBytes = length - TRANSPORT_HEADER_BYTES - TAG_BYTES;
    const inner = offset + TRANSPORT_HEADER_BYTES;
    run.ticket = keypair.receiveKey.openAlike(run.count, inner, this.segmentBytes, innerBytes, counter);
    return run.ticket !== -1;
  }

  private judge(): number {
    const run = this.batch[this.judged] as TransportRun;
    const result = this.judgeNext(run);
    if (result > 0) this.handOut(run);
    return result;
  }

  /** Finds the packets alike while nobody else has the one that they are compared with. */
  private handOut(run: TransportRun): void {
    const { arena, crypto, at } = this;
    this.last = run;
    // Beyond the greatest counter, what comes next is new.
    if (run.judged === run.count || !run.isNewest) return;
    this.stride = crypto.opened(run.ticket + run.judged) - at;
    this.alike = run.countAlike(arena, crypto, at, this.stride);
  }

  private judgeNext(run: TransportRun): number {
    const { peer, keypair, bytes, judged } = run;
    this.judgedOf(run, 1);
    if (run.ticket < 0 || peer === null || keypair === null) return run.ticket;
    const inner = this.crypto.opened(run.ticket + judged);
    if (inner === -1) return Drop.unauthentic;
    const counter = run.counter + judged;
    if (!keypair.replay.accept(counter)) return Drop.replayed;
    if (keypair === this.heardUnder) {
      peer.rxBytes += bytes;
    } else {
      peer.received(keypair, this.source, bytes, this.now);
      this.heardUnder = keypair;
    }
    const innerBytes = bytes - TRANSPORT_HEADER_BYTES - TAG_BYTES;
    if (innerBytes === 0) return 0;
    peer.timers.dataReceived(this.now);
    return this.checkInner(peer, inner, innerBytes);
  }

  private handshake(): number {
    const { offset, length } = this;
    const type = this.messageType();
    this.offset += this.segmentBytes;
    this.heardUnder = null;
    return this.gate.process(type, offset, length, this.source, this.now);
  }

  /** Cryptokey routing of what came in (paper §2): length of the inner packet, or why it is dropped. */
  private checkInner(peer: Peer, inner: number, available: number): number {
    const { u8, view } = this.arena;
    const version = (u8[inner] as number) >>> 4;
    let total: number;
    let owner: Peer | null;
    if (version === 4 && available >= IPV4_HEADER_BYTES) {
      total = view.getUint16(inner + 2);
      if (total < IPV4_HEADER_BYTES) return Drop.malformed;
      owner = this.allowedIps.lookup4(inner + 12);
    } else if (version === 6 && available >= IPV6_HEADER_BYTES) {
      total = view.getUint16(inner + 4) + IPV6_HEADER_BYTES;
      owner = this.allowedIps.lookup6(inner + 8);
    } else {
      return Drop.malformed;
    }
    if (total > available) return Drop.malformed;
    if (owner !== peer) return Drop.notAllowed;
    this.from = peer;
    this.at = inner;
    return total;
  }
}
