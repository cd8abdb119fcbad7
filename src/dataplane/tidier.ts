/**
 * Gives memory back while there is little to do: what connections leave behind when they rest or end, and pages of the
 * ring pool that nothing lies in any more. V8 would wait for the next thousand connections, because its own collections at
 * idle times are tasks of an event loop that a data plane never returns to.
 */
import { getHeapStatistics } from "node:v8";
import { type Arena, type BlockPool, type Milliseconds, NEVER } from "../base/index.js";
import { discardPages } from "../linux/index.js";
import type { Machine } from "./loop.js";

/** When to look, after something has happened. */
const LOOK_AFTER_MS: Milliseconds = 5_000;
/** With more turns than that in this time, somebody might feel the pause: 5 to 20 ms. */
const QUIET_TURNS = 500;
/** Less is not worth it. */
const WORTHWHILE_BYTES = 4 << 20;

export class Tidier implements Machine {
  private readonly arena: Arena;
  private readonly pool: BlockPool;
  private readonly collect: () => void;
  private lookAt: Milliseconds = NEVER;
  /** Since the last look, whose own turn does not count. */
  private turns = 0;
  /** Of the heap, after the last collection or the least since. */
  private keptBytes = 0;

  /** @param collect a full garbage collection */
  constructor(arena: Arena, pool: BlockPool, collect: () => void) {
    this.arena = arena;
    this.pool = pool;
    this.collect = collect;
  }

  poll(now: Milliseconds): void {
    const busy = this.turns > QUIET_TURNS;
    this.turns = -1;
    this.lookAt = busy ? now + LOOK_AFTER_MS : NEVER;
    if (busy) return;
    this.tidyHeap();
    if (this.pool.releasedBytes >= WORTHWHILE_BYTES) {
      this.pool.eachFree((offset, bytes) => discardPages(this.arena, offset, bytes));
    }
  }

  flush(now: Milliseconds): void {
    if (this.turns++ >= 0 && this.lookAt === NEVER) this.lookAt = now + LOOK_AFTER_MS;
  }

  pollAt(): Milliseconds {
    return this.lookAt;
  }

  private tidyHeap(): void {
    const { used_heap_size: usedBytes } = getHeapStatistics();
    if (usedBytes - this.keptBytes < WORTHWHILE_BYTES) {
      this.keptBytes = Math.min(this.keptBytes, usedBytes);
      return;
    }
    this.collect();
    this.keptBytes = getHeapStatistics().used_heap_size;
  }
}
