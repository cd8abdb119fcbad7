/**
 * HyStart++ (RFC 9406): slow start ends when round trips become longer, before the queue that makes them so
 * overflows and loses half a window at once.
 *
 * ```
 *   slow start ──(longer by RttThresh)──▶ conservative: grows a quarter as fast ──(5 rounds)──▶ over
 *        ▲                                      │
 *        └────────(shorter again: jitter)───────┘
 * ```
 *
 * For the first slow start only (§4.3). The sender is paced, so growth has no limit per ACK (L = infinity).
 */
import type { Milliseconds } from "../../../base/index.js";
import type { AckSample } from "../delivery-rate.js";

// §4.3.
const MIN_RTT_THRESH_MS: Milliseconds = 4;
const MAX_RTT_THRESH_MS: Milliseconds = 16;
const MIN_RTT_DIVISOR = 8;
const N_RTT_SAMPLE = 8;
const CSS_GROWTH_DIVISOR = 4;
const CSS_ROUNDS = 5;

export class HyStart {
  private samples = 0;
  private currentMinRtt: Milliseconds = Number.POSITIVE_INFINITY;
  private lastMinRtt: Milliseconds = Number.POSITIVE_INFINITY;
  /** Infinity outside of conservative slow start. */
  private baselineMinRtt: Milliseconds = Number.POSITIVE_INFINITY;
  private conservativeRounds = 0;

  /** Slow start has found the window: ssthresh is to be what cwnd is (§4.2). */
  get over(): boolean {
    return this.conservativeRounds >= CSS_ROUNDS;
  }

  /** Bytes by which an ACK of `bytes` lets the window grow. */
  growth(bytes: number): number {
    return this.conservative ? Math.ceil(bytes / CSS_GROWTH_DIVISOR) : bytes;
  }

  onSample(sample: AckSample): void {
    if (sample.roundStart) this.startRound();
    if (sample.rtt < 0) return;
    this.samples++;
    if (sample.rtt < this.currentMinRtt) this.currentMinRtt = sample.rtt;
    if (this.samples < N_RTT_SAMPLE) return;
    if (this.conservative) {
      if (this.currentMinRtt < this.baselineMinRtt) this.baselineMinRtt = Number.POSITIVE_INFINITY;
    } else if (this.hasRisen()) {
      this.baselineMinRtt = this.currentMinRtt;
      this.conservativeRounds = 0;
    }
  }

  private get conservative(): boolean {
    return this.baselineMinRtt !== Number.POSITIVE_INFINITY;
  }

  private startRound(): void {
    if (this.conservative) this.conservativeRounds++;
    this.lastMinRtt = this.currentMinRtt;
    this.currentMinRtt = Number.POSITIVE_INFINITY;
    this.samples = 0;
  }

  private hasRisen(): boolean {
    if (this.lastMinRtt === Number.POSITIVE_INFINITY) return false;
    const share = this.lastMinRtt / MIN_RTT_DIVISOR;
    const threshold = Math.max(MIN_RTT_THRESH_MS, Math.min(share, MAX_RTT_THRESH_MS));
    return this.currentMinRtt >= this.lastMinRtt + threshold;
  }
}
