/** A byte source and a byte sink for rings: the source's bytes are a function of seed and position. */
import type { Arena, Ring, RingReader, RingWriter } from "../../../src/base/index.js";

/** Byte `position` of stream `seed`: a cheap mix whose period is far longer than any segment. */
export function patternByte(seed: number, position: number): number {
  return (Math.imul(position, 0x9e3779b1) + Math.imul(seed, 0x85ebca6b)) >>> 24;
}

/** Fills a ring with `total` bytes as space comes free, then finishes it. */
export class Source implements RingWriter {
  written = 0;
  aborted = false;
  private readonly arena: Arena;
  private readonly ring: Ring;
  private readonly seed: number;
  private readonly total: number;

  constructor(arena: Arena, ring: Ring, seed: number, total: number) {
    this.arena = arena;
    this.ring = ring;
    this.seed = seed;
    this.total = total;
    ring.writer = this;
  }

  /** Writes what fits. */
  pump(): void {
    while (this.written < this.total && !this.aborted) {
      const room = this.ring.prepare(Math.min(this.total - this.written, 32_768));
      if (room === 0) return;
      const at = this.ring.writeOffset;
      for (let i = 0; i < room; i++) this.arena.u8[at + i] = patternByte(this.seed, this.written + i);
      this.written += room;
      this.ring.advance(room);
    }
    if (this.written === this.total) this.ring.finish();
  }

  onRingSpace(): void {
    this.pump();
  }

  onRingAborted(): void {
    this.aborted = true;
  }
}

/** Takes everything out of a ring and compares it with what the source of the same seed wrote. */
export class Sink implements RingReader {
  taken = 0;
  finished = false;
  aborted = false;
  /** Position of the first wrong byte, or -1. */
  wrongAt = -1;
  /** While set nothing is taken out: the window fills up. */
  paused = false;
  private readonly arena: Arena;
  private readonly ring: Ring;
  private readonly seed: number;

  constructor(arena: Arena, ring: Ring, seed: number) {
    this.arena = arena;
    this.ring = ring;
    this.seed = seed;
    ring.reader = this;
  }

  onRingData(): void {
    if (this.paused) return;
    while (this.ring.length > 0) {
      const run = this.ring.contiguous(this.ring.head, this.ring.length);
      const at = this.ring.offsetOf(this.ring.head);
      for (let i = 0; i < run && this.wrongAt === -1; i++) {
        if (this.arena.u8[at + i] !== patternByte(this.seed, this.taken + i)) this.wrongAt = this.taken + i;
      }
      this.taken += run;
      this.ring.consume(run);
    }
    if (this.ring.finished) this.finished = true;
  }

  resume(): void {
    this.paused = false;
    this.onRingData();
  }

  onRingAborted(): void {
    this.aborted = true;
  }
}
