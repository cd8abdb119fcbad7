/** Round-trip time estimation and the retransmission time-out (RFC 6298), and the minimum that RACK needs. */
import type { Milliseconds } from "../../base/index.js";
import { INITIAL_RTO_MS, MAX_RTO_MS, MIN_RTO_MS } from "./constants.js";

/** How long a minimum is believed (RFC 8985 §6.2 asks for "recent"; routes change). */
const MIN_RTT_WINDOW_MS = 30_000;

export class RttEstimator {
  /** 0.1, not 0: keeps V8's representation of the fields a double from the start. */
  srtt: Milliseconds = 0.1;
  rttvar: Milliseconds = 0.1;
  measured = false;
  /** Doublings of the time-out since the last acknowledgment of new data (RFC 6298 §5.5). */
  backoff = 0;
  private minimum: Milliseconds = Number.POSITIVE_INFINITY;
  private previousMinimum: Milliseconds = Number.POSITIVE_INFINITY;
  /** In whole milliseconds; before the first sample, one that is over. */
  private windowStart: Milliseconds = -MIN_RTT_WINDOW_MS - 1;

  get rto(): Milliseconds {
    const base = this.measured ? Math.max(MIN_RTO_MS, this.srtt + 4 * this.rttvar) : INITIAL_RTO_MS;
    return Math.min(base * 2 ** this.backoff, MAX_RTO_MS);
  }

  /** Smallest round trip of the last 30 to 60 s; Infinity before the first. */
  get minRtt(): Milliseconds {
    return Math.min(this.minimum, this.previousMinimum);
  }

  /**
   * Samples from segments that were sent once (Karn's rule, RFC 6298 §3) and that one ACK covers.
   * @param rtt of the segment sent first: it includes the peer's delayed ACK, as the time-out must
   * @param shortest of the segment sent last
   */
  sample(rtt: Milliseconds, shortest: Milliseconds, now: Milliseconds): void {
    if (rtt < 0) return;
    if (this.measured) {
      this.rttvar = 0.75 * this.rttvar + 0.25 * Math.abs(this.srtt - rtt);
      this.srtt = 0.875 * this.srtt + 0.125 * rtt;
    } else {
      this.measured = true;
      this.srtt = rtt;
      this.rttvar = rtt / 2;
    }
    this.updateMinimum(shortest, now);
  }

  private updateMinimum(rtt: Milliseconds, now: Milliseconds): void {
    if (now - this.windowStart > MIN_RTT_WINDOW_MS) {
      this.previousMinimum = this.minimum;
      this.minimum = rtt;
      this.windowStart = Math.floor(now);
    } else if (rtt < this.minimum) {
      this.minimum = rtt;
    }
  }
}
