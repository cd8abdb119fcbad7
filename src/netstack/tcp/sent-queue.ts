/**
 * What has been sent and not cumulatively acknowledged: one entry per burst, oldest first, in a ring of
 * typed arrays. This is the scoreboard of RFC 6675 §3 and RACK's per-segment state (RFC 8985 §5.2) in one.
 *
 * ```
 *  SND.UNA                                                        SND.NXT
 *    │ in flight │ SACKED │ LOST │ SACKED │ in flight (again) │ …   │
 * ```
 *
 * A burst is what left at one moment, segments of one size (the last may be shorter) that share all there is to say of
 * them. It is cut, between segments, where that ends: where a SACK block does, or what is sent again. An entry is in
 * flight unless it is SACKED or LOST; sending a LOST one again puts it back in flight. Entries are adjacent in
 * sequence space.
 */
import type { Milliseconds } from "../../base/index.js";
import {
  FIRST_CAPACITY,
  NO_ENTRIES,
  type SentEntries,
  type SentEntriesPool,
  STAMPS,
} from "./sent-entries.js";
import { type Seq, seqAdd, seqDistance, seqLt } from "./seq.js";

export const SACKED = 1;
export const LOST = 2;
/** Sent more than once, so its round trip is ambiguous. */
export const RETRANSMITTED = 4;
/** Sent while the application, not the path, was what held the sender back. */
export const APP_LIMITED = 8;

/** An entry's stamps. */
export const SENT_AT = 0;
/** When the flight that it belongs to began: P.first_sent_time of the draft that `DeliveryRate` follows. */
export const FIRST_SENT_AT = 1;
/** The last delivery before it was sent: P.delivered_time. */
export const DELIVERED_AT = 2;
/** Bytes that had been delivered by then: P.delivered. */
export const DELIVERED_BEFORE = 3;

export class SentQueue {
  /** Entries. */
  count = 0;
  sackedSegments = 0;
  sackedBytes = 0;
  lostBytes = 0;
  /** For what comes many times to a call: a double that crosses each may be boxed. */
  now: Milliseconds = 0.1;
  /** Send times of the first and last segment, sent once, that the ACK at hand delivered; -1 for none. */
  earliest: Milliseconds = -1.1;
  latest: Milliseconds = -1.1;
  private readonly pool: SentEntriesPool;
  private entries: SentEntries = NO_ENTRIES;
  /** Most entries at once since there were none, and the capacity to begin the next burst with. */
  private most = 0;
  private wanted: number = FIRST_CAPACITY;
  private first = 0;
  /** Capacity less one. */
  private mask = -1;
  // The arrays of `entries`, at hand.
  private starts: Int32Array = NO_ENTRIES.starts;
  private ends: Int32Array = NO_ENTRIES.ends;
  private sizes: Uint16Array = NO_ENTRIES.sizes;
  /** For `DeliveryRate`, which writes and reads them in place: a double that crosses a call may be boxed. */
  stamps: Float64Array = NO_ENTRIES.stamps;
  private marks: Uint8Array = NO_ENTRIES.marks;

  constructor(pool: SentEntriesPool) {
    this.pool = pool;
  }

  /** Round trip of the last segment, sent once, that the ACK at hand delivered; negative when there was none. */
  get latestRtt(): Milliseconds {
    return this.earliest < 0 ? -1 : this.now - this.latest;
  }

  startOf(index: number): Seq {
    return this.starts[(this.first + index) & this.mask] as number;
  }

  endOf(index: number): Seq {
    return this.ends[(this.first + index) & this.mask] as number;
  }

  sentAt(index: number): Milliseconds {
    return this.stamps[STAMPS * ((this.first + index) & this.mask) + SENT_AT] as number;
  }

  /** Where the stamps of entry `index` begin in `stamps`; valid until the next `push`. */
  stampsAt(index: number): number {
    return STAMPS * ((this.first + index) & this.mask);
  }

