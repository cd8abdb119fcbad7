/**
 * The other end of a connection when it is not our stack: a plain TCP of its own, without congestion control,
 * whose habits a scenario chooses. It acknowledges in the middle of segments, forgets what it reported by SACK
 * (RFC 2018 §8), closes its window, probes ours with a byte beyond it (RFC 9293 §3.8.6.1), cuts the same bytes
 * differently each time, sends what has long arrived, and goes back to the oldest byte when nothing comes.
 */
import { type Address, type Milliseconds, NEVER } from "../../../src/base/index.js";
import type { Link, TcpConnection } from "../../../src/netstack/index.js";
import { Prng } from "./prng.js";
import { ACK, checksumsHold, FIN, RST, type SegmentView, SYN, unwrap, viewSegment } from "./segment-view.js";
import { fillChecksums, type SimLink } from "./sim-link.js";
import { patternBytes } from "./streams.js";
import type { Host, World } from "./world.js";

/** Plain values, as all of a scenario. */
export interface Habits {
  /** It sends the SYN; otherwise it waits for ours. */
  opens: boolean;
  sack: boolean;
  timestamps: boolean;
  /** Window scale that it offers; -1 for none. */
  scale: number;
  mss: number;
  windowBytes: number;
  /** Chance, per segment taken, that the window stays shut for a while. */
  shut: number;
  shutMs: Milliseconds;
  /** Segments per acknowledgment. */
  ackEvery: number;
  /** Chance that an acknowledgment stops short of what has arrived. */
  ackShort: number;
  /** Chance, per segment taken, that everything out of order is forgotten. */
  renege: number;
  /** Most bytes that it puts into a segment, and most segments that it has out. */
  segmentBytes: number;
  segmentsOut: number;
  /** Chance, per segment sent, that it starts with bytes sent before, or changes places with the next. */
  overlap: number;
  swap: number;
}

const DELAYED_ACK_MS: Milliseconds = 150;
const FIRST_RTO_MS: Milliseconds = 400;
const MAX_RTO_MS: Milliseconds = 5000;

export interface ScriptedPeerConfig {
  world: World;
  link: SimLink;
  habits: Habits;
  seed: number;
  address: Address;
  port: number;
  remote: Address;
  remotePort: number;
  iss: number;
  /** Bytes to send and to expect, each with the seed of its pattern. */
  send: { bytes: number; seed: number };
  receive: { bytes: number; seed: number };
}

export class ScriptedPeer implements Host {
  failure: string | null = null;
  private readonly config: ScriptedPeerConfig;
  private readonly random: Prng;
  private remotePort: number;
  private state: "idle" | "syn-sent" | "syn-received" | "open" = "idle";

  // Receiving, in stream positions.
  private irs = 0;
  private readonly have: Uint8Array;
  private readonly bytes: Uint8Array;
  private nxt = 0;
  private finAt = -1;
  private finTaken = false;
  private edge = 0;
  private ackSent = 0;
  private taken = 0;
  private ackAt: Milliseconds = NEVER;
  private opensAt: Milliseconds = NEVER;
  private tsRecent = 0;
  private timestamps = false;
  private scaling = false;

  // Sending, in stream positions; FIN is the byte after the last.
  private readonly data: Uint8Array;
  private una = 0;
  private sent = 0;
  private most = 0;
  private window = 0;
  private peerScale = 0;
  private rto: Milliseconds = FIRST_RTO_MS;
  private rtoAt: Milliseconds = NEVER;

  constructor(config: ScriptedPeerConfig) {
    this.config = config;
    this.random = new Prng(config.seed ^ 0x5eed);
    this.remotePort = config.remotePort;
    this.data = patternBytes(config.send.seed, 0, config.send.bytes);
    this.bytes = new Uint8Array(config.receive.bytes);
    this.have = new Uint8Array(config.receive.bytes);
    if (config.habits.opens) {
      this.state = "syn-sent";
      this.rtoAt = config.world.now;
    }
  }

  /** Everything has been sent, acknowledged and received. */
  get done(): boolean {
    return this.finTaken && this.una === this.data.length + 1;
  }

