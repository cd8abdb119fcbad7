/** A token bucket. */
import type { Milliseconds } from "../base/index.js";

export class RateLimit {
  private readonly perMs: number;
  private readonly burst: number;
  private tokens: number;
  private at: Milliseconds = Number.NEGATIVE_INFINITY;

  constructor(perSecond: number, burst: number) {
    this.perMs = perSecond / 1000;
    this.burst = burst;
    this.tokens = burst;
  }

  /** Whether one more is allowed now; if so it is counted. */
  take(now: Milliseconds): boolean {
    this.tokens = Math.min(this.burst, this.tokens + (now - this.at) * this.perMs);
    this.at = now;
    if (this.tokens < 1) return false;
    this.tokens--;
    return true;
  }
}
