/**
 * Proportional rate reduction (RFC 6937): during recovery, what leaves the network decides what may enter, so
 * the window glides down to `ssthresh` within one round trip instead of stalling half of it.
 */
export class Prr {
  private delivered = 0;
  private out = 0;
  private recoverFs = 0;
  private ssthresh = 0;

  /** @param outstanding SND.NXT - SND.UNA when the loss was found */
  start(outstanding: number, ssthresh: number): void {
    this.delivered = 0;
    this.out = 0;
    this.recoverFs = Math.max(outstanding, 1);
    this.ssthresh = ssthresh;
  }

  onSent(bytes: number): void {
    this.out += bytes;
  }

  /**
   * The congestion window after an ACK.
   * @param safe it advanced SND.UNA and showed no new loss: the slow-start reduction bound applies
   */
  window(delivered: number, inFlight: number, mss: number, safe: boolean): number {
    this.delivered += delivered;
    let count: number;
    if (inFlight > this.ssthresh) {
      count = Math.ceil((this.delivered * this.ssthresh) / this.recoverFs) - this.out;
    } else {
      const limit = Math.max(this.delivered - this.out, delivered) + (safe ? mss : 0);
      count = Math.min(this.ssthresh - inFlight, limit);
    }
    // The first retransmission is never held back.
    if (this.out === 0) count = Math.max(count, mss);
    return inFlight + Math.max(count, 0);
  }
}