  flagsOf(index: number): number {
    return this.marks[(this.first + index) & this.mask] as number;
  }

  lengthOf(index: number): number {
    const slot = (this.first + index) & this.mask;
    return ((this.ends[slot] as number) - (this.starts[slot] as number)) | 0;
  }

  /** Payload bytes of the segments that entry `index` was sent as. */
  sizeOf(index: number): number {
    return this.sizes[(this.first + index) & this.mask] as number;
  }

  /** Segments [start, end) of `size` payload bytes each that are sent at `now`. */
  push(start: Seq, end: Seq, size: number): void {
    if (this.count > this.mask) this.grow();
    const slot = (this.first + this.count) & this.mask;
    this.starts[slot] = start;
    this.ends[slot] = end;
    this.sizes[slot] = size;
    this.stamps[STAMPS * slot + SENT_AT] = this.now;
    this.marks[slot] = 0;
    if (++this.count > this.most) this.most = this.count;
  }

  /** Marks entry `index` as APP_LIMITED, or not. */
  markAppLimited(index: number, appLimited: boolean): void {
    const slot = (this.first + index) & this.mask;
    const flags = this.marks[slot] as number;
    this.marks[slot] = appLimited ? flags | APP_LIMITED : flags & ~APP_LIMITED;
  }

  /** Forgets the oldest entry. */
  shift(): void {
    const flags = this.marks[this.first] as number;
    if (flags & SACKED) {
      this.sackedBytes -= this.lengthOf(0);
      this.sackedSegments -= this.segmentsOf(0);
    } else if (flags & LOST) this.lostBytes -= this.lengthOf(0);
    this.first = (this.first + 1) & this.mask;
    if (--this.count === 0) this.release();
  }

  /** The oldest entry is acknowledged up to `seq`, which lies inside it. What it leaves of a segment stands alone. */
  trim(seq: Seq): void {
    const after = this.boundaryFrom(0, seq);
    if (after !== seq && seqLt(after, this.endOf(0))) this.split(0, after);
    const gone = seqDistance(seq, this.startOf(0));
    const flags = this.marks[this.first] as number;
    if (flags & SACKED) {
      this.sackedBytes -= gone;
      this.sackedSegments -= this.segmentsOf(0);
    } else if (flags & LOST) this.lostBytes -= gone;
    this.starts[this.first] = seq;
    if (flags & SACKED) this.sackedSegments += this.segmentsOf(0);
  }

  markSacked(index: number): void {
    const slot = (this.first + index) & this.mask;
    const flags = this.marks[slot] as number;
    if (flags & LOST) this.lostBytes -= this.lengthOf(index);
    this.sackedBytes += this.lengthOf(index);
    this.sackedSegments += this.segmentsOf(index);
    this.marks[slot] = (flags & ~LOST) | SACKED;
  }

  markLost(index: number): void {
    const slot = (this.first + index) & this.mask;
    const flags = this.marks[slot] as number;
    if (flags & (LOST | SACKED)) return;
    this.lostBytes += this.lengthOf(index);
    this.marks[slot] = flags | LOST;
  }

  /** Sent again at `now`. */
  markRetransmitted(index: number, now: Milliseconds): void {
    const slot = (this.first + index) & this.mask;
    const flags = this.marks[slot] as number;
    if (flags & LOST) this.lostBytes -= this.lengthOf(index);
    this.marks[slot] = (flags & ~LOST) | RETRANSMITTED;
    this.stamps[STAMPS * slot + SENT_AT] = now;
  }

  /** The peer took its SACKs back (RFC 2018 §8): they are not to be believed. */
  forgetSacks(): void {
    for (let i = 0; i < this.count; i++) {
      const slot = (this.first + i) & this.mask;
      this.marks[slot] = (this.marks[slot] as number) & ~SACKED;
    }
    this.sackedBytes = 0;
    this.sackedSegments = 0;
  }

