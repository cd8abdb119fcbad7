/**
 * How fast the path delivers, and where round trips begin (draft-ietf-ccwg-bbr §4.1, "Delivery Rate Samples").
 *
 * ```
 *                       what was delivered between the ACK before a segment left and its own ACK
 *   a sample  =  ─────────────────────────────────────────────────────────────────────────────────
 *                 the longer of: the time in which that was sent, the time in which it was delivered
 * ```
 *
 * The longer of the two, because ACKs may come bunched together, and a burst may leave faster than the path takes
 * it. What each segment must remember of the moment at which it left is in its entry of the sent queue.
 */
import type { Milliseconds } from "../../base/index.js";
import type { RttEstimator } from "./rtt.js";
import {
  APP_LIMITED,
  DELIVERED_AT,
  DELIVERED_BEFORE,
  FIRST_SENT_AT,
  SENT_AT,
  type SentQueue,
} from "./sent-queue.js";

/** Shorter intervals measure the batches of the caller's loop, which share one time, and not the path. */
const MIN_INTERVAL_MS: Milliseconds = 1;

/** What one ACK says about the path. Valid until the next one, of any connection. All amounts are bytes. */
export interface AckSample {
  /** Newly delivered, and newly found lost. */
  readonly delivered: number;
  readonly lost: number;
  /** After the ACK. */
  readonly inFlight: number;
  /** Bytes per millisecond over about a round trip; 0 when there was none to measure. */
  readonly rate: number;
  /** The application held the sender back meanwhile: the path may be faster than `rate`. */
  readonly appLimited: boolean;
  /** The first ACK of a segment that was sent after the last round trip began. */
  readonly roundStart: boolean;
  /** Of the last segment that was delivered, if it was sent once; negative when there was none to measure. */
  readonly rtt: Milliseconds;
  readonly srtt: Milliseconds;
  readonly now: Milliseconds;
}

/** The sample in the making. One serves all connections, since each ACK is dealt with before the next one. */
class Sample implements AckSample {
  delivered = 0;
  lost = 0;
  inFlight = 0;
  rate = 0.1;
  appLimited = false;
  roundStart = false;
  now: Milliseconds = 0.1;
  rtt: Milliseconds = -1.1;
  srtt: Milliseconds = 0.1;
  minRtt: Milliseconds = 0.1;

  // Of the last sent among the segments that the current ACK delivered.
  found = false;
  sentAt: Milliseconds = 0.1;
  sendElapsed: Milliseconds = 0.1;
  priorTotal = 0.1;
  priorAt: Milliseconds = 0.1;
  priorLimited = false;
}

const sample = new Sample();

export class DeliveryRate {
  /** C.delivered, C.delivered_time, C.first_sent_time. */
  private total = 0.1;
  private totalAt: Milliseconds = 0.1;
  private firstSentAt: Milliseconds = 0.1;
  /** C.app_limited: once this much has been delivered, no segment of an idle time is in flight; 0 for none. */
  private appLimitedUntil = 0.1;
  private nextRound = 0.1;

  constructor() {
    // 0.1 above keeps V8's representation of the fields a double from the start.
    this.total = 0;
    this.appLimitedUntil = 0;
    this.nextRound = 0;
  }

  /** §4.1.2.2: a segment is about to be entered. @param outstanding entries in flight before it */
  onSend(outstanding: number, now: Milliseconds): void {
    if (outstanding > 0) return;
    this.firstSentAt = now;
    this.totalAt = now;
  }

  /** Entry `index` has just been sent, for the first time or again. */
  stamp(queue: SentQueue, index: number): void {
    const { stamps } = queue;
    const at = queue.stampsAt(index);
    stamps[at + FIRST_SENT_AT] = this.firstSentAt;
    stamps[at + DELIVERED_AT] = this.totalAt;
    stamps[at + DELIVERED_BEFORE] = this.total;
    queue.markAppLimited(index, this.appLimitedUntil > 0);
  }

  /** Of the current ACK. */
  get sample(): Sample {
    return sample;
  }

  /** An ACK comes in. */
  begin(): void {
    sample.found = false;
  }

  /** §4.1.2.3, UpdateRateSample: entry `index` was delivered just now, for the first time. */
  onDelivered(queue: SentQueue, index: number): void {
    const { stamps } = queue;
    const at = queue.stampsAt(index);
    const sentAt = stamps[at + SENT_AT] as number;
    if (sample.found && sentAt < sample.sentAt) return;
    sample.found = true;
    sample.sentAt = sentAt;
    sample.sendElapsed = sentAt - (stamps[at + FIRST_SENT_AT] as number);
    sample.priorTotal = stamps[at + DELIVERED_BEFORE] as number;
    sample.priorAt = stamps[at + DELIVERED_AT] as number;
    sample.priorLimited = (queue.flagsOf(index) & APP_LIMITED) !== 0;
  }

  /** Before `finish`. */
  measured(latestRtt: Milliseconds, rtt: RttEstimator): void {
    sample.rtt = latestRtt;
    sample.srtt = rtt.srtt;
    sample.minRtt = rtt.minRtt;
  }

  /** §4.1.2.3, GenerateRateSample. */
  finish(delivered: number, lost: number, inFlight: number, now: Milliseconds): void {
    sample.delivered = delivered;
    sample.lost = lost;
    sample.inFlight = inFlight;
    sample.now = now;
    sample.rate = 0;
    sample.roundStart = false;
    if (delivered > 0) {
      this.total += delivered;
      this.totalAt = now;
    }
    if (this.appLimitedUntil > 0 && this.total > this.appLimitedUntil) this.appLimitedUntil = 0;
    if (!sample.found) return;
    this.firstSentAt = sample.sentAt;
    if (sample.priorTotal >= this.nextRound) {
      this.nextRound = this.total;
      sample.roundStart = true;
    }
    const interval = Math.max(sample.sendElapsed, now - sample.priorAt);
    // Less than a round trip: the ACK was for an earlier transmission of what has just been sent again.
    if (interval < sample.minRtt) return;
    sample.rate = (this.total - sample.priorTotal) / Math.max(interval, MIN_INTERVAL_MS);
    sample.appLimited = sample.priorLimited;
  }

  /** §4.1.2.4: there was room in the network and nothing to fill it with. */
  onAppLimited(inFlight: number): void {
    this.appLimitedUntil = Math.max(this.total + inFlight, 1);
  }
}
