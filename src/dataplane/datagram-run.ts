/**
 * Datagrams to one peer that leave in one system call (UDP_SEGMENT): all as long as the first one, the last maybe shorter.
 *
 * ```
 *  │hdr│ inner packet │pad│tag│hdr│ inner packet │pad│tag│…│hdr│ shorter │tag│
 *      └ at                                          end ┘
 * ```
 */
import type { Arena } from "../base/index.js";
import { PADDING_BYTES, type Peer, TAG_BYTES, TRANSPORT_HEADER_BYTES } from "../wireguard/index.js";

const MAX_SEGMENTS = 64;
/** Largest UDP payload over IPv4; one GSO call carries at most this. */
export const MAX_DATAGRAM_BYTES = 65_507;
/** At most that much is behind an inner packet in its datagram. */
export const TRAILER_BYTES: number = PADDING_BYTES - 1 + TAG_BYTES;
/** Where one that does not fit any more is built, before it becomes the first. */
const SPARE_BYTES = 65_536;

export class DatagramRun {
  /** Arena offset. */
  readonly start: number;
  bytes = 0;
  segments = 0;
  segmentBytes = 0;
  peer: Peer | null = null;
  /** The last datagram is shorter: nothing may follow it. */
  private closed = false;
  private readonly arena: Arena;

  constructor(arena: Arena) {
    this.arena = arena;
    this.start = arena.reserve(MAX_DATAGRAM_BYTES + SPARE_BYTES);
  }

  /** Where the next inner packet is to be built. */
  get at(): number {
    return this.start + this.bytes + TRANSPORT_HEADER_BYTES;
  }

  /** Whether a packet of `bytes` bytes may be built there. */
  hasRoomFor(bytes: number): boolean {
    return this.bytes + TRANSPORT_HEADER_BYTES + bytes + TRAILER_BYTES <= MAX_DATAGRAM_BYTES;
  }

  /** How many datagrams of `length` bytes to `peer` may follow; none after the first one that is shorter. */
  roomFor(peer: Peer, length: number): number {
    const most = Math.min(
      MAX_SEGMENTS - this.segments,
      Math.floor((MAX_DATAGRAM_BYTES - this.bytes) / length),
    );
    if (this.segments === 0) return most;
    if (this.closed || peer !== this.peer || length > this.segmentBytes) return 0;
    return length < this.segmentBytes ? Math.min(1, most) : most;
  }

  /** `count` datagrams of `length` bytes each, for which there was room, are there now. */
  add(peer: Peer, length: number, count: number): void {
    if (this.segments === 0) {
      this.peer = peer;
      this.segmentBytes = length;
    }
    this.segments += count;
    this.bytes += count * length;
    this.closed = length < this.segmentBytes;
  }

  get isComplete(): boolean {
    return this.closed || this.segments === MAX_SEGMENTS;
  }

  /** The first `sentBytes` bytes have left, the others are still to go. */
  keepRest(sentBytes: number): void {
    const { start, bytes, segmentBytes } = this;
    this.arena.u8.copyWithin(start, start + sentBytes, start + bytes);
    this.bytes = bytes - sentBytes;
    this.segments = Math.ceil(this.bytes / segmentBytes);
  }

  clear(): void {
    this.bytes = 0;
    this.segments = 0;
    this.closed = false;
    this.peer = null;
  }
}
