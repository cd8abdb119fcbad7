/**
 * CUBIC (RFC 9438).
 *
 * ```
 *  cwnd                                   W_cubic(t) = C (t - K)^3 + W_max
 *    │ W_max ───────────────●●●●●────────
 *    │                 ●                 ●   convex: probes for more
 *    │            ●  concave              ●
 *    │        ●   back towards W_max
 *    │ β W_max
 *    └───────────────────────┬────────────▶ time since the last reduction
 *                            K
 * ```
 *
 * Windows are in bytes, the cubic itself in segments and seconds as in the RFC.
 */
import type { Milliseconds } from "../../../base/index.js";
import { type CongestionControl, UNLIMITED } from "./control.js";
import { LossBased } from "./loss-based.js";

/** §4.6, §5. */
const BETA = 0.7;
const C = 0.4;
/** RFC 8511 §3: a mark comes from a short queue, so it asks for less than a loss does. */
const BETA_ECN = 0.85;
/** §4.3: additive increase that is fair to Reno with this β. */
const ALPHA = (3 * (1 - BETA)) / (1 + BETA);

export class Cubic extends LossBased implements CongestionControl {
  readonly name = "cubic";
  /** Window before the last reduction, in segments. */
  private wMax = 0.1;
  /** Seconds from the reduction until the curve is back at `wMax`. */
  private k = 0.1;
  /** What Reno would have by now, in segments (§4.3). */
  private wEst = 0.1;
  /** Start of the current congestion-avoidance stage; negative while there is none. */
  private epoch: Milliseconds = -1.1;
  /** Before the last reduction (§4.9.1, §4.9.2). */
  private priorWMax = 0.1;
  private priorK = 0.1;
  private priorWEst = 0.1;
  private priorEpoch: Milliseconds = -1.1;
  /** Growth that has not made a whole byte yet. */
  private fraction = 0.1;

  onAck(bytes: number, now: Milliseconds, srtt: Milliseconds): void {
    const left = this.slowStart(bytes);
    if (left > 0) this.avoidCongestion(left, now, srtt);
  }

  onLoss(outstanding: number, _now: Milliseconds): void {
    this.remember();
    this.reduce(outstanding, BETA);
  }

  onRecovered(now: Milliseconds): void {
    this.cwnd = Math.max(this.ssthresh, 2 * this.mss);
    this.startEpoch(now);
  }

  onTimeout(outstanding: number, now: Milliseconds, first: boolean): void {
    if (first) this.onLoss(outstanding, now);
    this.cwnd = this.mss;
    // §4.8: the stage after slow start begins anew, with K = 0.
    this.epoch = -1;
  }

  onEcnEcho(outstanding: number, now: Milliseconds): void {
    this.reduce(outstanding, BETA_ECN);
    this.onRecovered(now);
    this.priorCwnd = 0;
  }

  /** §4.9.1, §4.9.2. */
  onSpurious(): void {
    if (!this.undo()) return;
    this.wMax = this.priorWMax;
    this.k = this.priorK;
    this.wEst = this.priorWEst;
    this.epoch = this.priorEpoch;
  }

  override onIdle(): void {
    super.onIdle();
    this.epoch = -1;
  }

  /** §4.2–4.5. */
  private avoidCongestion(bytes: number, now: Milliseconds, srtt: Milliseconds): void {
    const cwnd = this.cwnd / this.mss;
    if (this.epoch < 0) {
      this.wMax = cwnd;
      this.startEpoch(now);
    }
    const t = (now - this.epoch + srtt) / 1000;
    const offset = t - this.k;
    const wCubic = this.wMax + C * offset * offset * offset;
    const acked = bytes / this.mss;
    // §4.3: once it has made up for the larger β, the Reno estimate grows as Reno does.
    this.wEst += (this.wEst < this.wMax ? ALPHA : 1) * (acked / cwnd);
    const target = Math.min(Math.max(wCubic, cwnd), 1.5 * cwnd);
    let growth = ((target - cwnd) / cwnd) * bytes;
    if (this.wEst > cwnd + growth / this.mss && this.wEst > wCubic) growth = (this.wEst - cwnd) * this.mss;
    this.fraction += growth;
    const whole = Math.floor(this.fraction);
    this.fraction -= whole;
    this.cwnd = Math.min(this.cwnd + whole, UNLIMITED);
  }

  protected override remember(): void {
    super.remember();
    this.priorWMax = this.wMax;
    this.priorK = this.k;
    this.priorWEst = this.wEst;
    this.priorEpoch = this.epoch;
  }

  private reduce(outstanding: number, beta: number): void {
    this.untouched = false;
    this.rememberLoss();
    // §4.6: from the window; RFC 5681 §3.1 from what is outstanding, so an idle sender's window does not count.
    this.ssthresh = Math.max(Math.floor(Math.min(this.cwnd, outstanding) * beta), 2 * this.mss);
  }

  /** §4.6, §4.7: remembers where the loss happened, a little lower when it happened earlier than last time. */
  private rememberLoss(): void {
    const cwnd = this.cwnd / this.mss;
    this.wMax = cwnd < this.wMax ? (cwnd * (1 + BETA)) / 2 : cwnd;
  }

  private startEpoch(now: Milliseconds): void {
    const cwnd = this.cwnd / this.mss;
    this.epoch = now;
    this.wEst = cwnd;
    this.fraction = 0;
    this.k = this.wMax > cwnd ? Math.cbrt((this.wMax - cwnd) / C) : 0;
  }
}
