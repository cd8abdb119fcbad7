/**
 * A seeded link between two stacks: delay, rate, a drop-tail queue, random and bursty loss,
 * reordering, duplication, corruption, a path MTU that tells or hides itself. Each end is a `Link`; what one commits reaches the other stack some virtual time later.
 *
 * A super-segment is cut into wire segments as a network card would, unless the link is like a TUN device,
 * which passes it on whole and trusts its checksum.
 */
import type { Milliseconds } from "../../../src/base/index.js";
import type { ChecksumMode, Link } from "../../../src/netstack/index.js";
import { finishSum, foldSum, sumBytes } from "../../../src/wire/index.js";
import { goOn } from "../raw-peer.js";
import type { Prng } from "./prng.js";
import type { Witness } from "./witness.js";
import type { Host, World } from "./world.js";

export interface LinkConditions {
  mtu: number;
  delayMs: Milliseconds;
  /** Bytes per millisecond; Infinity for no limit. */
  bytesPerMs: number;
  /** Bytes that wait for the rate before more are dropped. */
  queueBytes: number;
  loss: number;
  /** Chance, per packet, that a burst of losses begins with it, and how many packets it takes on average. */
  burst: number;
  burstPackets: number;
  duplicate: number;
  /** Share of packets that take up to `reorderMs` longer. */
  reorder: number;
  reorderMs: Milliseconds;
  corrupt: number;
  congested: boolean;
  maxGsoBytes: number;
  /** Like a TUN device: super-segments pass whole, checksums are partial and trusted. */
  tunLike: boolean;
  /** Like a tunnel: what arrives is what was sent, so the two ends leave out checksums and timestamps. */
  authenticated: boolean;
}

export const PERFECT: LinkConditions = {
  mtu: 1420,
  delayMs: 10,
  bytesPerMs: Number.POSITIVE_INFINITY,
  queueBytes: Number.POSITIVE_INFINITY,
  loss: 0,
  burst: 0,
  burstPackets: 0,
  duplicate: 0,
  reorder: 0,
  reorderMs: 0,
  corrupt: 0,
  congested: true,
  maxGsoBytes: 0,
  tunLike: false,
  authenticated: false,
};

const MAX_PACKET_BYTES = 65_536;
/** Retransmissions back off: counted in packets alone, a burst would outlast a connection. */
const MAX_BURST_MS: Milliseconds = 500;

export class SimLink implements Link {
  readonly maxGsoBytes: number;
  readonly checksum: ChecksumMode;
  readonly congested: boolean;
  mtu: number;
  conditions: LinkConditions;
  packetsSent = 0;
  packetsLost = 0;
  bytesSent = 0;
  /** Sees every packet before the link does anything to it; false drops it. */
  filter: ((packet: Uint8Array) => boolean) | null = null;
  /** Sees what this end sends and is given. */
  witness: Witness | null = null;
  /** A larger packet is dropped by a router on the way. */
  pathMtu: number = Number.POSITIVE_INFINITY;
  /** The router says so (RFC 1191, RFC 8201). */
  pathMtuTold = true;
  private readonly world: World;
  private readonly random: Prng;
  private readonly out: number;
  private readonly in: number;
  private peer: SimLink | null = null;
  private stack: Host | null = null;
  private burstEnd: Milliseconds = 0;
  private busyUntil: Milliseconds = 0;

  constructor(world: World, random: Prng, conditions: LinkConditions) {
    this.world = world;
    this.random = random;
    this.conditions = conditions;
    this.mtu = conditions.mtu;
    this.maxGsoBytes = conditions.maxGsoBytes;
    this.congested = conditions.congested;
    this.checksum = conditions.tunLike ? "partial" : conditions.authenticated ? "redundant" : "full";
    this.out = world.arena.reserve(MAX_PACKET_BYTES);
    this.in = world.arena.reserve(MAX_PACKET_BYTES);
  }