  get summary(): string {
    return `peer ${this.state}: received ${this.nxt}, acknowledged ${this.una} of ${this.data.length}`;
  }

  /** What is wrong with the bytes that came, or null. */
  checkBytes(): string | null {
    const { bytes, seed } = this.config.receive;
    if (this.nxt !== bytes) return `the peer received ${this.nxt} of ${bytes} bytes`;
    return Buffer.compare(this.bytes, patternBytes(seed, 0, bytes)) === 0 ? null : "the peer got wrong bytes";
  }

  // ---- Host ----

  connections(): readonly TcpConnection[] {
    return [];
  }

  dispatch(): void {}

  pollAt(): Milliseconds {
    return Math.min(this.rtoAt, this.ackAt, this.opensAt);
  }

  poll(now: Milliseconds): void {
    if (this.opensAt <= now) {
      this.opensAt = NEVER;
      this.ackAt = now;
    }
    if (this.ackAt <= now) this.acknowledge();
    if (this.rtoAt <= now) this.onTimeout(now);
  }

  process(_link: Link, offset: number, length: number, now: Milliseconds): void {
    const packet = this.config.world.arena.u8.slice(offset, offset + length);
    const segment = checksumsHold(packet) ? viewSegment(packet) : null;
    if (segment === null) return;
    if (segment.flags & RST) {
      // What comes after the end is answered with a reset, as by any TCP.
      if (!this.done) this.failure ??= "reset by the stack";
      return;
    }
    if (segment.flags & SYN) this.onSyn(segment, packet, now);
    else if (this.state !== "idle" && this.state !== "syn-sent") this.onSegment(segment, now);
  }

  private onSyn(segment: SegmentView, packet: Uint8Array, now: Milliseconds): void {
    const { habits } = this.config;
    if (this.state === "open") {
      this.acknowledge();
      return;
    }
    if (this.state === "idle") {
      const view = new DataView(packet.buffer, packet.byteOffset);
      this.remotePort = view.getUint16((packet[0] as number) >> 4 === 4 ? 20 : 40);
      this.state = "syn-received";
    } else if (this.state === "syn-sent") {
      if ((segment.flags & ACK) === 0) return;
      this.state = "open";
    }
    this.irs = segment.seq;
    this.timestamps = habits.timestamps && segment.timestamps !== null;
    if (segment.timestamps !== null) this.tsRecent = segment.timestamps[0];
    this.scaling = habits.scale >= 0 && segment.windowScale >= 0;
    this.peerScale = this.scaling ? segment.windowScale : 0;
    this.window = segment.window;
    this.rtoAt = now + this.rto;
    if (this.state === "syn-received") this.sendSyn();
    else {
      this.acknowledge();
      this.transmit(now);
    }
  }

  private onSegment(segment: SegmentView, now: Milliseconds): void {
    if ((segment.flags & ACK) === 0) return;
    const acked = unwrap(segment.ack, this.config.iss + 1 + this.una) - this.config.iss - 1;
    if (acked < 0 || acked > this.most) return;
    this.state = "open";
    if (acked > this.una) {
      this.una = acked;
      this.sent = Math.max(this.sent, acked);
      this.rto = FIRST_RTO_MS;
      this.rtoAt = now + this.rto;
    }
    if (acked >= this.una) this.window = Math.max(acked + segment.window * 2 ** this.peerScale, this.una);
    this.take(segment, now);
    this.transmit(now);
  }

  // ---- receiving ----

