/** A byte source and a byte sink for rings: the source's bytes are a function of seed and position. */
import type { Arena, Ring, RingReader, RingWriter } from "../../../src/base/index.js";
import { Prng } from "./prng.js";

/** A prime, far longer than any segment: bytes that ended up elsewhere are not those that belong there. */
const PERIOD = 1_048_573;
const PATTERN: Buffer = Buffer.alloc(PERIOD);
new Prng(1).fill(PATTERN);

/** Where the stream's byte `position` lies in the pattern. */
function patternOffset(seed: number, position: number): number {
  return (position + (Math.imul(seed, 0x9e3779b1) >>> 0)) % PERIOD;
}

/** Fills arena bytes [at, at + length) with the stream's bytes from `position` on. */
export function writePattern(arena: Arena, at: number, length: number, seed: number, position: number): void {
  arena.u8.set(patternBytes(seed, position, length), at);
}

/** Whether arena bytes [at, at + length) are the stream's bytes from `position` on. */
export function isPattern(arena: Arena, at: number, length: number, seed: number, position: number): boolean {
  for (let done = 0; done < length; ) {
    const from = patternOffset(seed, position + done);
    const run = Math.min(length - done, PERIOD - from);
    const got = arena.u8.subarray(at + done, at + done + run);
    if (PATTERN.compare(got, 0, run, from, from + run) !== 0) return false;
    done += run;
  }
  return true;
}

/** The stream's bytes [position, position + length). */
export function patternBytes(seed: number, position: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const from = patternOffset(seed, position + done);
    const run = Math.min(length - done, PERIOD - from);
    bytes.set(PATTERN.subarray(from, from + run), done);
    done += run;
  }
  return bytes;
}

/** Fills a ring with `total` bytes as space comes free, then finishes it. */
export class Source implements RingWriter {
  written = 0;
  aborted = false;
  /** Bytes of the stream; may be raised, followed by `pump`, unless it was reached and `open` is false. */
  total: number;
  /** While set the ring is not finished at `total`. */
  open = false;
  private readonly arena: Arena;
  private readonly ring: Ring;
  private readonly seed: number;

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
      writePattern(this.arena, this.ring.writeOffset, room, this.seed, this.written);
      this.written += room;
      this.ring.advance(room);
    }
    if (this.written === this.total && !this.open) this.ring.finish();
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
  /** Position of the first piece with a wrong byte, or -1. */
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
      if (this.wrongAt === -1 && !isPattern(this.arena, at, run, this.seed, this.taken)) {
        this.wrongAt = this.taken;
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
