/**
 * Spreads segments over the round trip, so that a window does not meet the bottleneck's queue all at once. Up to
 * BURST_MS of the rate leaves together: one system call of the tunnel and one wake-up, not one per segment.
 */
import { type Milliseconds, NEVER } from "../../base/index.js";

const BURST_MS: Milliseconds = 1;
/** What a sender may make up for that had nothing to send. */
const IDLE_CREDIT_MS: Milliseconds = 2;
/**
 * What a late wake-up may make up for. On a busy machine they often come 5 to 10 ms late; what they could not make up
 * for would be lost to the path each time, and a model would take it for the path's rate.
 */
const LATE_CREDIT_MS: Milliseconds = 10;

/** Whose rate it keeps: read where it is needed, since a double that crosses a call may be boxed. */
interface Paced {
  /** Bytes per millisecond, or Infinity. */
  readonly pacingRate: number;
}

export class Pacer {
  /** When the next segment may leave. */
  nextAt: Milliseconds = 0.1;
  /** When the connection is to be woken for that, while it waits. */
  wakeAt: Milliseconds = NEVER;
  /** A segment waits for that time. */
  private waiting = false;
  private readonly paced: Paced;

  constructor(paced: Paced) {
    this.paced = paced;
  }

  /** Bytes that may leave now; more than 0 stands for at least one segment. */
  allowance(now: Milliseconds): number {
    const { pacingRate } = this.paced;
    if (pacingRate === Number.POSITIVE_INFINITY) return pacingRate;
    if (now < this.nextAt) return 0;
    this.nextAt = Math.max(this.nextAt, now - (this.waiting ? LATE_CREDIT_MS : IDLE_CREDIT_MS));
    this.waiting = false;
    return pacingRate * (now + BURST_MS - this.nextAt);
  }

  onSent(bytes: number, now: Milliseconds): void {
    const { pacingRate } = this.paced;
    if (pacingRate === Number.POSITIVE_INFINITY) return;
    this.nextAt = Math.max(this.nextAt, now - LATE_CREDIT_MS) + bytes / pacingRate;
  }

  /** There is more to send: when to ask again. */
  wait(): Milliseconds {
    this.waiting = true;
    return this.nextAt;
  }
}
