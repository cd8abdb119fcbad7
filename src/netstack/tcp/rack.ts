/**
 * RACK: a segment is lost when one that was sent sufficiently later has been delivered (RFC 8985 §6).
 *
 * It takes the place of the duplicate-ACK counting of RFC 6675: it sees lost retransmissions, it does not
 * mistake reordering for loss once it has seen any, and it needs no ACK per segment, so it stays right when
 * one ACK stands for a whole batch.
 */
import type { Milliseconds } from "../../base/index.js";
import { DUPLICATE_ACK_THRESHOLD } from "./constants.js";
import type { RttEstimator } from "./rtt.js";
import { LOST, RETRANSMITTED, SACKED, SENT_AT, type SentQueue } from "./sent-queue.js";
import { type Seq, seqDistance, seqLt } from "./seq.js";

/** Recoveries after which a widened reordering window is narrowed again (§6.2 step 4). */
const REO_WND_PERSIST = 16;

/** The caller's clock stands still for a batch, so a fast path's round trip may measure as nothing. */
const MIN_REO_WND_MS: Milliseconds = 1;

export class Rack {
  /** Set by `detectLosses`: how many bytes it marked. */
  newlyLostBytes = 0;
  private started = false;
  private xmitTs: Milliseconds = 0.1;
  private endSeq: Seq = 0;
  private rtt: Milliseconds = 0.1;
  /** Highest sequence number delivered. */
  private fack: Seq = 0;
  /** `fack` before the ACK that is being processed. */
  private priorFack: Seq = 0;
  private echoIsOlder = false;
  private reorderingSeen = false;
  private reoWndMult = 1;
  private reoWndPersist = REO_WND_PERSIST;
  private dsackRound: Seq = 0;
  private dsackRoundActive = false;

  /**
   * The order in which one ACK's blocks are walked says nothing about the order of delivery.
   * @param una SND.UNA before the ACK
   */
  onAck(una: Seq, echoIsOlder: boolean): void {
    this.priorFack = this.fack;
    // At once: 2 GiB later the comparison would say the opposite.
    if (this.dsackRoundActive && !seqLt(una, this.dsackRound)) this.dsackRoundActive = false;
    this.echoIsOlder = echoIsOlder;
  }

  /** Steps 1–3: entry `index` up to `end` has just been SACKed or acknowledged for the first time. */
  onDelivered(queue: SentQueue, index: number, end: Seq, estimator: RttEstimator): void {
    const sentAt = queue.stamps[queue.stampsAt(index) + SENT_AT] as number;
    const again = (queue.flagsOf(index) & RETRANSMITTED) !== 0;
    if (!this.started || seqLt(this.fack, end)) this.fack = end;
    else if (seqLt(end, this.priorFack) && !again) this.reorderingSeen = true;
    const rtt = queue.now - sentAt;
    // An ACK this soon after a retransmission, or that echoes an older segment, is the original's (step 2).
    if (again && (this.echoIsOlder || rtt < estimator.minRtt)) return;
    this.rtt = rtt;
    if (!this.started || this.compare(queue, index, end) > 0) {
      this.started = true;
      this.xmitTs = sentAt;
      this.endSeq = end;
    }
  }

  /** Step 4, widening: a DSACK says that a retransmission was for nothing. Once per round trip. */
  onDsack(nxt: Seq): void {
    if (this.dsackRoundActive) return;
    this.dsackRoundActive = true;
    this.dsackRound = nxt;
    this.reoWndMult++;
    this.reoWndPersist = REO_WND_PERSIST;
  }

  /** Step 4, narrowing. */
  onRecovered(): void {
    if (--this.reoWndPersist <= 0) this.reoWndMult = 1;
  }

  /**
   * Step 5: marks what is lost. Returns how long until more would be, or 0 when nothing waits.
   * Entries that were sent once are in the order of their times, so the walk ends at the first recent one.
   */
  detectLosses(queue: SentQueue, rtt: RttEstimator, inRecovery: boolean, now: Milliseconds): number {
    this.newlyLostBytes = 0;
    if (!this.started) return 0;
    const patience = this.rtt + this.reorderingWindow(queue, rtt, inRecovery);
    let wait = 0;
    for (let i = 0; i < queue.count; i++) {
      const flags = queue.flagsOf(i);
      if ((flags & (SACKED | LOST)) !== 0) continue;
      if (this.compare(queue, i, queue.endOf(i)) >= 0) {
        if ((flags & RETRANSMITTED) === 0) break;
        continue;
      }
      const remaining = queue.sentAt(i) + patience - now;
      if (remaining <= 0) {
        queue.markLost(i);
        this.newlyLostBytes += queue.lengthOf(i);
      } else if (remaining > wait) {
        wait = remaining;
      }
    }
    return wait;
  }

  /**
   * RACK_sent_after: above 0 when entry `index`, up to `end`, was sent after what RACK.xmit_ts and RACK.end_seq are of, by
   * time, then by sequence number. Times do not cross the call: two doubles that did were boxed, 32 bytes each time.
   */
  private compare(queue: SentQueue, index: number, end: Seq): number {
    const sentAt = queue.stamps[queue.stampsAt(index) + SENT_AT] as number;
    if (sentAt !== this.xmitTs) return sentAt > this.xmitTs ? 1 : -1;
    return seqDistance(end, this.endSeq);
  }

  private reorderingWindow(queue: SentQueue, rtt: RttEstimator, inRecovery: boolean): Milliseconds {
    if (!this.reorderingSeen && (inRecovery || queue.sackedSegments >= DUPLICATE_ACK_THRESHOLD)) return 0;
    return Math.max(Math.min((this.reoWndMult * rtt.minRtt) / 4, rtt.srtt), MIN_REO_WND_MS);
  }
}
