/**
 * Lets rings grow to what the path can use, and no further (dynamic right-sizing).
 *
 * A ring's limit is the window that its writer offers and the room that its reader's congestion window has,
 * so either end of a splice may be what holds a transfer back; each raises the limit for its own reason.
 */
import type { Milliseconds, Ring } from "../../base/index.js";
import { SHORT_PATH_MS } from "./congestion/control.js";
import type { RttEstimator } from "./rtt.js";
import type { Sender } from "./sender.js";

/** Shorter measurements would see bursts, not rates. */
const MIN_ROUND_MS: Milliseconds = 10;

/** Start-ups double or quadruple in each round trip, and what is sent now was allowed one round trip ago. */
const HEADROOM = 16;

/**
 * 4 Gbit/s and more on such a path. Whatever else a ring holds there only lies longer: eight downloads through rings of
 * 4 MiB meet no cache twice.
 */
export const SHORT_PATH_RING_BYTES: number = 1 << 20;

/** What either may raise a ring to. */
export function mostRingBytes(rtt: RttEstimator, maxBytes: number): number {
  return rtt.minRtt < SHORT_PATH_MS ? Math.min(SHORT_PATH_RING_BYTES, maxBytes) : maxBytes;
}

/** For the receiving end: what arrived within a round trip, two quadruplings later, must fit. */
export class ReceiveTuner {
  private since: Milliseconds = -1.1;
  private head = 0;

  /** @param ahead bytes that lie between RCV.NXT and the last that arrived: waiting for a hole, not for the reader */
  update(ring: Ring, ahead: number, rtt: Milliseconds, maxBytes: number, now: Milliseconds): void {
    if (ring.limit >= maxBytes) return;
    // While a hole waits to be filled nothing is consumed, and a window and more arrives behind it.
    if (2 * ahead > ring.limit) ring.setLimit(Math.min(2 * ring.limit, maxBytes));
    if (this.since >= 0 && now - this.since < Math.max(rtt, MIN_ROUND_MS)) return;
    const consumed = (ring.head - this.head) | 0;
    const measured = this.since >= 0;
    this.since = now;
    this.head = ring.head;
    if (measured && HEADROOM * consumed > 2 * ring.limit) {
      ring.setLimit(Math.min(HEADROOM * consumed, maxBytes));
    }
  }
}

/** For the sending end: what is outstanding, holes and all, and a window more. */
export function tuneSendRing(sender: Sender, maxBytes: number): void {
  const { ring, congestion, outstanding } = sender;
  if (ring === null || ring.limit >= maxBytes) return;
  const wanted = Math.max(outstanding, congestion.cwnd) + congestion.cwnd;
  if (wanted > ring.limit) ring.setLimit(Math.min(2 * wanted, maxBytes));
}
