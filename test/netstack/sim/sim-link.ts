/**
 * A seeded link between two stacks: delay, rate, a drop-tail queue, random loss, reordering, duplication,
 * corruption. Each end is a `Link`; what one commits reaches the other stack some virtual time later.
 *
 * A super-segment is cut into wire segments as a network card would, unless the link is like a TUN device,
 * which passes it on whole and trusts its checksum.
 */
import type { Milliseconds } from "../../../src/base/index.js";
import type { ChecksumMode, Link, Stack } from "../../../src/netstack/index.js";
import { finishSum, foldSum, sumBytes } from "../../../src/wire/index.js";
import type { Prng } from "./prng.js";
import type { World } from "./world.js";

export interface LinkConditions {
  mtu: number;
  delayMs: Milliseconds;
  /** Bytes per millisecond; Infinity for no limit. */
  bytesPerMs: number;
  /** Bytes that wait for the rate before more are dropped. */
  queueBytes: number;
  loss: number;
  duplicate: number;
  /** Share of packets that take up to `reorderMs` longer. */
  reorder: number;
  reorderMs: Milliseconds;
  corrupt: number;
  congested: boolean;
  maxGsoBytes: number;
  /** Like a TUN device: super-segments pass whole, checksums are partial and trusted. */
  tunLike: boolean;
}

export const PERFECT: LinkConditions = {
  mtu: 1420,
  delayMs: 10,
  bytesPerMs: Number.POSITIVE_INFINITY,
  queueBytes: Number.POSITIVE_INFINITY,
  loss: 0,
  duplicate: 0,
  reorder: 0,
  reorderMs: 0,
  corrupt: 0,
  congested: true,
  maxGsoBytes: 0,
  tunLike: false,
};

const MAX_PACKET_BYTES = 65_536;

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
  private readonly world: World;
  private readonly random: Prng;
  private readonly out: number;
  private readonly in: number;
  private peer: SimLink | null = null;
  private stack: Stack | null = null;
  private busyUntil: Milliseconds = 0;

  constructor(world: World, random: Prng, conditions: LinkConditions) {
    this.world = world;
    this.random = random;
    this.conditions = conditions;
    this.mtu = conditions.mtu;
    this.maxGsoBytes = conditions.maxGsoBytes;
    this.congested = conditions.congested;
    this.checksum = conditions.tunLike ? "partial" : "full";
    this.out = world.arena.reserve(MAX_PACKET_BYTES);
    this.in = world.arena.reserve(MAX_PACKET_BYTES);
  }

  /** Joins two ends; each delivers to its own stack. */
  static join(a: SimLink, stackA: Stack, b: SimLink, stackB: Stack): void {
    a.peer = b;
    a.stack = stackA;
    b.peer = a;
    b.stack = stackB;
  }

  reserve(bytes: number): number {
    if (bytes > MAX_PACKET_BYTES) throw new RangeError(`packet of ${bytes} bytes`);
    return this.out;
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
    if (this.filter !== null && !this.filter(packet)) return;
    const start = Math.max(world.now, this.busyUntil);
    if (
      (start - world.now) * conditions.bytesPerMs > conditions.queueBytes ||
      random.chance(conditions.loss)
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
    this.arriveAt(at, packet);
    if (random.chance(conditions.duplicate)) this.arriveAt(at + random.real() * conditions.reorderMs, packet);
  }

  private arriveAt(at: Milliseconds, packet: Uint8Array): void {
    const { peer } = this;
    this.world.schedule(at, now => peer?.arrive(packet, now));
  }

  private arrive(packet: Uint8Array, now: Milliseconds): void {
    this.world.arena.u8.set(packet, this.in);
    this.stack?.process(this, this.in, packet.length, now, this.conditions.tunLike);
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
