/**
 * How fast BBR's start-up may grow, and when it is over (draft-ietf-ccwg-bbr §5.3.1). It is started again by a path that
 * has become faster, so what it remembers of earlier flights is kept in between.
 *
 * DEVIATION(draft §5.3.1): the window quadruples where the draft doubles it, up to half of what the ACKs of whole flights
 * have shown to fill the path (`train.ts`), and is paced at that rate (SUSS, SIGCOMM 2024, does so for CUBIC). Flights
 * below SMALL_WINDOW_BYTES leave at once: that is what shows.
 */
import type { Milliseconds } from "../../../base/index.js";
import type { AckSample } from "../delivery-rate.js";
import { SMALL_WINDOW_BYTES } from "./control.js";
import { Train } from "./train.js";

/** Start-up is over when three rounds have brought less than a quarter more (§5.3.1.2). */
const GROWTH = 1.25;
const FLAT_ROUNDS = 3;
/** A queue this long (as in RFC 9406 §4.3), for so many ACKs in a row, and start-up has reached the path's rate. */
const MIN_DELAY_MS: Milliseconds = 4;
const MAX_DELAY_MS: Milliseconds = 16;
const DELAY_DIVISOR = 8;
const DELAYED_ACKS = 8;
/** Growth per delivered byte while a train vouches for it, and up to which part of what it says would fill the path. */
export const LEAP_GROWTH = 3;
const LEAP_SHARE = 0.5;

export class StartUp {
  /** ACKs in a row that a queue delayed; enough of them hold the growth. */
  private delayedAcks = 0;
  private roundHeld = false;
  private best = 0.1;
  private flatRounds = 0;
  private train: Train = new Train();

  constructor() {
    this.best = 0;
  }

  onSample(sample: AckSample, minRtt: Milliseconds, mss: number): void {
    this.train.onSample(sample, mss);
    if (sample.rtt >= 0) this.watchDelay(sample.rtt, minRtt);
  }

  /**
   * What is sent in one round trip may be more than path and queue hold, and is lost before anything says so.
   * Growth stops as soon as a queue shows, and is over if that round brought no more.
   */
  private watchDelay(rtt: Milliseconds, minRtt: Milliseconds): void {
    const threshold = Math.max(MIN_DELAY_MS, Math.min(minRtt / DELAY_DIVISOR, MAX_DELAY_MS));
    this.delayedAcks = rtt >= minRtt + threshold ? this.delayedAcks + 1 : 0;
    if (this.held) this.roundHeld = true;
  }

  /** A queue shows. */
  get held(): boolean {
    return this.delayedAcks >= DELAYED_ACKS;
  }

  /** What was seen of a queue is over, and says nothing about what is sent from here on. */
  forgetDelay(): void {
    this.delayedAcks = 0;
  }

  /** §5.3.1.2: whether a round that ends with this bandwidth was the last one. */
  isFull(bandwidth: number, lossy: boolean): boolean {
    if (bandwidth >= GROWTH * this.best) {
      this.best = bandwidth;
      this.flatRounds = 0;
    } else {
      this.flatRounds++;
    }
    return this.flatRounds >= (this.roundHeld || lossy ? 1 : FLAT_ROUNDS);
  }

  endRound(): void {
    this.roundHeld = this.held;
  }

  /** The path may have become faster than this. */
  again(bandwidth: number): void {
    this.best = bandwidth;
    this.flatRounds = 0;
    this.train = new Train();
  }

  /** Bytes that the window may quadruple to. */
  leap(minRtt: Milliseconds): number {
    return LEAP_SHARE * this.train.rate * minRtt;
  }

  /** Bytes per millisecond at which a window may leave that is allowed to leap; 0 when nothing is known. */
  rate(cwnd: number): number {
    return cwnd < SMALL_WINDOW_BYTES ? Number.POSITIVE_INFINITY : this.train.rate;
  }
}
