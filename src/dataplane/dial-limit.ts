/**
 * How long a dial waits for one candidate while there is another: an address that is routed but dead answers
 * nothing at all, and the kernel would ask it for two minutes. The last candidate has all the time there is.
 */
import { LinkedList, type Listed, type Milliseconds, NEVER } from "../base/index.js";
import type { Machine } from "./loop.js";

/** A lost SYN is sent again after one second, so one may be lost. */
const LIMIT_MS = 3_000;

/** Something that waits for a candidate. */
export interface Limited extends Listed<Limited> {
  /** Owned by the limit. */
  limitAt: Milliseconds;
  onLimit(now: Milliseconds): void;
}

export class DialLimit implements Machine {
  private readonly limitMs: number;
  /** By deadline: all have the same limit. */
  private readonly waiting = new LinkedList<Limited>();
  /** Never later than the first deadline. */
  private nextAt: Milliseconds = NEVER;

  constructor(limitMs: number = LIMIT_MS) {
    this.limitMs = limitMs;
  }

  watch(dial: Limited, now: Milliseconds): void {
    dial.limitAt = now + this.limitMs;
    this.waiting.add(dial);
    if (this.nextAt === NEVER) this.nextAt = dial.limitAt;
  }

  release(dial: Limited): void {
    this.waiting.remove(dial);
  }

  poll(now: Milliseconds): void {
    if (now < this.nextAt) return;
    this.nextAt = NEVER;
    for (let dial = this.waiting.first; dial !== null; dial = this.waiting.first) {
      if (dial.limitAt > now) {
        this.nextAt = dial.limitAt;
        return;
      }
      this.waiting.remove(dial);
      // May watch the next candidate, which then stands last.
      dial.onLimit(now);
    }
  }

  pollAt(): Milliseconds {
    return this.nextAt;
  }
}
