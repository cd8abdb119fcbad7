/** The reference: slow start and congestion avoidance of RFC 5681, with the byte counting of RFC 3465. */
import type { Milliseconds } from "../../../base/index.js";
import type { CongestionControl } from "./control.js";
import { LossBased } from "./loss-based.js";

export class NewReno extends LossBased implements CongestionControl {
  readonly name = "newreno";
  /** Bytes acknowledged since the window last grew by a segment. */
  private counted = 0;

  onAck(bytes: number, _now: Milliseconds, _srtt: Milliseconds): void {
    this.counted += this.slowStart(bytes);
    if (this.counted >= this.cwnd) {
      this.counted -= this.cwnd;
      this.cwnd += this.mss;
    }
  }

  onLoss(outstanding: number, _now: Milliseconds): void {
    this.untouched = false;
    this.remember();
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
    this.undo();
  }
}
