/**
 * A model of the path in place of a reaction to loss: BBR, after draft-ietf-ccwg-bbr. How fast the path delivers at
 * most, and how long it takes at least; their product is what must be in flight to fill it.
 *
 * ```
 *   startup ──(no faster for 3 rounds)──▶ drain ──(queue gone)──▶ cruise: gains 1.25, 0.75, 1, 1, 1, 1, 1, 1
 *                                                                    │  ▲  one minimum round trip each
 *                                                    every 10 s      ▼  │
 *                                                              probe-rtt: half a window for 200 ms
 * ```
 *
 * DEVIATION(draft §5.5.10): BBRv3 takes a round that loses 2 % for a full queue. Lines that lose 1 to 3 % at random
 * are what this is for, so nothing happens below LOSS_LIMIT; in that, and in its cycle of gains, it is BBRv1.
 * A round that loses more ends the start-up and bounds what is in flight, as v3's `inflight_longterm` does.
 *
 * DEVIATION(draft §5.6.2): no pacing on paths shorter than SHORT_PATH_MS. The window is filled within one turn of
 * the caller's loop there, and a timer per burst would cost more than the queue that it avoids.
 */
import type { Milliseconds } from "../../../base/index.js";
import type { AckSample } from "../delivery-rate.js";
import { Aggregation } from "./aggregation.js";
import { type CongestionControl, initialWindow, SHORT_PATH_MS, UNLIMITED } from "./control.js";
import { LEAP_GROWTH, StartUp } from "./start-up.js";

/** 4 ln 2: doubles the rate each round (§5.3.1.1). */
const STARTUP_GAIN = 2.77;
/** §5.3.2: what start-up may have queued is gone after one round. */
const DRAIN_GAIN = 0.35;
const CYCLE: readonly number[] = [1.25, 0.75, 1, 1, 1, 1, 1, 1];
/** By the end of which part of the cycle a probe's ACKs are back, and what they must show to call for more. */
const PROBE_SEEN = 2;
const PROBE_SUCCESS = 1.2;
/**
 * Window over the bandwidth-delay product: what a probe needs, and what delayed ACKs and late wake-ups do, which take
 * milliseconds and not round trips. At most §5.6.4.2's twice the product: the bandwidth is a maximum, and where bunched ACKs
 * have made too much of it, all of the window beyond the product stands in a queue.
 */