  private take(segment: SegmentView, now: Milliseconds): void {
    const { habits } = this.config;
    const { payload, timestamps } = segment;
    const from = unwrap(segment.seq, this.irs + 1 + this.nxt) - this.irs - 1;
    if (timestamps !== null && from <= this.nxt) this.tsRecent = timestamps[0];
    if (payload.length === 0 && (segment.flags & FIN) === 0) {
      // A probe: below the window, so it wants an answer.
      if (from < this.nxt) this.acknowledge();
      return;
    }
    const first = this.nxt;
    for (let i = 0; i < payload.length; i++) {
      const at = from + i;
      if (at < this.nxt || at >= Math.min(this.edge, this.bytes.length)) continue;
      this.bytes[at] = payload[i] as number;
      this.have[at] = 1;
    }
    while (this.have[this.nxt] === 1) this.nxt++;
    if (segment.flags & FIN) this.finAt = from + payload.length;
    if (this.finAt === this.nxt) this.finTaken = true;
    if (this.random.chance(habits.renege)) this.have.fill(0, this.nxt);
    if (this.opensAt === NEVER && this.random.chance(habits.shut)) this.opensAt = now + habits.shutMs;
    this.taken++;
    const inOrder = from <= first && this.nxt > first;
    if (!inOrder || this.finTaken || this.taken % habits.ackEvery === 0) this.acknowledge();
    else this.ackAt = Math.min(this.ackAt, now + DELAYED_ACK_MS);
  }

  private acknowledge(): void {
    const { habits, world } = this.config;
    this.ackAt = NEVER;
    let ack = this.nxt + (this.finTaken ? 1 : 0);
    if (!this.finTaken && this.random.chance(habits.ackShort)) {
      ack = Math.max(this.ackSent, ack - this.random.between(1, 1000));
      this.ackAt = world.now + DELAYED_ACK_MS;
    }
    this.ackSent = Math.max(this.ackSent, ack);
    this.sendSegment(ACK, this.sent, null, ack);
  }

  /** The window field; the edge that it tells never moves back, and stands still while the window is shut. */
  private offer(ack: number): number {
    const { habits } = this.config;
    const shift = this.scaling ? habits.scale : 0;
    const wanted = this.opensAt === NEVER ? Math.max(this.edge, ack + habits.windowBytes) : this.edge;
    const field = Math.min(0xffff, Math.ceil(Math.max(0, wanted - ack) / 2 ** shift));
    this.edge = Math.max(this.edge, ack + field * 2 ** shift);
    return field;
  }

  // ---- sending ----

  private transmit(now: Milliseconds): void {
    const { habits } = this.config;
    const end = this.data.length + 1;
    if (this.state !== "open") return;
    const limit = this.una + habits.segmentsOut * habits.segmentBytes;
    while (this.sent < end && this.sent < limit) {
      const room = Math.min(this.window - this.sent, this.data.length - this.sent);
      if (room <= 0 && this.sent < this.data.length) break;
      const length = this.sendPiece(this.sent, Math.max(0, room));
      this.sent += length;
      this.most = Math.max(this.most, this.sent);
    }
    if (this.una < end) {
      if (this.rtoAt === NEVER) this.rtoAt = now + this.rto;
    } else this.rtoAt = NEVER;
  }

  /** A segment from `at` on, of up to `room` bytes; FIN on the last. Returns how far it reaches. */
  private sendPiece(at: number, room: number): number {
    const { habits } = this.config;
    const { random, data } = this;
    const length = Math.min(room, random.between(1, habits.segmentBytes));
    const most = Math.min(at, habits.segmentBytes - length);
    const back = random.chance(habits.overlap) ? random.between(0, most) : 0;
    const half = length >> 1;
    if (half > 0 && random.chance(habits.swap)) {
      this.sendSegment(ACK, at + half, data.subarray(at + half, at + length), this.ackSent);
      this.sendSegment(ACK, at, data.subarray(at, at + half), this.ackSent);
      return length;
    }
    const isLast = at + length === data.length;
    const payload = data.subarray(at - back, at + length);
    this.sendSegment(isLast ? ACK | FIN : ACK, at - back, payload, this.ackSent);
    return length + (isLast ? 1 : 0);
  }

  /** Back to the oldest byte; a byte beyond the window when that is shut. */
  private onTimeout(now: Milliseconds): void {
    this.rto = Math.min(2 * this.rto, MAX_RTO_MS);
    this.rtoAt = now + this.rto;
    if (this.state !== "open") {
      this.sendSyn();
      return;
    }
    this.sent = this.una;
    if (this.window <= this.una && this.una < this.data.length) {
      this.sendSegment(ACK, this.una, this.data.subarray(this.una, this.una + 1), this.ackSent);
      this.most = Math.max(this.most, this.una + 1);
    } else this.transmit(now);
  }

