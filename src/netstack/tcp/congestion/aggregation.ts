/**
 * How much more than the bandwidth promises ACKs have brought at once (draft-ietf-ccwg-bbr §5.5.9). Receivers
 * delay ACKs, radios and batches of datagrams bunch them; a window without room for that runs dry in between.
 */
import type { Milliseconds } from "../../../base/index.js";
import type { AckSample } from "../delivery-rate.js";

/** Rounds that each of the two halves of the filter covers. */
const HALF_ROUNDS = 5;
/** At most what the path delivers in this time. */
const MOST_MS: Milliseconds = 100;

export class Aggregation {
  private since: Milliseconds = -1.1;
  private bytes = 0;
  private current = 0;
  private previous = 0;
  private rounds = 0;

  /** Maximum of the last five to ten rounds, in bytes. */
  get extra(): number {
    return Math.max(this.current, this.previous);
  }

  onSample(sample: AckSample, bandwidth: number, cwnd: number): void {
    const { now } = sample;
    if (sample.roundStart && ++this.rounds >= HALF_ROUNDS) {
      this.rounds = 0;
      this.previous = this.current;
      this.current = 0;
    }
    let expected = bandwidth * (now - this.since);
    if (this.since < 0 || this.bytes <= expected) {
      this.since = now;
      this.bytes = 0;
      expected = 0;
    }
    this.bytes = Math.min(this.bytes + sample.delivered, cwnd);
    const extra = Math.min(this.bytes - expected, bandwidth * MOST_MS);
    if (extra > this.current) this.current = extra;
  }
}
