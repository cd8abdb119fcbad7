/** Round trips as /metrics shows them: one observation for each TCP connection of the tunnel, when it ends. */
import { ROUND_TRIP_BUCKETS_MS, type RoundTrips } from "../api/index.js";

export class RoundTripHistogram {
  private readonly counts: number[] = ROUND_TRIP_BUCKETS_MS.map(() => 0);
  private count = 0;
  private sumMs = 0;

  /** @param srttMs smoothed over the connection's life; 0 when nothing was ever measured */
  observe(srttMs: number): void {
    if (srttMs <= 0) return;
    this.count++;
    this.sumMs += srttMs;
    const bucket = ROUND_TRIP_BUCKETS_MS.findIndex(bound => srttMs <= bound);
    if (bucket !== -1) this.counts[bucket] = (this.counts[bucket] as number) + 1;
  }

  snapshot(): RoundTrips {
    return { counts: [...this.counts], count: this.count, sumMs: this.sumMs };
  }
}
