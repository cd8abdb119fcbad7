/**
 * A model of the path in place of a reaction to loss, after BBR (draft-ietf-ccwg-bbr): how fast the path delivers
 * at most, and how long it takes at least. Their product is what must be in flight to fill it.
 *
 * ```
 *   startup ──(no faster for 3 rounds)──▶ drain ──(queue gone)──▶ cruise: gains 1.25, 0.75, 1, 1, 1, 1, 1, 1
 *                                                                    │  ▲  one minimum round trip each
 *                                                    every 10 s      ▼  │
 *                                                              probe-rtt: half a window for 200 ms
 * ```
 *
 * Random loss says nothing about the path's rate, so it does not slow this down: a 1 % loss costs 1 %. A queue
 * that overflows does: a round that loses more than LOSS_LIMIT ends the start-up and bounds what is in flight.
 *
 * DEVIATION(draft §4.1): a bandwidth sample is one round trip's deliveries over its length, not one per packet:
 * it needs no state per segment, and batched ACKs do not inflate it.
 */
import type { Milliseconds } from "../../../base/index.js";
import { type CongestionControl, initialWindow, UNLIMITED } from "./control.js";

/** 2/ln 2: doubles the rate each round (draft §2.4). */
const STARTUP_GAIN = 2.77;
const DRAIN_GAIN = 0.35;
const CYCLE: readonly number[] = [1.25, 0.75, 1, 1, 1, 1, 1, 1];
/** Window over the bandwidth-delay product: room for batched and delayed ACKs. */
const WINDOW_GAIN = 2;
/** Start-up is over when three rounds have brought less than a quarter more. */
const GROWTH = 1.25;
const FLAT_ROUNDS = 3;
/** Rounds over which the maximum of the bandwidth is taken. */
const FILTER_ROUNDS = 10;
/** Share of a start-up round's bytes whose loss means a full queue, not a bad line. */
const LOSS_LIMIT = 0.1;
const PROBE_RTT_INTERVAL_MS: Milliseconds = 10_000;
const PROBE_RTT_MS: Milliseconds = 200;
/** Slightly below the measured rate, so that no queue stands (draft §2.5). */
const PACING_MARGIN = 0.99;

type Phase = "startup" | "drain" | "cruise" | "probe-rtt";

export class Bbr implements CongestionControl {
  readonly name = "bbr";
  readonly modelBased = true;
  cwnd = 0;
  readonly ssthresh: number = UNLIMITED;
  pacingRate: number = Number.POSITIVE_INFINITY;
  private phase: Phase = "startup";
  private mss = 0;
  private untouched = true;
  /** Before the last time-out. */
  private priorCwnd = 0;
  /** Bytes per millisecond of the last rounds, as a ring; its maximum is the model's bandwidth. */
  private readonly samples: Float64Array = new Float64Array(FILTER_ROUNDS);
  private sampleAt = 0;
  private bandwidth = 0.1;
  private minRtt: Milliseconds = Number.POSITIVE_INFINITY;
  private minRttAt: Milliseconds = 0.1;
  private roundStart: Milliseconds = -1.1;
  private roundBytes = 0;
  private roundLost = 0;
  /** Something but the application or the peer's window held the round back. */
  private roundLimited = false;
  private best = 0.1;
  private flatRounds = 0;
  private cycle = 0;
  private cycleStart: Milliseconds = 0.1;
  private probeEnd: Milliseconds = 0.1;

  setMss(mss: number): void {
    this.mss = mss;
    if (this.untouched) this.cwnd = initialWindow(mss);
  }

  onDelivered(
    bytes: number,
    lost: number,
    inFlight: number,
    limited: boolean,
    rtt: Milliseconds,
    srtt: Milliseconds,
    now: Milliseconds,
  ): void {
    this.untouched = false;
    if (rtt >= 0) this.updateMinRtt(rtt, now);
    if (this.minRtt === Number.POSITIVE_INFINITY) return;
    this.roundBytes += bytes;
    this.roundLost += lost;
    this.roundLimited ||= limited;
    if (this.roundStart < 0) this.startRound(now);
    else if (now - this.roundStart >= Math.max(srtt, 1)) this.endRound(now);
    this.step(inFlight, now);
    this.setWindow(bytes);
  }

