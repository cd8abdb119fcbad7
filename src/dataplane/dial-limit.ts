/**
 * How long a dial waits for one candidate while there is another: an address that is routed but dead answers
 * nothing at all, and the kernel would ask it for two minutes. The last candidate has all the time there is.
 */
import { type Milliseconds, NEVER } from "../base/index.js";
import type { Machine } from "./loop.js";

/** A lost SYN is sent again after one second, so one may be lost. */
const LIMIT_MS = 3_000;

/** Something that waits for a candidate. */
export interface Limited {
  onLimit(now: Milliseconds): void;
}

export class DialLimit implements Machine {
  private readonly limitMs: number;
  /** By deadline: all have the same limit. */
  private readonly waiting = new Map<Limited, Milliseconds>();
  /** Never later than the first deadline. */
  private nextAt: Milliseconds = NEVER;

  constructor(limitMs: number = LIMIT_MS) {
    this.limitMs = limitMs;
  }

  watch(dial: Limited, now: Milliseconds): void {
    this.waiting.set(dial, now + this.limitMs);
    if (this.nextAt === NEVER) this.nextAt = now + this.limitMs;
  }

  release(dial: Limited): void {
    this.waiting.delete(dial);
  }

  poll(now: Milliseconds): void {
    if (now < this.nextAt) return;
    this.nextAt = NEVER;
    for (const [dial, at] of this.waiting) {
      if (at > now) {
        this.nextAt = at;
        return;
      }
      this.waiting.delete(dial);
      // May watch the next candidate, which then stands last.
      dial.onLimit(now);
    }
  }

  flush(_now: Milliseconds): void {}

  pollAt(): Milliseconds {
    return this.nextAt;
  }
}
