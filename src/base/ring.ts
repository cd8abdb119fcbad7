/**
 * The byte ring that joins two stream ends: the receive buffer of one *is* the send buffer of the other.
 *
 * ```
 *        head              tail            extent          head + limit
 *         │ in order, not    │ holes and     │ free           │
 *         │ yet acknowledged │ islands ahead │                │
 *  ───────┴──────────────────┴───────────────┴────────────────┴──▶ stream positions, modulo 2^32
 *         ◀── the reader ────▶◀──────── the writer ──────────▶
 * ```
 *
 * Positions are 32-bit and wrap (`(a - b) | 0` is a distance), as TCP sequence numbers do. The writer places
 * bytes at or ahead of `tail` and moves `tail` when they are in order; the reader copies out from anywhere
 * in [head, tail) and moves `head` when the bytes are done with. `limit - length` is what the writer may
 * still place, which a TCP end advertises as its window: back-pressure needs no further code.
 *
 * Memory is taken from the pool on the first byte, doubled as needed up to `limit`, and given back whenever
 * the ring is empty, so an idle connection holds none. A ring that is never quite empty is looked at whenever as
 * much as it can hold has gone through it: when a quarter would have done, it becomes smaller.
 */
import type { Arena } from "./arena.js";
import type { BlockPool } from "./block-pool.js";

/** The end that takes bytes out. */
export interface RingReader {
  /** `tail` moved, or the ring was finished. Must not re-enter the ring's writer. */
  onRingData(): void;
  /** The writer gave up: nothing more will come, what is buffered is void. */
  onRingAborted(): void;
}

/** The end that puts bytes in. */
export interface RingWriter {
  /** `head` moved or `limit` grew. */
  onRingSpace(): void;
  /** The reader gave up: nothing more will be taken. */
  onRingAborted(): void;
}

const MIN_CAPACITY_BYTES = 4096;

export class Ring {
  /** Position of the oldest byte that the reader still needs. */
  head = 0;
  /** Position after the last byte that is in order. */
  tail = 0;
  /** Most bytes between `head` and the end of anything written. */
  limit: number;
  /** No byte will follow `tail` (FIN). */
  finished = false;
  /** One end gave up (RST). */
  aborted = false;
  reader: RingReader | null = null;
  writer: RingWriter | null = null;

  private readonly arena: Arena;
  private readonly pool: BlockPool;
  private base = 0;
  private capacity = 0;
  private extent = 0;
  /** Most bytes needed at once since memory was last taken; what to take first the next time. */
  private peak = 0;
  /** Position of `head` at which to see whether less memory would do. */
  private reviewAt = 0;
  private hint = MIN_CAPACITY_BYTES;

  constructor(arena: Arena, pool: BlockPool, limitBytes: number) {
    this.arena = arena;
    this.pool = pool;
    this.limit = Math.min(limitBytes, pool.maxBytes);
  }

  /** Bytes in order and not yet freed. */
  get length(): number {
    return (this.tail - this.head) | 0;
  }

  /** Bytes that the writer may place after `tail`. */
  get space(): number {
    return Math.max(0, this.limit - this.length);
  }

  /** Bytes of memory held now. */
  get heldBytes(): number {
    return this.capacity;
  }

  /** Largest value `limit` may take. */
  get maxLimit(): number {
    return this.pool.maxBytes;
  }

  // ---- writer ----

  /**
   * Copies `length` arena bytes to position `tail + gap`; `tail` stays. Returns false, with nothing written,
   * when they do not fit below `limit` or the pool is exhausted.
   */
  place(gap: number, source: number, length: number): boolean {
    const end = this.length + gap + length;
    if (end > this.limit || !this.ensure(end)) return false;
    this.copyIn((this.tail + gap) | 0, source, length);
    return true;
  }

  /**
   * As many of `count` pieces as fit, of `length` bytes each, one after the other to `tail`; the arena has each of them
   * `stride` bytes after the one before. Returns how many.
   */
  placeSeveral(source: number, length: number, stride: number, count: number): number {
    const fit = Math.min(count, Math.floor(this.space / length));
    if (fit <= 0 || !this.ensure(this.length + fit * length)) return 0;
    for (let i = 0; i < fit; ) {
      const position = (this.tail + i * length) | 0;
      // None of those that go around the end.
      const whole = Math.min(fit - i, Math.floor(this.contiguous(position, this.capacity) / length));
      const from = source + i * stride;
      if (whole > 0) this.arena.strided.copy(this.offsetOf(position), length, from, stride, length, whole);
      else this.copyIn(position, from, length);
      i += Math.max(1, whole);
    }
    this.extendTo((this.tail + fit * length) | 0);
    return fit;
  }

  private copyIn(position: number, source: number, length: number): void {
    const at = position & (this.capacity - 1);
    const first = Math.min(length, this.capacity - at);
    const u8 = this.arena.u8;
    u8.copyWithin(this.base + at, source, source + first);
    if (first < length) u8.copyWithin(this.base, source + first, source + length);
    this.extendTo((position + length) | 0);
  }

  private extendTo(position: number): void {
    if (((position - this.extent) | 0) > 0) this.extent = position;
  }

  /** Declares `length` placed bytes to be in order, and wakes the reader. */
  advance(length: number): void {
    this.tail = (this.tail + length) | 0;
    this.extendTo(this.tail);
    this.reader?.onRingData();
  }

