/**
 * Lets rings grow to what the path can use, and no further (dynamic right-sizing).
 *
 * A ring's limit is the window that its writer offers and the room that its reader's congestion window has,
 * so either end of a splice may be what holds a transfer back; each raises the limit for its own reason.
 */
import type { Milliseconds, Ring } from "../../base/index.js";
import type { Sender } from "./sender.js";

/** Shorter measurements would see bursts, not rates. */
const MIN_ROUND_MS: Milliseconds = 10;

/** For the receiving end: when a round trip emptied more than half of the window, the window is what limits. */
export class ReceiveTuner {
  private since: Milliseconds = -1.1;
  private head = 0;

  update(ring: Ring, rtt: Milliseconds, maxBytes: number, now: Milliseconds): void {
    if (ring.limit >= maxBytes) return;
    if (this.since >= 0 && now - this.since < Math.max(rtt, MIN_ROUND_MS)) return;
    const consumed = (ring.head - this.head) | 0;
    const measured = this.since >= 0;
    this.since = now;
    this.head = ring.head;
    // A sender in slow start doubles in each of the two round trips until the new limit has an effect.
    if (measured && 2 * consumed > ring.limit)
      ring.setLimit(Math.min(Math.max(2 * ring.limit, 4 * consumed), maxBytes));
  }
}

/** For the sending end: the ring must hold a window in flight and the next one waiting. */
export function tuneSendRing(sender: Sender, maxBytes: number): void {
  const { ring, congestion } = sender;
  if (ring === null || ring.limit >= maxBytes || 2 * congestion.cwnd <= ring.limit) return;
  ring.setLimit(Math.min(2 * congestion.cwnd, maxBytes));
}
