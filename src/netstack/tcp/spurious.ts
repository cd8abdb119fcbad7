/**
 * Whether what was sent again had been lost at all, or was only late. Three witnesses, each from the episode's
 * ACKs alone:
 *
 * | witness    | says                                                              | judges             | RFC  |
 * |------------|-------------------------------------------------------------------|--------------------|------|
 * | timestamps | the ACK echoes a segment from before the first retransmission     | time-out, recovery | 3522 |
 * | F-RTO      | two ACKs in a row deliver what was sent only once                 | time-out           | 5682 |
 * | DSACK      | every byte that was sent again arrived twice                      | both               | 3708 |
 *
 * F-RTO stands in where the peer has no timestamps: between the two ACKs it has new data sent in place of
 * retransmissions, so that the second one is about originals. What follows from a verdict is `recovery.ts`'s.
 */
import type { Milliseconds } from "../../base/index.js";
import type { TcpOptions } from "../../wire/index.js";
import type { Segment } from "./segment.js";
import { type Seq, seqDistance, seqLeq, seqLt } from "./seq.js";

/** RFC 5682 §2.1 step 2b: new segments between the first and the second ACK. */
const FRTO_NEW_SEGMENTS = 2;

type Step = "off" | "first-ack" | "second-ack";

export class SpuriousDetector {
  /** An original that had been given up for lost was delivered by the current ACK. */
  originalDelivered = false;
  /** The current ACK echoes a segment from before the episode's first retransmission. */
  echoIsOlder = false;
  private undoable = false;
  private timeout = false;
  private step: Step = "off";
  private newSegments = 0;
  private retransmittedBytes = 0;
  private duplicateBytes = 0;
  private stamped = false;
  private firstStamp = 0;
  private firstAt: Milliseconds = 0.1;

  /** An episode begins whose consequences can be undone. */
  begin(timeout: boolean): void {
    this.undoable = true;
    this.timeout = timeout;
    this.step = timeout ? "first-ack" : "off";
    this.retransmittedBytes = 0;
    this.duplicateBytes = 0;
    this.stamped = false;
  }

  /** The timer fired within an episode: a second time-out goes on with the first one's, a recovery's is real. */
  onTimeoutAgain(wasTimeout: boolean): void {
    if (!wasTimeout) this.end();
    else if (this.undoable) this.step = "first-ack";
  }

  /** The verdict is in. Returns whether the episode was a time-out's. */
  end(): boolean {
    this.undoable = false;
    this.step = "off";
    return this.timeout;
  }

  /** Part of the episode was sent again, with this TSval. */
  onRetransmit(bytes: number, stamp: number, now: Milliseconds): void {
    if (!this.undoable) return;
    this.retransmittedBytes += bytes;
    if (this.stamped) return;
    this.stamped = true;
    this.firstStamp = stamp;
    this.firstAt = now;
  }

  onNewData(segments: number): void {
    this.newSegments += segments;
  }

  /** RFC 2883: the peer got `bytes` twice. True when that is all that was sent again. */
  onDsack(bytes: number): boolean {
    this.duplicateBytes += bytes;
    return this.undoable && this.retransmittedBytes > 0 && this.duplicateBytes >= this.retransmittedBytes;
  }

  /** Before the ACK's deliveries are taken in. */
  onAck(options: TcpOptions): void {
    this.originalDelivered = false;
    this.echoIsOlder =
      this.undoable && this.stamped && options.hasTimestamps && seqLt(options.tsEcho, this.firstStamp);
  }

  /** The round trip of the segment that an older echo is about. */
  echoRtt(echo: Seq, now: Milliseconds): Milliseconds {
    return now - this.firstAt + seqDistance(this.firstStamp, echo);
  }

  /** How many new segments may leave in place of retransmissions (RFC 5682 §2.1 step 2b); 0 for no such hold. */
  get newSegmentsWanted(): number {
    return this.step === "second-ack" ? FRTO_NEW_SEGMENTS - this.newSegments : 0;
  }

  /** Retransmissions wait for the second ACK. */
  get holding(): boolean {
    return this.step === "second-ack";
  }

  /** There is nothing new to send: the usual recovery from a time-out (RFC 5682 §2.1 step 2b). */
  giveUpHold(): void {
    if (this.newSegments === 0) this.step = "off";
  }

  /**
   * After an ACK's deliveries: true when the episode is shown to have been for nothing.
   * @param acked bytes by which SND.UNA moved
   * @param covered all that was outstanding when the episode began is acknowledged
   */
  judge(acked: number, covered: boolean, hasTimestamps: boolean): boolean {
    if (!this.undoable) return false;
    if (hasTimestamps) return acked > 0 && (this.timeout ? this.judgeFirst() : covered && this.judgeLast());
    return this.timeout && this.judgeByFrto(acked, covered);
  }

  /** RFC 3522 §3.2 step 5; an ACK before anything was sent again is an original's as well. */
  private judgeFirst(): boolean {
    if (this.echoIsOlder || !this.stamped) return true;
    this.end();
    return false;
  }

  /** A recovery may mend some and repeat other segments, so the ACK that covers all of them decides. */
  private judgeLast(): boolean {
    this.stamped = false;
    return this.echoIsOlder;
  }

  /** RFC 5682 §2.1 steps 2 and 3. */
  private judgeByFrto(acked: number, covered: boolean): boolean {
    switch (this.step) {
      case "off":
        return false;
      case "first-ack":
        this.step = acked > 0 && !covered ? "second-ack" : "off";
        this.newSegments = 0;
        return false;
      case "second-ack":
        this.step = "off";
        return this.originalDelivered;
    }
  }
}

/** RFC 2883 §4: the first block lies below the cumulative ACK, or inside the second one. */
export function isDsack(segment: Segment, una: Seq): boolean {
  const { sack, sackCount } = segment.options;
  if (sackCount === 0) return false;
  const left = sack[0] as number;
  const right = sack[1] as number;
  if (seqLeq(right, segment.ack) || seqLt(left, una)) return true;
  return sackCount > 1 && seqLeq(sack[2] as number, left) && seqLeq(right, sack[3] as number);
}