  /** Nothing was lost after all: everything not SACKED is in flight. */
  forgetLosses(): void {
    for (let i = 0; i < this.count; i++) {
      const slot = (this.first + i) & this.mask;
      this.marks[slot] = (this.marks[slot] as number) & ~LOST;
    }
    this.lostBytes = 0;
  }

  /** Makes two entries of one, the first ending at `seq`. */
  split(index: number, seq: Seq): void {
    const sacked = (this.flagsOf(index) & SACKED) !== 0;
    if (sacked) this.sackedSegments -= this.segmentsOf(index);
    this.push(0, 0, 0);
    for (let i = this.count - 1; i > index; i--) this.copyEntry(i - 1, i);
    this.ends[(this.first + index) & this.mask] = seq;
    this.starts[(this.first + index + 1) & this.mask] = seq;
    if (sacked) this.sackedSegments += this.segmentsOf(index) + this.segmentsOf(index + 1);
  }

  /** First place at or after `seq`, which entry `index` reaches, where one of its segments begins. */
  boundaryFrom(index: number, seq: Seq): Seq {
    const size = this.sizeOf(index);
    return seqAdd(seq, (size - (seqDistance(seq, this.startOf(index)) % size)) % size);
  }

  /** Last place at or before `seq`, which entry `index` reaches, where one of its segments begins. */
  boundaryTo(index: number, seq: Seq): Seq {
    return seqAdd(seq, -(seqDistance(seq, this.startOf(index)) % this.sizeOf(index)));
  }

  /** First entry that starts at or after `seq`, or `count`. */
  firstFrom(seq: Seq): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (seqLt(this.startOf(middle), seq)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  clear(): void {
    this.count = 0;
    this.sackedSegments = 0;
    this.sackedBytes = 0;
    this.lostBytes = 0;
    this.release();
  }

  private segmentsOf(index: number): number {
    return Math.ceil(this.lengthOf(index) / this.sizeOf(index));
  }

  private copyEntry(from: number, to: number): void {
    const source = (this.first + from) & this.mask;
    const target = (this.first + to) & this.mask;
    this.starts[target] = this.starts[source] as number;
    this.ends[target] = this.ends[source] as number;
    this.sizes[target] = this.sizes[source] as number;
    this.stamps.copyWithin(STAMPS * target, STAMPS * source, STAMPS * (source + 1));
    this.marks[target] = this.marks[source] as number;
  }

  private grow(): void {
    if (this.count === 0) {
      this.use(this.pool.forBurst(this.wanted));
      return;
    }
    const old = this.entries;
    const larger = this.pool.withCapacity(old.capacity << 1);
    unroll(old.starts, larger.starts, this.first);
    unroll(old.ends, larger.ends, this.first);
    unroll(old.sizes, larger.sizes, this.first);
    unroll(old.stamps, larger.stamps, STAMPS * this.first);
    unroll(old.marks, larger.marks, this.first);
    this.use(larger);
    this.pool.giveBack(old);
  }

  private release(): void {
    const { entries } = this;
    const { capacity } = entries;
    if (capacity === 0) return;
    this.wanted = 2 * this.most > capacity ? capacity : Math.max(capacity >> 1, FIRST_CAPACITY);
    this.most = 0;
    this.use(NO_ENTRIES);
    this.pool.giveBack(entries);
  }

  private use(entries: SentEntries): void {
    this.entries = entries;
    this.starts = entries.starts;
    this.ends = entries.ends;
    this.sizes = entries.sizes;
    this.stamps = entries.stamps;
    this.marks = entries.marks;
    this.first = 0;
    this.mask = entries.capacity - 1;
  }
}

/** Copies a full ring, oldest first, to the start of a larger array. */
function unroll<T extends Int32Array | Uint16Array | Float64Array | Uint8Array>(
  from: T,
  to: T,
  first: number,
): void {
  to.set(from.subarray(first), 0);
  to.set(from.subarray(0, first), from.length - first);
}