  /** Joins two ends; each delivers to its own stack. */
  static join(a: SimLink, stackA: Host, b: SimLink, stackB: Host): void {
    a.peer = b;
    a.stack = stackA;
    b.peer = a;
    b.stack = stackB;
  }

  reserve(bytes: number): number {
    if (bytes > MAX_PACKET_BYTES) throw new RangeError(`packet of ${bytes} bytes`);
    return this.out;
  }

  /** Some of them, and at times all. */
  commitGathered(
    headerBytes: number,
    text: number,
    textBytes: number,
    count: number,
    gsoSize: number,
  ): number {
    const { arena } = this.world;
    const taken = Math.min(count, 1 + (this.packetsSent & 15));
    for (let i = 0; i < taken; i++) {
      const start = text + i * textBytes;
      arena.u8.copyWithin(this.out + headerBytes, start, start + textBytes);
      this.world.borrow(start, textBytes);
      this.commit(headerBytes + textBytes, gsoSize, headerBytes);
      goOn(arena, this.out + headerBytes, textBytes);
    }
    return taken;
  }

  commit(bytes: number, gsoSize: number, headerBytes: number): void {
    const packet = this.world.arena.u8.slice(this.out, this.out + bytes);
    if (gsoSize === 0 && bytes > this.mtu) throw new RangeError(`packet of ${bytes} bytes exceeds the MTU`);
    if (bytes > Math.max(this.mtu, this.maxGsoBytes)) throw new RangeError(`super-segment of ${bytes} bytes`);
    if (gsoSize === 0 || this.conditions.tunLike) {
      this.send(packet);
      return;
    }
    for (const segment of cutSegments(packet, gsoSize, headerBytes, this.world)) this.send(segment);
  }

  private send(packet: Uint8Array): void {
    this.packetsSent++;
    this.bytesSent += packet.length;
    const { conditions, random, world } = this;
    this.witness?.onSent(packet);
    if (this.filter !== null && !this.filter(packet)) return;
    if (packet.length > this.pathMtu) {
      this.packetsLost++;
      if (this.pathMtuTold) this.tellPathMtu(packet);
      return;
    }
    const start = Math.max(world.now, this.busyUntil);
    if (
      (start - world.now) * conditions.bytesPerMs > conditions.queueBytes ||
      random.chance(conditions.loss) ||
      this.isInBurst()
    ) {
      this.packetsLost++;
      return;
    }
    this.busyUntil = start + packet.length / conditions.bytesPerMs;
    let at = this.busyUntil + conditions.delayMs;
    if (random.chance(conditions.reorder)) at += random.real() * conditions.reorderMs;
    if (random.chance(conditions.corrupt)) {
      const at = random.between(0, packet.length - 1);
      packet[at] = (packet[at] as number) ^ (1 << random.between(0, 7));
    }
    const { peer } = this;
    peer?.arriveAt(at, packet);
    if (random.chance(conditions.duplicate))
      peer?.arriveAt(at + random.real() * conditions.reorderMs, packet);
  }

  /** Two states, one that loses everything (Gilbert's model), though not for longer than MAX_BURST_MS. */
  private isInBurst(): boolean {
    const { burst, burstPackets } = this.conditions;
    if (burst === 0) return false;
    const { now } = this.world;
    const goesOn = now < this.burstEnd && this.random.chance(1 - 1 / burstPackets);
    if (!goesOn) this.burstEnd = this.random.chance(burst) ? now + MAX_BURST_MS : 0;
    return this.burstEnd > 0;
  }

  /** The router's ICMP error, half of the way back. */
  private tellPathMtu(packet: Uint8Array): void {
    const error = packetTooBig(packet, this.pathMtu);
    fillChecksums(error, this.world);
    this.arriveAt(this.world.now + this.conditions.delayMs, error);
  }

  /** Hands `packet` to this end, at `at`. */
  arriveAt(at: Milliseconds, packet: Uint8Array): void {
    this.world.schedule(at, now => this.arrive(packet, now));
  }