const WINDOW_GAIN = 1.25;
const WINDOW_SLACK_MS: Milliseconds = 10;
const MAX_WINDOW_GAIN = 2;
/** Rounds over which the maximum of the bandwidth is taken. */
const FILTER_ROUNDS = 10;
/** Doubles from the start, as counters are. A typed array would be memory outside the heap, to be freed one by one. */
const NO_SAMPLES: readonly number[] = new Array<number>(FILTER_ROUNDS).fill(0.1).fill(0);
/** Share of a round's bytes whose loss means a full queue, not a bad line. */
const LOSS_LIMIT = 0.1;
/** Fewer are chance (§5.3.1.3 has 6 at 2 %). */
const MIN_LOST_SEGMENTS = 8;
/** §5.6.4: what is left of the window then, and how fast it comes back per round without such loss. */
const LOSS_BETA = 0.7;
const ECN_BETA = 0.85;
const BOUND_GROWTH = 1.1;
const PROBE_RTT_INTERVAL_MS: Milliseconds = 10_000;
const PROBE_RTT_MS: Milliseconds = 200;
/** A bandwidth that has fallen to this part calls for a new look at the round trip, if none was less than this longer meanwhile. */
const LONGER_PATH = 0.8;
const LONGER_RTT = 1.5;

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
  private readonly samples: number[] = NO_SAMPLES.slice();
  private sampleAt = 0;
  private sampled = false;
  private bandwidth = 0.1;
  private aggregation: Aggregation = new Aggregation();

  private minRtt: Milliseconds = Number.POSITIVE_INFINITY;
  private minRttAt: Milliseconds = 0.1;
  /** Bandwidth when `minRtt` was last seen, or more since. */
  private minRttRate = 0.1;
  /** Smallest since the filter last began anew. */
  private filterRtt: Milliseconds = Number.POSITIVE_INFINITY;
  private pathIsLonger = false;
  /** Smallest since probe-rtt began. */
  private freshRtt: Milliseconds = Number.POSITIVE_INFINITY;
  private probeEnd: Milliseconds = 0.1;
  private restarted = false;

  private roundBytes = 0;
  private roundLost = 0;
  /** A round whose samples the application held down cannot show that the path is full. */
  private roundLimited = false;
  private startUp: StartUp = new StartUp();
  private cycle = 0;
  /** Bandwidth when the last probe for more began. */
  private probedFrom: number = Number.POSITIVE_INFINITY;
  private cycleStart: Milliseconds = 0.1;
  /** Most that may be in flight since a queue overflowed or said so. */
  private bound: number = UNLIMITED;

  get pathRtt(): Milliseconds {
    return this.minRtt;
  }

  setMss(mss: number): void {
    this.mss = mss;
    if (this.untouched) this.cwnd = initialWindow(mss);
  }

  onSample(sample: AckSample): void {
    this.untouched = false;
    this.roundBytes += sample.delivered;
    this.roundLost += sample.lost;
    if (sample.rate > 0) this.addRate(sample.rate, sample.appLimited);
    if (this.phase === "startup" && this.priorCwnd === 0)
      this.startUp.onSample(sample, this.minRtt, this.mss);
    const lossy = this.isLossy();
    if (sample.roundStart) this.endRound(lossy);
    if (sample.rtt >= 0) this.updateMinRtt(sample.rtt, sample.now);
    if (this.minRtt === Number.POSITIVE_INFINITY) return;
    this.aggregation.onSample(sample, this.bandwidth, this.cwnd);
    this.step(sample.inFlight, sample.lost > 0, sample.now);
    this.setWindow(sample.delivered);
    this.setPacing();
  }

  onAck(): void {}
  onLoss(): void {}

  onRecovered(): void {
    this.cwnd = Math.max(this.cwnd, this.priorCwnd);
    this.priorCwnd = 0;
  }

  onEcnEcho(outstanding: number): void {
    this.limit(outstanding, ECN_BETA);
  }

  /** Nothing has come back for a time-out: one segment at a time until something does. */
  onTimeout(): void {
    this.priorCwnd = Math.max(this.priorCwnd, this.cwnd);
    this.cwnd = this.mss;
    this.startUp.forgetDelay();
  }

  onSpurious(): void {
    this.onRecovered();
  }

  /** §5.4: paced at the rate that is known, so no window need be given up; and idle time is no reason to probe. */
  onIdle(): void {
    this.restarted = true;
  }

  /** Another path, another model: with the round trip of a shorter one the window would starve until the next probe. */
  onPathChanged(): void {
    this.cwnd = Math.min(this.cwnd, initialWindow(this.mss));
    this.pacingRate = Number.POSITIVE_INFINITY;
    this.phase = "startup";
    this.priorCwnd = 0;
    this.samples.fill(0);
    this.sampled = false;
    this.bandwidth = 0;
    this.aggregation = new Aggregation();
    this.minRtt = Number.POSITIVE_INFINITY;
    this.startUp = new StartUp();
    this.minRttRate = 0;
    this.filterRtt = Number.POSITIVE_INFINITY;
    this.pathIsLonger = false;
    this.probedFrom = Number.POSITIVE_INFINITY;
    this.bound = UNLIMITED;
  }

  /** §5.5.5: the maximum over the last rounds that had a sample to show. */
  private addRate(rate: number, appLimited: boolean): void {
    if (appLimited) {
      this.roundLimited = true;
      // What the application did not ask for, the path has not failed to give.
      if (rate < this.bandwidth) return;
    }
    const { samples } = this;
    this.sampled = true;
    if (rate > (samples[this.sampleAt] as number)) samples[this.sampleAt] = rate;
    if (rate > this.bandwidth) this.bandwidth = rate;
  }

  /** §5.3.1.3, §5.5.10.2: so much was lost in this round that a queue must have overflowed. */
  private isLossy(): boolean {
    const { roundBytes, roundLost } = this;
    return roundLost > LOSS_LIMIT * (roundBytes + roundLost) && roundLost >= MIN_LOST_SEGMENTS * this.mss;
  }

  private endRound(lossy: boolean): void {
    if (this.phase === "startup" && this.sampled && (lossy || !this.roundLimited)) {
      if (this.startUp.isFull(this.bandwidth, lossy)) this.phase = "drain";
    } else if (lossy) this.limit(this.roundBytes, LOSS_BETA);
    else if (this.bound < UNLIMITED) this.bound = Math.min(this.bound * BOUND_GROWTH, UNLIMITED);
    if (this.sampled) this.advanceFilter();
    this.sampled = false;
    this.roundLimited = false;
    this.startUp.endRound();
    this.roundBytes = 0;
    this.roundLost = 0;
  }

  private advanceFilter(): void {
    const { samples } = this;
    this.sampleAt = (this.sampleAt + 1) % FILTER_ROUNDS;
    samples[this.sampleAt] = 0;
    let most = 0;
    for (let i = 0; i < FILTER_ROUNDS; i++) most = Math.max(most, samples[i] as number);
    this.bandwidth = most;
    if (this.sampleAt === 0) this.judgePath();
  }

  /**
   * Over a longer path a window for the old one brings less each round. A path that has become slower does so, too, but
   * the window follows its rate, and one of the next ten round trips is as short as ever.
   */
  private judgePath(): void {
    const { bandwidth, filterRtt, minRtt, minRttRate } = this;
    this.pathIsLonger = bandwidth < LONGER_PATH * minRttRate && filterRtt > LONGER_RTT * minRtt;
    this.filterRtt = Number.POSITIVE_INFINITY;
  }

  private limit(bytes: number, beta: number): void {
    const product = this.product;
    this.bound = Math.max(beta * Math.min(this.bound, Math.max(bytes, product)), product, 4 * this.mss);
  }

  private updateMinRtt(rtt: Milliseconds, now: Milliseconds): void {
    if (this.phase === "probe-rtt") this.freshRtt = Math.min(this.freshRtt, rtt);
    if (rtt < this.filterRtt) this.filterRtt = rtt;
    if (rtt > this.minRtt) return;
    this.minRtt = rtt;
    this.minRttAt = now;
    this.minRttRate = this.bandwidth;
  }

  /** It has not been seen for long, or is another one by now. */
  private minRttIsOld(now: Milliseconds): boolean {
    return now - this.minRttAt > PROBE_RTT_INTERVAL_MS || this.pathIsLonger;
  }

  /** Bytes that fill the path. */
  private get product(): number {
    return this.bandwidth * Math.max(this.minRtt, SHORT_PATH_MS);
  }

  private step(inFlight: number, lossy: boolean, now: Milliseconds): void {
    const { product } = this;
    // Without a pacer the window alone drains.
    if (this.phase === "drain" && (inFlight <= product || this.minRtt < SHORT_PATH_MS)) this.cruise(2, now);
    if (this.phase === "probe-rtt") {
      if (now < this.probeEnd) return;
      // Whatever it has become: the route may be longer now.
      if (this.freshRtt < Number.POSITIVE_INFINITY) this.minRtt = this.freshRtt;
      this.minRttAt = now;
      this.minRttRate = this.bandwidth;
      this.pathIsLonger = false;
      this.cruise(2, now);
    }
    if (this.phase !== "cruise") return;
    if (this.bandwidth > this.minRttRate) this.minRttRate = this.bandwidth;
    if (this.minRttIsOld(now) && !this.restarted) {
      this.phase = "probe-rtt";
      this.freshRtt = Number.POSITIVE_INFINITY;
      this.probeEnd = now + PROBE_RTT_MS + this.minRtt;
    } else if (this.mayAdvance(inFlight, product, lossy, now)) {
      this.advance(now);
    }
    this.restarted = false;
  }

  /**
   * A probe that brought what it asked for goes on as start-up did (as §5.3.3.4 raises its slope): a flow that
   * began beside others, or whose path has become faster, need not wait eight round trips for each quarter.
   */
  private advance(now: Milliseconds): void {
    if (this.cycle === PROBE_SEEN && this.bandwidth >= PROBE_SUCCESS * this.probedFrom) {
      this.phase = "startup";
      this.startUp.again(this.bandwidth);
      return;
    }
    this.cruise((this.cycle + 1) % CYCLE.length, now);
    if (this.cycle === 0) this.probedFrom = this.bandwidth;
  }

  /** A probe for more lasts until it is in flight, or lost; making up for it, until it is gone. */
  private mayAdvance(inFlight: number, product: number, lossy: boolean, now: Milliseconds): boolean {
    const over = now - this.cycleStart > this.minRtt;
    if (this.cycle === 0) return over && (lossy || inFlight >= 1.25 * product);
    return over || (this.cycle === 1 && inFlight <= product);
  }

  private cruise(cycle: number, now: Milliseconds): void {
    this.phase = "cruise";
    this.cycle = cycle;
    this.cycleStart = now;
  }

  private setWindow(delivered: number): void {
    const { mss, phase, product } = this;
    const filled =
      phase === "startup"
        ? STARTUP_GAIN * product
        : Math.min(WINDOW_GAIN * product + WINDOW_SLACK_MS * this.bandwidth, MAX_WINDOW_GAIN * product);
    let target = filled + this.aggregation.extra + 3 * mss;
    if (phase === "probe-rtt") target = product / 2;
    const leap = this.mayLeap ? this.startUp.leap(this.minRtt) : 0;
    target = Math.max(Math.min(Math.max(target, leap), this.bound, UNLIMITED), 4 * mss);
    // Up by what was delivered, so that a time-out's single segment grows as slow start does.
    const grown = this.cwnd + (this.cwnd < leap ? LEAP_GROWTH : 1) * delivered;
    if (phase !== "startup") this.cwnd = Math.min(grown, target);
    else if (!this.startUp.held && this.cwnd < target) this.cwnd = Math.min(grown, target);
    this.cwnd = Math.ceil(this.cwnd);
  }

  private setPacing(): void {
    const { mss, phase, minRtt } = this;
    if (minRtt < SHORT_PATH_MS) {
      this.pacingRate = Number.POSITIVE_INFINITY;
      return;
    }
    const initial = phase === "startup" ? initialWindow(mss) / minRtt : mss / 1000;
    this.pacingRate = this.gain * Math.max(this.bandwidth, initial);
    if (this.mayLeap) this.pacingRate = Math.max(this.pacingRate, this.startUp.rate(this.cwnd));
  }

  /** Nothing speaks against going faster: no queue, no loss, no application that has less to send. */
  private get mayLeap(): boolean {
    return (
      this.phase === "startup" &&
      !this.startUp.held &&
      this.priorCwnd === 0 &&
      !this.roundLimited &&
      !this.isLossy()
    );
  }

  private get gain(): number {
    if (this.phase === "startup") return this.startUp.held ? 1 : STARTUP_GAIN;
    if (this.phase === "drain") return DRAIN_GAIN;
    return this.phase === "cruise" ? (CYCLE[this.cycle] as number) : 1;
  }
}