  // ---- packets ----

  private sendSyn(): void {
    const { habits, world } = this.config;
    const options = [2, 4, habits.mss >> 8, habits.mss & 255];
    if (habits.scale >= 0) options.push(1, 3, 3, habits.scale);
    if (habits.sack) options.push(1, 1, 4, 2);
    if (habits.timestamps) {
      options.push(1, 1, 8, 10, ...word(world.now), ...word(this.state === "syn-sent" ? 0 : this.tsRecent));
    }
    const passive = this.state === "syn-received";
    const window = Math.min(0xffff, habits.windowBytes);
    this.edge = Math.max(this.edge, window);
    this.emit(passive ? SYN | ACK : SYN, -1, passive ? 0 : null, window, options, new Uint8Array(0));
  }

  private sendSegment(flags: number, at: number, payload: Uint8Array | null, ack: number): void {
    const { habits, world } = this.config;
    const options: number[] = [];
    if (this.timestamps) options.push(1, 1, 8, 10, ...word(world.now), ...word(this.tsRecent));
    const blocks = habits.sack && payload === null ? this.islands() : [];
    if (blocks.length > 0) {
      options.push(1, 1, 5, 2 + 8 * blocks.length);
      for (const at of blocks.flat()) options.push(...word(this.irs + 1 + at));
    }
    this.emit(flags, at, ack, this.offer(ack), options, payload ?? new Uint8Array(0));
  }

  /** The first three ranges ahead of `nxt`. */
  private islands(): [number, number][] {
    const islands: [number, number][] = [];
    for (let at = this.have.indexOf(1, this.nxt + 1); at !== -1 && islands.length < 3; ) {
      const gap = this.have.indexOf(0, at);
      const end = gap === -1 ? this.have.length : gap;
      islands.push([at, end]);
      at = this.have.indexOf(1, end);
    }
    return islands;
  }

  /** `at` and `ack` are stream positions; -1 is the SYN's, a null `ack` is none. */
  private emit(
    flags: number,
    at: number,
    ack: number | null,
    window: number,
    options: readonly number[],
    payload: Uint8Array,
  ): void {
    const { world, link, address, remote, port, iss } = this.config;
    const ip = address.family === 4 ? 20 : 40;
    const packet = new Uint8Array(ip + 20 + options.length + payload.length);
    const view = new DataView(packet.buffer);
    if (ip === 20) {
      packet.set([0x45, 0, packet.length >> 8, packet.length & 255, 0, 0, 0x40, 0, 64, 6]);
      view.setUint32(12, address.w3);
      view.setUint32(16, remote.w3);
    } else {
      packet.set([0x60, 0, 0, 0, (packet.length - 40) >> 8, (packet.length - 40) & 255, 6, 64]);
      [address, remote].forEach((a, i) => {
        packet.set([...word(a.w0), ...word(a.w1), ...word(a.w2), ...word(a.w3)], 8 + 16 * i);
      });
    }
    view.setUint16(ip, port);
    view.setUint16(ip + 2, this.remotePort);
    view.setUint32(ip + 4, iss + 1 + at);
    if (ack !== null) view.setUint32(ip + 8, this.irs + 1 + ack);
    packet.set([((20 + options.length) / 4) << 4, flags, window >> 8, window & 255], ip + 12);
    packet.set(options, ip + 20);
    packet.set(payload, ip + 20 + options.length);
    fillChecksums(packet, world);
    const out = link.reserve(packet.length);
    world.arena.u8.set(packet, out);
    link.commit(packet.length, 0, ip + 20 + options.length);
  }
}

function word(value: number): [number, number, number, number] {
  const v = Math.floor(value) >>> 0;
  return [v >>> 24, (v >>> 16) & 255, (v >>> 8) & 255, v & 255];
}