  private arrive(packet: Uint8Array, now: Milliseconds): void {
    this.witness?.onReceived(packet);
    this.world.arena.u8.set(packet, this.in);
    const { tunLike, authenticated } = this.conditions;
    this.stack?.process(this, this.in, packet.length, now, tunLike || authenticated);
  }
}

/** TCP segmentation as hardware does it: headers copied, numbers and checksums made right. */
function cutSegments(packet: Uint8Array, gsoSize: number, headerBytes: number, world: World): Uint8Array[] {
  const isV4 = (packet[0] as number) >> 4 === 4;
  const ipBytes = isV4 ? 20 : 40;
  const source = new DataView(packet.buffer);
  const firstSequence = source.getUint32(ipBytes + 4);
  const flags = packet[ipBytes + 13] as number;
  const segments: Uint8Array[] = [];
  for (let done = headerBytes; done < packet.length; done += gsoSize) {
    const piece = packet.subarray(done, Math.min(done + gsoSize, packet.length));
    const last = done + gsoSize >= packet.length;
    const segment = new Uint8Array(headerBytes + piece.length);
    segment.set(packet.subarray(0, headerBytes));
    segment.set(piece, headerBytes);
    const view = new DataView(segment.buffer);
    view.setUint32(ipBytes + 4, firstSequence + done - headerBytes);
    // FIN and PSH belong to the last piece only.
    view.setUint8(ipBytes + 13, last ? flags : flags & ~0x09);
    if (isV4) view.setUint16(2, segment.length);
    else view.setUint16(4, segment.length - 40);
    fillChecksums(segment, world);
    segments.push(segment);
  }
  return segments;
}

/** RFC 792 as RFC 1191 §4 extends it, or RFC 4443 §3.2, about `packet`; checksums are still to be filled in. */
function packetTooBig(packet: Uint8Array, mtu: number): Uint8Array {
  const isV4 = (packet[0] as number) >> 4 === 4;
  const ipBytes = isV4 ? 20 : 40;
  const quoted = packet.subarray(0, ipBytes + 32);
  const error = new Uint8Array(ipBytes + 8 + quoted.length);
  const view = new DataView(error.buffer);
  error.set(packet.subarray(0, ipBytes));
  error.set(quoted, ipBytes + 8);
  if (isV4) {
    view.setUint16(2, error.length);
    error[9] = 1;
    error.set(packet.subarray(16, 20), 12);
    error.set(packet.subarray(12, 16), 16);
    error.set([3, 4], ipBytes);
    view.setUint16(ipBytes + 6, mtu);
  } else {
    view.setUint16(4, error.length - 40);
    error[6] = 58;
    error.set(packet.subarray(24, 40), 8);
    error.set(packet.subarray(8, 24), 24);
    error.set([2, 0], ipBytes);
    view.setUint32(ipBytes + 4, mtu);
  }
  return error;
}

const scratch = new WeakMap<World, number>();

/** IPv4 header checksum and TCP or UDP checksum of a packet without IP options. */
export function fillChecksums(packet: Uint8Array, world: World): void {
  const at = scratch.get(world) ?? world.arena.reserve(MAX_PACKET_BYTES);
  scratch.set(world, at);
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const isV4 = (packet[0] as number) >> 4 === 4;
  const ipBytes = isV4 ? 20 : 40;
  const protocol = packet[isV4 ? 9 : 6] as number;
  const field = ipBytes + (protocol === 6 ? 16 : protocol === 17 ? 6 : 2);
  if (isV4) view.setUint16(10, 0);
  view.setUint16(field, 0);
  world.arena.u8.set(packet, at);
  if (isV4) view.setUint16(10, finishSum(sumBytes(world.arena, at, 20)));
  const addresses = isV4 ? sumBytes(world.arena, at + 12, 8) : sumBytes(world.arena, at + 8, 32);
  const length = packet.length - ipBytes;
  const pseudo = protocol === 1 ? 0 : foldSum(addresses + protocol + length);
  view.setUint16(field, finishSum(pseudo + sumBytes(world.arena, at + ipBytes, length)));
}
