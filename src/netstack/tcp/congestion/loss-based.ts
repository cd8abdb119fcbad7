/**
 * What the algorithms have in common to which a loss is the sign of congestion: the initial window (RFC 6928), slow
 * start with HyStart++ (RFC 9406) and byte counting (RFC 3465), and the way back when a loss was none.
 */
import type { AckSample } from "../delivery-rate.js";
import { initialWindow, pacingRateOf, UNLIMITED } from "./control.js";
import { HyStart } from "./hystart.js";

export abstract class LossBased {
  readonly modelBased = false;
  readonly pathRtt: number = Number.POSITIVE_INFINITY;
  pacingRate: number = Number.POSITIVE_INFINITY;
  cwnd = 0;
  ssthresh: number = UNLIMITED;
  protected mss = 0;
  protected untouched = true;
  /** Before the last reduction; `priorCwnd` is 0 when there is nothing to undo. */
  protected priorCwnd = 0;
  protected priorSsthresh: number = UNLIMITED;
  private readonly hystart: HyStart = new HyStart();

  setMss(mss: number): void {
    this.mss = mss;
    if (this.untouched) this.cwnd = initialWindow(mss);
  }

  onSample(sample: AckSample): void {
    this.pacingRate = pacingRateOf(this, sample);
    if (this.ssthresh < UNLIMITED) return;
    this.hystart.onSample(sample);
    if (this.hystart.over) this.ssthresh = this.cwnd;
  }

  onIdle(): void {
    this.cwnd = Math.min(this.cwnd, initialWindow(this.mss));
  }

  /** The time-out for what is outstanding has done what there is to do. */
  onPathChanged(): void {}

  /** Grows by what was acknowledged below `ssthresh`; returns the bytes that are left for congestion avoidance. */
  protected slowStart(bytes: number): number {
    this.untouched = false;
    if (this.cwnd >= this.ssthresh) return bytes;
    const first = this.ssthresh === UNLIMITED;
    const grown = Math.min(first ? this.hystart.growth(bytes) : bytes, this.ssthresh - this.cwnd);
    this.cwnd += grown;
    return first ? 0 : bytes - grown;
  }

  protected remember(): void {
    this.priorCwnd = this.cwnd;
    this.priorSsthresh = this.ssthresh;
  }

  /** False when there is nothing to undo. */
  protected undo(): boolean {
    if (this.priorCwnd === 0) return false;
    this.cwnd = Math.max(this.cwnd, this.priorCwnd);
    this.ssthresh = this.priorSsthresh;
    this.priorCwnd = 0;
    return true;
  }
}
