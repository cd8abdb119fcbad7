/**
 * How fast the path takes a flight, told by its ACKs: what they bring after the first one, over the time in which
 * they come (packet-train dispersion). A delivery rate over a whole round trip (`delivery-rate.ts`) cannot know
 * more than was sent in it; the ACKs of ten segments that left together show the bottleneck's rate.
 *
 * A few segments are a coarse measure: radios bunch ACKs, token buckets let the first ones through. So the lower of two
 * flights counts, what the first ACK brings does not, and who asks takes a part of it only.
 */
import type { Milliseconds } from "../../../base/index.js";
import type { AckSample } from "../delivery-rate.js";

/** Fewer after the first ACK of a flight say nothing. */
const MIN_SEGMENTS = 4;
/** Shorter times measure the batches of the caller's loop. */
const MIN_INTERVAL_MS: Milliseconds = 1;

export class Train {
  /** Of this flight's first ACK; negative when that came before there was a `Train`. */
  private firstAt: Milliseconds = -1.1;
  private bytes = 0;
  /** Of this flight so far, and of the last one that had any: bytes per millisecond, 0 for none. */
  private current = 0.1;
  private previous = 0.1;

  constructor() {
    this.current = 0;
    this.previous = 0;
  }

  /** Bytes per millisecond; 0 before there was a train. */
  get rate(): number {
    const { current, previous } = this;
    return current > 0 && previous > 0 ? Math.min(current, previous) : current + previous;
  }

  onSample(sample: AckSample, mss: number): void {
    if (sample.roundStart) {
      if (this.current > 0) this.previous = this.current;
      this.current = 0;
      this.firstAt = sample.now;
      this.bytes = 0;
      return;
    }
    this.bytes += sample.delivered;
    if (this.bytes < MIN_SEGMENTS * mss || this.firstAt < 0) return;
    this.current = this.bytes / Math.max(sample.now - this.firstAt, MIN_INTERVAL_MS);
  }
}
