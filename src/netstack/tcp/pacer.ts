/**
 * Spreads segments over the round trip, so that a window does not meet the bottleneck's queue all at once. Up to
 * BURST_MS of the rate leaves together: one system call of the tunnel and one wake-up, not one per segment.
 */
import type { Milliseconds } from "../../base/index.js";

const BURST_MS: Milliseconds = 1;
/** What a late wake-up may make up for. */
const CATCH_UP_MS: Milliseconds = 2;

export class Pacer {
  /** When the next segment may leave. */
  nextAt: Milliseconds = 0.1;

  /** Bytes that may leave now; more than 0 stands for at least one segment. @param rate bytes per millisecond */
  allowance(rate: number, now: Milliseconds): number {
    if (rate === Number.POSITIVE_INFINITY) return rate;
    if (now < this.nextAt) return 0;
    return rate * (now + BURST_MS - Math.max(this.nextAt, now - CATCH_UP_MS));
  }

  onSent(bytes: number, rate: number, now: Milliseconds): void {
    this.nextAt = Math.max(this.nextAt, now - CATCH_UP_MS) + bytes / rate;
  }
}
