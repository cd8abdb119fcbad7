/**
 * Puts fragments together (RFC 791 §3.2, RFC 8200 §4.5, RFC 5722).
 *
 * A fixed number of datagrams at once, each in one 64 KiB block of the pool; past that the oldest is given
 * up. Overlapping fragments void the datagram in both families: no honest sender makes them, and they have
 * been used to get past filters. What is not complete after 30 s is dropped.
 */
import type { BlockPool, Milliseconds } from "../base/index.js";
import { ECN_CE } from "../wire/index.js";
import type { StackContext } from "./context.js";
import type { FlowKey } from "./flow-key.js";
import type { Packet } from "./packet.js";
import type { Timed } from "./timer-heap.js";

/** DEVIATION(RFC 8200 §4.5): 60 s is asked for; Linux holds 30 s for IPv4, and the memory is bounded here. */
const REASSEMBLY_TIMEOUT_MS: Milliseconds = 30_000;
const MAX_DATAGRAM_BYTES = 65_535;
const BLOCK_BYTES = 65_536;
/** 64 KiB in pieces of 1280 bytes make 52. */
const MAX_PIECES = 128;

class Datagram {
  key: FlowKey | null = null;
  id = 0;
  protocol = 0;
  block = 0;
  deadline: Milliseconds = 0;
  /** Known once the last piece has come. */
  totalLength = -1;
  received = 0;
  /** Sorted (start, end) pairs. */
  readonly pieces: Int32Array = new Int32Array(2 * MAX_PIECES);
  pieceCount = 0;
  /** A piece was marked (RFC 3168 §5.3). */
  marked = false;
  /** An overlap was seen: later pieces are swallowed until the timeout (RFC 5722 §4). */
  poisoned = false;
}

export class Reassembler implements Timed {
  wakeAt: Milliseconds = 0;
  heapIndex = -1;
  private readonly context: StackContext;
  private readonly pool: BlockPool;
  private readonly slots: Datagram[] = [];

  constructor(context: StackContext) {
    this.context = context;
    this.pool = context.pool;
  }

  /**
   * Takes the piece in `packet`. When that made the datagram whole, `packet` becomes the datagram and the
   * result is the block that holds it, which the caller gives to `release`. -1 otherwise.
   */
  add(packet: Packet, now: Milliseconds): number {
    const { counters } = this.context;
    counters.fragmentsIn++;
    const start = packet.fragmentOffset;
    const end = start + packet.length;
    // RFC 8200 §4.5: all but the last are a multiple of 8 bytes long.
    if (
      packet.length === 0 ||
      end > MAX_DATAGRAM_BYTES ||
      (packet.moreFragments && packet.length % 8 !== 0)
    ) {
      counters.fragmentBad++;
      return -1;
    }
    const datagram = this.find(packet) ?? this.open(packet, now);
    if (datagram === null || datagram.poisoned) return -1;
    if (!packet.moreFragments) {
      if (datagram.totalLength !== -1 && datagram.totalLength !== end) return this.poison(datagram);
      datagram.totalLength = end;
    }
    if (start === 0) datagram.protocol = packet.protocol;
    const placed = insertPiece(datagram, start, end);
    if (placed === "duplicate") return -1;
    if (placed === "overlap") return this.poison(datagram);
    datagram.received += packet.length;
    if (packet.ecn === ECN_CE) datagram.marked = true;
    this.context.arena.u8.copyWithin(datagram.block + start, packet.offset, packet.offset + packet.length);
    if (datagram.totalLength === -1) return -1;
    const last = datagram.pieces[2 * datagram.pieceCount - 1] as number;
    if (last > datagram.totalLength) return this.poison(datagram);
    if (datagram.received < datagram.totalLength) return -1;
    packet.protocol = datagram.protocol;
    if (datagram.marked) packet.ecn = ECN_CE;
    packet.offset = datagram.block;
    packet.length = datagram.totalLength;
    packet.isFragment = false;
    datagram.key = null;
    return datagram.block;
  }

  release(block: number): void {
    this.pool.release(block);
  }

  onWake(now: Milliseconds): void {
    let next = Number.POSITIVE_INFINITY;
    for (const datagram of this.slots) {
      if (datagram.key === null) continue;
      if (datagram.deadline <= now) this.giveUp(datagram);
      else next = Math.min(next, datagram.deadline);
    }
    this.context.timers.schedule(this, next);
  }

  private find(packet: Packet): Datagram | null {
    for (const datagram of this.slots) {
      if (datagram.key === null || datagram.id !== packet.fragmentId) continue;
      // RFC 791 tells datagrams apart by protocol too; RFC 8200 does not, so the key alone decides for IPv6.
      if (packet.key.family === 4 && datagram.protocol !== packet.protocol) continue;
      packet.key.ports = 0;
      if (datagram.key.equals(packet.key)) return datagram;
    }
    return null;
  }

  private open(packet: Packet, now: Milliseconds): Datagram | null {
    const datagram = this.freeSlot();
    const block = this.pool.allocate(BLOCK_BYTES);
    if (block === -1) {
      this.context.counters.fragmentNoRoom++;
      return null;
    }
    packet.key.ports = 0;
    datagram.key = packet.key.copy();
    datagram.id = packet.fragmentId;
    datagram.protocol = packet.protocol;
    datagram.block = block;
    datagram.totalLength = -1;
    datagram.received = 0;
    datagram.pieceCount = 0;
    datagram.poisoned = false;
    datagram.marked = false;
    datagram.deadline = now + REASSEMBLY_TIMEOUT_MS;
    this.context.timers.schedule(this, datagram.deadline);
    return datagram;
  }

  /** An unused slot, or the oldest one. */
  private freeSlot(): Datagram {
    let oldest: Datagram | null = null;
    for (const datagram of this.slots) {
      if (datagram.key === null) return datagram;
      if (oldest === null || datagram.deadline < oldest.deadline) oldest = datagram;
    }
    if (oldest === null || this.slots.length < this.context.options.maxReassemblies) {
      const datagram = new Datagram();
      this.slots.push(datagram);
      return datagram;
    }
    this.context.counters.fragmentNoRoom++;
    this.free(oldest);
    return oldest;
  }

  private poison(datagram: Datagram): number {
    this.context.counters.fragmentOverlap++;
    datagram.poisoned = true;
    return -1;
  }

  private giveUp(datagram: Datagram): void {
    if (!datagram.poisoned) this.context.counters.fragmentTimeout++;
    this.free(datagram);
  }

  private free(datagram: Datagram): void {
    this.pool.release(datagram.block);
    datagram.key = null;
  }
}

function insertPiece(datagram: Datagram, start: number, end: number): "new" | "duplicate" | "overlap" {
  const { pieces, pieceCount } = datagram;
  let at = pieceCount;
  while (at > 0 && (pieces[2 * at - 2] as number) >= start) at--;
  if (at < pieceCount && pieces[2 * at] === start && pieces[2 * at + 1] === end) return "duplicate";
  if (at < pieceCount && (pieces[2 * at] as number) < end) return "overlap";
  if (at > 0 && (pieces[2 * at - 1] as number) > start) return "overlap";
  if (pieceCount === MAX_PIECES) return "overlap";
  pieces.copyWithin(2 * at + 2, 2 * at, 2 * pieceCount);
  pieces[2 * at] = start;
  pieces[2 * at + 1] = end;
  datagram.pieceCount++;
  return "new";
}