  /** Copies `length` bytes in order: `place` and `advance` in one. */
  write(source: number, length: number): boolean {
    if (!this.place(0, source, length)) return false;
    this.advance(length);
    return true;
  }

  /**
   * Makes room for up to `wanted` bytes after `tail` and returns how many of them are contiguous from
   * `writeOffset` on; 0 when there is no space or no memory. Fill them, then call `advance`.
   */
  prepare(wanted: number): number {
    const room = Math.min(wanted, this.space);
    if (room <= 0) return 0;
    if (!this.ensure(this.length + room) && !this.ensure(this.length + 1)) return 0;
    const at = this.tail & (this.capacity - 1);
    return Math.min(room, this.capacity - at, this.capacity - this.length);
  }

  /** Arena offset of position `tail`; valid after `prepare` until the next call on the ring. */
  get writeOffset(): number {
    return this.base + (this.tail & (this.capacity - 1));
  }

  /** Gives back what `prepare` took and nothing came for. */
  releaseUnused(): void {
    if (this.head === this.extent) this.releaseMemory();
  }

  /** No byte follows. */
  finish(): void {
    if (this.finished || this.aborted) return;
    this.finished = true;
    this.reader?.onRingData();
  }

  // ---- reader ----

  /** Arena offset of the byte at `position`, which lies in [head, tail). */
  offsetOf(position: number): number {
    return this.base + (position & (this.capacity - 1));
  }

  /** How many of the `length` bytes from `position` on lie contiguously at `offsetOf(position)`. */
  contiguous(position: number, length: number): number {
    return Math.min(length, this.capacity - (position & (this.capacity - 1)));
  }

  /** Copies [position, position + length) to the arena at `target`. */
  copyOut(position: number, target: number, length: number): void {
    const at = position & (this.capacity - 1);
    const first = Math.min(length, this.capacity - at);
    const u8 = this.arena.u8;
    u8.copyWithin(target, this.base + at, this.base + at + first);
    if (first < length) u8.copyWithin(target + first, this.base, this.base + length - first);
  }

  /** Frees `length` bytes from `head` on, and wakes the writer. */
  consume(length: number): void {
    this.head = (this.head + length) | 0;
    if (this.head === this.extent) this.releaseMemory();
    else if (((this.head - this.reviewAt) | 0) >= 0) this.review();
    this.writer?.onRingSpace();
  }

  // ---- either ----

  /** Raises or lowers `limit`; what is already placed stays. */
  setLimit(limitBytes: number): void {
    const grown = limitBytes > this.limit;
    this.limit = Math.min(limitBytes, this.pool.maxBytes);
    if (grown) this.writer?.onRingSpace();
  }

  /** Gives up: buffered bytes are void, memory goes back, both ends are told. */
  abort(): void {
    if (this.aborted) return;
    this.aborted = true;
    this.head = this.tail = this.extent;
    this.releaseMemory();
    const { reader, writer } = this;
    reader?.onRingAborted();
    writer?.onRingAborted();
  }

  /** Gives memory back without telling anyone: both ends are done. */
  dispose(): void {
    this.reader = null;
    this.writer = null;
    this.aborted = true;
    this.releaseMemory();
  }

  private releaseMemory(): void {
    if (this.capacity === 0) return;
    this.pool.release(this.base);
    // As in `review`: bursts differ, and one that turns out to be larger would be moved to another place.
    this.hint =
      4 * this.peak > this.capacity ? this.capacity : Math.max(MIN_CAPACITY_BYTES, this.capacity >> 1);
    this.peak = 0;
    this.capacity = 0;
  }

  /** Holds at least `bytes` from `head` on. */
  private ensure(bytes: number): boolean {
    if (bytes > this.peak) this.peak = bytes;
    if (bytes <= this.capacity) return true;
    const first = this.capacity === 0 ? Math.min(this.hint, this.limit) : 0;
    // What the last burst needed is a wish; when memory is short, what is needed now will do.
    return (
      (first > bytes && this.relocate(this.pool.sizeFor(first))) || this.relocate(this.pool.sizeFor(bytes))
    );
  }

  /** Most of the memory has not been used lately: half of it goes back. */
  private review(): void {
    if (4 * this.peak <= this.capacity && this.capacity > MIN_CAPACITY_BYTES)
      this.relocate(this.capacity >> 1);
    this.peak = (this.extent - this.head) | 0;
    this.reviewAt = (this.head + this.capacity) | 0;
  }

  /** Moves everything into a block of `size` bytes; false, and no change, when there is none. */
  private relocate(size: number): boolean {
    const base = this.pool.allocate(size);
    if (base === -1) return false;
    const live = (this.extent - this.head) | 0;
    if (live > 0) this.move(base, size, live);
    if (this.capacity !== 0) this.pool.release(this.base);
    this.base = base;
    this.capacity = size;
    this.reviewAt = (this.head + size) | 0;
    return true;
  }

  private move(base: number, size: number, live: number): void {
    const u8 = this.arena.u8;
    for (let done = 0; done < live; ) {
      const position = (this.head + done) | 0;
      const from = position & (this.capacity - 1);
      const to = position & (size - 1);
      const run = Math.min(live - done, this.capacity - from, size - to);
      u8.copyWithin(base + to, this.base + from, this.base + from + run);
      done += run;
    }
  }
}