  onAck(): void {}
  onLoss(): void {}
  onRecovered(): void {}
  onEcnEcho(): void {}

  /** Nothing has come back for a time-out: one segment at a time until something does. */
  onTimeout(): void {
    this.priorCwnd = Math.max(this.priorCwnd, this.cwnd);
    this.cwnd = this.mss;
  }

  onSpurious(): void {
    this.cwnd = Math.max(this.cwnd, this.priorCwnd);
    this.priorCwnd = 0;
  }

  onIdle(): void {
    this.roundStart = -1;
  }

  private updateMinRtt(rtt: Milliseconds, now: Milliseconds): void {
    if (rtt > this.minRtt) return;
    this.minRtt = Math.max(rtt, 0.05);
    this.minRttAt = now;
  }

  private startRound(now: Milliseconds): void {
    this.roundStart = now;
    this.roundBytes = 0;
    this.roundLost = 0;
    this.roundLimited = false;
  }

  private endRound(now: Milliseconds): void {
    const sample = this.roundBytes / (now - this.roundStart);
    const lossy = this.roundLost > LOSS_LIMIT * (this.roundBytes + this.roundLost);
    // What the application did not ask for, the path has not failed to give.
    if (this.roundLimited || sample > this.bandwidth) this.addSample(sample);
    if (this.phase === "startup" && this.roundLimited) this.checkFull(lossy);
    this.startRound(now);
  }

  private addSample(sample: number): void {
    this.samples[this.sampleAt] = sample;
    this.sampleAt = (this.sampleAt + 1) % FILTER_ROUNDS;
    let most = 0;
    for (let i = 0; i < FILTER_ROUNDS; i++) most = Math.max(most, this.samples[i] as number);
    this.bandwidth = most;
  }

  private checkFull(lossy: boolean): void {
    if (this.bandwidth >= GROWTH * this.best) {
      this.best = this.bandwidth;
      this.flatRounds = 0;
    } else {
      this.flatRounds++;
    }
    if (this.flatRounds >= FLAT_ROUNDS || (lossy && this.flatRounds > 0)) this.phase = "drain";
  }

  private step(inFlight: number, now: Milliseconds): void {
    const product = this.bandwidth * this.minRtt;
    switch (this.phase) {
      case "startup":
        break;
      case "drain":
        if (inFlight <= product) this.cruise(2, now);
        break;
      case "cruise":
        if (now - this.minRttAt > PROBE_RTT_INTERVAL_MS) {
          this.phase = "probe-rtt";
          this.probeEnd = now + PROBE_RTT_MS + this.minRtt;
          // Whatever comes next replaces it: the route may have become longer.
          this.minRttAt = now;
          this.minRtt *= 1.25;
        } else if (now - this.cycleStart > this.minRtt || (this.cycle === 1 && inFlight <= product)) {
          this.cruise((this.cycle + 1) % CYCLE.length, now);
        }
        break;
      case "probe-rtt":
        if (now >= this.probeEnd) this.cruise(2, now);
    }
  }

  private cruise(cycle: number, now: Milliseconds): void {
    this.phase = "cruise";
    this.cycle = cycle;
    this.cycleStart = now;
  }

  private get gain(): number {
    if (this.phase === "startup") return STARTUP_GAIN;
    if (this.phase === "drain") return DRAIN_GAIN;
    return this.phase === "cruise" ? (CYCLE[this.cycle] as number) : 1;
  }

  private setWindow(delivered: number): void {
    const { gain, mss } = this;
    const product = this.bandwidth * this.minRtt;
    const initialRate = initialWindow(mss) / Math.max(this.minRtt, 1);
    const rate = Math.max(this.bandwidth, this.phase === "startup" ? initialRate : 0);
    this.pacingRate = PACING_MARGIN * gain * Math.max(rate, mss / 1000);
    let target = Math.ceil((this.phase === "startup" ? STARTUP_GAIN : WINDOW_GAIN) * product) + 3 * mss;
    if (this.phase === "probe-rtt") target = product >> 1;
    target = Math.min(Math.max(target, 4 * mss), UNLIMITED);
    // Up by what was delivered, so that a time-out's single segment grows as slow start does.
    if (this.phase !== "startup") this.cwnd = Math.min(this.cwnd + delivered, target);
    else if (this.cwnd < target) this.cwnd += delivered;
  }
}
