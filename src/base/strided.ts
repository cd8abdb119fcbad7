/**
 * What is done with ranges of an arena that are of one length and lie at equal distances, as the packets of a batch do:
 *
 * ```
 *   │ range 0 │       │ range 1 │       │ range 2 │   …
 *   └ at              └ at + stride     └ at + 2 · stride
 * ```
 *
 * Ranges must lie in the arena as a whole, and distances not be negative: RangeError, with nothing done, when one does not.
 * What is copied does not overlap with where it goes.
 */
import type { Arena } from "./arena.js";

export interface Strided {
  /** Copies `count` ranges of `bytes` bytes, one after the other. */
  copy(
    target: number,
    targetStride: number,
    source: number,
    sourceStride: number,
    bytes: number,
    count: number,
  ): void;

  /** How many of the `count` ranges of `bytes` bytes are, up to the first that is not, the same as the one at `model`. */
  countEqual(model: number, at: number, stride: number, bytes: number, count: number): number;
}

/** Throws as `Strided` does. */
export function checkRanges(arena: Arena, at: number, stride: number, bytes: number, count: number): void {
  if (at >= 0 && stride >= 0 && bytes >= 0 && at + (count - 1) * stride + bytes <= arena.size) return;
  throw new RangeError(
    `${count} ranges of ${bytes} bytes at ${at}, ${stride} apart, are not all in the arena`,
  );
}

/** Up to here, a builtin's call takes longer than to move words one by one. */
const FEW_BYTES = 64;

/** In plain JavaScript. */
export class PlainStrided implements Strided {
  private readonly arena: Arena;

  constructor(arena: Arena) {
    this.arena = arena;
  }

  copy(
    target: number,
    targetStride: number,
    source: number,
    sourceStride: number,
    bytes: number,
    count: number,
  ): void {
    const { arena } = this;
    if (count <= 0) return;
    checkRanges(arena, target, targetStride, bytes, count);
    checkRanges(arena, source, sourceStride, bytes, count);
    for (let i = 0; i < count; i++) {
      const [to, from] = [target + i * targetStride, source + i * sourceStride];
      if (bytes > FEW_BYTES) arena.u8.copyWithin(to, from, from + bytes);
      else this.copyFew(to, from, bytes);
    }
  }

  private copyFew(to: number, from: number, bytes: number): void {
    const { view } = this.arena;
    let done = 0;
    for (; done + 4 <= bytes; done += 4) view.setInt32(to + done, view.getInt32(from + done));
    for (; done < bytes; done++) view.setUint8(to + done, view.getUint8(from + done));
  }

  countEqual(model: number, at: number, stride: number, bytes: number, count: number): number {
    const { arena } = this;
    if (count <= 0) return 0;
    checkRanges(arena, model, 0, bytes, 1);
    checkRanges(arena, at, stride, bytes, count);
    let equal = 0;
    while (equal < count && this.isEqual(model, at + equal * stride, bytes)) equal++;
    return equal;
  }

  private isEqual(one: number, other: number, bytes: number): boolean {
    const { view } = this.arena;
    let done = 0;
    for (; done + 4 <= bytes; done += 4)
      if (view.getInt32(one + done) !== view.getInt32(other + done)) return false;
    for (; done < bytes; done++) if (view.getUint8(one + done) !== view.getUint8(other + done)) return false;
    return true;
  }
}
