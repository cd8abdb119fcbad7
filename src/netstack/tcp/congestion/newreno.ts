/** The reference: slow start and congestion avoidance of RFC 5681, with the byte counting of RFC 3465. */
import type { Milliseconds } from "../../../base/index.js";
import type { AckSample } from "../delivery-rate.js";
import { type CongestionControl, initialWindow, pacingRateOf, UNLIMITED } from "./control.js";
import { HyStart } from "./hystart.js";

export class NewReno implements CongestionControl {
  readonly name = "newreno";
  readonly modelBased = false;
  pacingRate: number = Number.POSITIVE_INFINITY;
  cwnd = 0;
  ssthresh: number = UNLIMITED;
  private mss = 0;
  private readonly hystart: HyStart = new HyStart();
  private untouched = true;
  /** Before the last reduction, until it is over; 0 for none. */
  private priorCwnd = 0;
  private priorSsthresh: number = UNLIMITED;
  /** Bytes acknowledged since the window last grew by a segment. */
  private counted = 0;

  setMss(mss: number): void {
    this.mss = mss;
    if (this.untouched) this.cwnd = initialWindow(mss);
  }

  onAck(bytes: number, _now: Milliseconds, _srtt: Milliseconds): void {
    this.untouched = false;
    let left = bytes;
    if (this.cwnd < this.ssthresh) {
      const first = this.ssthresh === UNLIMITED;
      const grown = Math.min(first ? this.hystart.growth(left) : left, this.ssthresh - this.cwnd);
      this.cwnd += grown;
      left = first ? 0 : left - grown;
    }
    this.counted += left;
    if (this.counted >= this.cwnd) {
      this.counted -= this.cwnd;
      this.cwnd += this.mss;
    }
  }

  onSample(sample: AckSample): void {
    this.pacingRate = pacingRateOf(this, sample);
    if (this.ssthresh < UNLIMITED) return;
    this.hystart.onSample(sample);
    if (this.hystart.over) this.ssthresh = this.cwnd;
  }

  onLoss(outstanding: number, _now: Milliseconds): void {
    this.untouched = false;
    this.priorCwnd = this.cwnd;
    this.priorSsthresh = this.ssthresh;
    this.ssthresh = Math.max(outstanding >> 1, 2 * this.mss);
    this.counted = 0;
  }

  onRecovered(_now: Milliseconds): void {
    this.cwnd = Math.max(this.ssthresh, 2 * this.mss);
  }

  onTimeout(outstanding: number, now: Milliseconds, first: boolean): void {
    if (first) this.onLoss(outstanding, now);
    this.cwnd = this.mss;
  }

  /** RFC 3168 §6.1.2: as for a loss. */
  onEcnEcho(outstanding: number, now: Milliseconds): void {
    this.onLoss(outstanding, now);
    this.onRecovered(now);
    this.priorCwnd = 0;
  }

  onSpurious(): void {
    if (this.priorCwnd === 0) return;
    this.cwnd = Math.max(this.cwnd, this.priorCwnd);
    this.ssthresh = this.priorSsthresh;
    this.priorCwnd = 0;
  }

  onIdle(): void {
    this.cwnd = Math.min(this.cwnd, initialWindow(this.mss));
  }

  /** The time-out for what is outstanding has done what there is to do. */
  onPathChanged(): void {}
}
