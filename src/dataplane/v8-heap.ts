/**
 * V8's heap, set up by the process that runs in it: `--expose-gc` and `--max-semi-space-size` as options of its start would
 * have Node compile its own modules anew, since the code that it brings along was compiled without; that took 30 ms.
 */
import { getHeapSpaceStatistics, getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Milliseconds } from "../base/index.js";

/** What `Tidier` looks after. */
export interface Heap {
  usedBytes(): number;
  /** Called each turn: the nursery must not grow without need. */
  limitNursery(now: Milliseconds): void;
  /** A full collection that leaves no gaps. */
  compact(): void;
}

/**
 * Both halves. The packet path makes no garbage, so a nursery of V8's default size, 32 MiB, would only be resident; it
 * doubles as objects survive in it, and stays what it is: with 5,000 flows that made 45 MB of 18, and 8 MiB still made 22.
 */
const NURSERY_BYTES = 4 << 20;
/** A look takes a microsecond and leaves a kilobyte; in so long nobody fills a nursery twice. */
const LOOK_EVERY_MS: Milliseconds = 2;

export class V8Heap implements Heap {
  private lookedAt: Milliseconds = 0;
  private limited = false;
  private collect: (() => void) | null = null;

  usedBytes(): number {
    return getHeapStatistics().used_heap_size;
  }

  limitNursery(now: Milliseconds): void {
    if (now - this.lookedAt < LOOK_EVERY_MS) return;
    this.lookedAt = now;
    const nursery = getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space");
    // What a half can hold. `space_size` is what is committed, and that of the other half is given back now and then.
    const half = nursery === undefined ? 0 : nursery.space_used_size + nursery.space_available_size;
    const limited = 2 * half > NURSERY_BYTES / 2;
    if (limited === this.limited) return;
    this.limited = limited;
    setFlagsFromString(`--semi-space-growth-factor=${limited ? 1 : 2}`);
  }

  /**
   * What thousands of connections drop when they rest lies between what they keep, in pages that would stay resident for it:
   * with 5,000 flows 5 to 10 MB. V8's own collections leave such pages as they are.
   */
  compact(): void {
    setFlagsFromString("--compact-on-every-full-gc");
    this.collect ??= exposedCollector();
    this.collect();
    setFlagsFromString("--no-compact-on-every-full-gc");
  }
}

function exposedCollector(): () => void {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as () => void;
}
