/**
 * Gives memory back while there is little to do: what connections leave behind when they rest or end, and pages of the
 * ring pool that nothing lies in any more. V8 would wait for the next thousand connections, because its own collections at
 * idle times are tasks of an event loop that a data plane never returns to.
 */
import { type Arena, type BlockPool, type Milliseconds, NEVER } from "../base/index.js";
import { discardPages } from "../linux/index.js";
import type { Machine } from "./loop.js";
import type { Heap } from "./v8-heap.js";

/**
 * When to look, after something has happened. Connections rest after 5 to 6 s of silence; a look before that would find
 * in use what is garbage a moment later, and nothing would make it look again.
 */
const LOOK_AFTER_MS: Milliseconds = 9_000;
/** So many turns put the look off: somebody might feel the pause, which is 5 to 150 ms. */
const BUSY_TURNS = 500;
/** Less is not worth it. */
const WORTHWHILE_BYTES = 4 << 20;

export class Tidier implements Machine {
  private readonly arena: Arena;
  private readonly pool: BlockPool;
  private readonly heap: Heap;
  private lookAt: Milliseconds = NEVER;
  /** Since the look was put off last, or since the last look, whose own turn does not count. */
  private turns = 0;
  /** Of the heap, after the last collection or the least since; before the first one, what a process begins with. */
  private keptBytes: number;

  constructor(arena: Arena, pool: BlockPool, heap: Heap) {
    this.arena = arena;
    this.pool = pool;
    this.heap = heap;
    this.keptBytes = heap.usedBytes();
  }

  poll(_now: Milliseconds): void {
    this.turns = -1;
    this.lookAt = NEVER;
    this.tidyHeap();
    if (this.pool.releasedBytes >= WORTHWHILE_BYTES) {
      this.pool.eachFree((offset, bytes) => discardPages(this.arena, offset, bytes));
    }
  }

  flush(now: Milliseconds): void {
    this.heap.limitNursery(now);
    this.turns++;
    if (this.turns === 1 || this.turns === BUSY_TURNS) {
      this.turns = 1;
      this.lookAt = now + LOOK_AFTER_MS;
    }
  }

  pollAt(): Milliseconds {
    return this.lookAt;
  }

  private tidyHeap(): void {
    const { heap } = this;
    const usedBytes = heap.usedBytes();
    if (usedBytes - this.keptBytes < WORTHWHILE_BYTES) {
      this.keptBytes = Math.min(this.keptBytes, usedBytes);
      return;
    }
    heap.compact();
    this.keptBytes = heap.usedBytes();
  }
}
