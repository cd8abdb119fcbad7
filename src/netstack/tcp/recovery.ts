/**
 * What an ACK says about delivery and loss, and what follows from it.
 *
 * ```
 *              loss found                    all acknowledged that
 *    open ───────────────────▶ recovery ───▶ was outstanding ─────▶ open
 *      │                          │
 *      └──────── RTO ─────────────┴────────▶ loss ────────────────▶ open
 *                                 (either is undone when `spurious` finds that nothing was lost)
 * ```
 *
 * With SACK, RACK finds the losses (RFC 8985, over the scoreboard of RFC 6675); without, three duplicate ACKs
 * and partial ACKs do (RFC 6582). PRR governs the window in recovery; after a time-out it is slow start.
 */
import { type Milliseconds, NEVER } from "../../base/index.js";
import { TCP_ECE } from "../../wire/index.js";
import type { Counters } from "../counters.js";
import { DUPLICATE_ACK_THRESHOLD } from "./constants.js";
import { Prr } from "./prr.js";
import { Rack } from "./rack.js";
import { SackBlocks } from "./sack-blocks.js";
import type { Segment } from "./segment.js";
import type { Sender } from "./sender.js";
import { LOST, RETRANSMITTED, SACKED } from "./sent-queue.js";
import { type Seq, seqAdd, seqDistance, seqLeq, seqLt } from "./seq.js";
import { isDsack, SpuriousDetector } from "./spurious.js";

export class LossRecovery {
  phase: "open" | "recovery" | "loss" = "open";
  /** Above 0: RACK wants to look again in this many milliseconds. */
  reorderDelay: Milliseconds = 0.1;
  /** When the retransmission timer would fire; a probe comes before it. */
  rtoAt: Milliseconds = NEVER;
  /** Duplicate ACKs from a peer without SACK; each stands for a segment that has left the network. */
  duplicateAcks = 0;
  readonly rack: Rack = new Rack();
  readonly spurious: SpuriousDetector = new SpuriousDetector();
  private readonly sacks: SackBlocks;
  private readonly prr: Prr = new Prr();
  private readonly sender: Sender;
  private readonly counters: Counters;
  private recoveryPoint: Seq = 0;
  /** Bytes found lost since the last sample. */
  private untoldLoss = 0;
  /** No entry before this one is LOST. */
  private lostHint = 0;

  // Tail loss probe (RFC 8985 §7).
  private probeEnd: Seq = 0;
  private probeOutstanding = false;
  private probeWasRetransmission = false;

  constructor(sender: Sender, counters: Counters) {
    this.sender = sender;
    this.sacks = new SackBlocks(sender);
    this.counters = counters;
    this.reorderDelay = 0;
  }

  // ---- what an ACK brings, in the order in which `Sender.onAck` asks ----

  /** Marks what the SACK blocks cover (RFC 2018 §5). Returns the bytes newly covered. */
  takeSacks(segment: Segment): number {
    const { sack } = segment.options;
    const first = isDsack(segment, this.sender.una) ? 1 : 0;
    if (first === 1) this.takeDsack(segment.ack, seqDistance(sack[1] as number, sack[0] as number));
    return this.sacks.take(segment.options, first);
  }

  /** Bytes that came twice: by a probe (§7.4.2: while something before it is missing it goes on), or by an episode. */
  private takeDsack(ack: Seq, bytes: number): void {
    this.rack.onDsack(this.sender.nxt);
    if (this.probeOutstanding) this.probeOutstanding = seqLt(ack, this.probeEnd);
    else if (this.spurious.onDsack(bytes)) this.undo();
  }

  /**
   * After SACKs and the cumulative acknowledgment have been taken in.
   * @param delivered bytes newly delivered
   * @param acked bytes by which SND.UNA moved
   */
  afterAck(
    delivered: number,
    acked: number,
    segment: Segment,
    priorInFlight: number,
    now: Milliseconds,
  ): void {
    const { sender } = this;
    let lostBytes = 0;
    if (sender.sackPermitted) {
      this.reorderDelay = 0;
      if (delivered > 0 || sender.queue.sackedBytes > 0) {
        this.reorderDelay = this.rack.detectLosses(sender.queue, sender.rtt, this.phase !== "open", now);
        lostBytes = this.rack.newlyLostBytes;
      }
    } else {
      lostBytes = this.withoutSack(acked, segment);
    }
    if (lostBytes > 0) this.lostHint = 0;
    this.checkProbe(acked, now);
    if (this.wasSpurious(acked, segment, now)) lostBytes = 0;
    if (this.phase !== "open" && this.isOver()) this.exit(now);
    if (lostBytes > 0 && this.phase === "open") this.enterRecovery(now);
    if (sender.congested) this.inform(delivered, lostBytes, now);
    if (sender.congestion.modelBased) return;
    if (this.phase === "recovery") {
      this.glide(delivered, acked > 0 && lostBytes === 0);
    } else if (delivered > 0 && acked > 0 && !segment.has(TCP_ECE)) {
      // Neither a duplicate ACK (RFC 3042 §2) nor one that echoes a mark (RFC 3168 §6.1.2) widens the window.
      this.grow(delivered, priorInFlight, now);
    }
  }

  /** RACK's reordering timer (RFC 8985 §6.3). */
  onReorderTimer(now: Milliseconds): void {
    const { sender } = this;
    this.reorderDelay = this.rack.detectLosses(sender.queue, sender.rtt, this.phase !== "open", now);
    if (this.rack.newlyLostBytes === 0) return;
    this.lostHint = 0;
    this.untoldLoss += this.rack.newlyLostBytes;
    if (this.phase === "open") this.enterRecovery(now);
    if (this.phase === "recovery") this.glide(0, false);
  }

  /** The retransmission timer fired (RFC 6298 §5.4–5.6, RFC 8985 §6.3): everything not SACKed is lost. */
  onTimeout(now: Milliseconds): void {
    const { sender } = this;
    const { queue } = sender;
    this.counters.tcpTimeouts++;
    // The oldest cannot be SACKed and yet not acknowledged, unless the peer dropped it again.
    if (queue.count > 0 && (queue.flagsOf(0) & SACKED) !== 0) {
      queue.forgetSacks();
      this.sacks.forget();
    }
    sender.congestion.onTimeout(sender.outstanding, now, this.phase === "open");
    if (this.phase === "open") this.spurious.begin(true);
    else this.spurious.onTimeoutAgain(this.phase === "loss");
    for (let i = 0; i < queue.count; i++) queue.markLost(i);
    this.lostHint = 0;
    this.duplicateAcks = 0;
    this.reorderDelay = 0;
    this.probeOutstanding = false;
    this.phase = "loss";
    this.recoveryPoint = sender.nxt;
  }

  /**
   * RFC 1191 §6.4: what was too big for the path is sent again at once, in smaller pieces. That says nothing
   * about congestion, so the phase stays.
   */
  onPathMtuReduced(): void {
    const { queue, mss } = this.sender;
    for (let i = 0; i < queue.count; i++) {
      if (queue.sizeOf(i) <= mss || queue.lengthOf(i) <= mss) continue;
      const last = this.sender.lastSegmentOf(i);
      const fits = seqDistance(queue.endOf(i), last) <= mss;
      if (fits) queue.split(i, last);
      queue.markLost(i);
      if (fits) i++;
    }
    this.lostHint = 0;
  }

  // ---- for the transmitter ----

  /** Index of the next entry to send again; call only while something is LOST. */
  nextLost(): number {
    const { queue } = this.sender;
    while ((queue.flagsOf(this.lostHint) & LOST) === 0) this.lostHint++;
    return this.lostHint;
  }

  /** The oldest entry has been acknowledged and is gone. */
  onShift(): void {
    if (this.lostHint > 0) this.lostHint--;
    if (this.sender.queue.count === 0) this.sacks.forget();
  }

  onSent(bytes: number): void {
    if (this.phase === "recovery") this.prr.onSent(bytes);
  }

  // ---- tail loss probe ----

  /** RFC 8985 §7.2: worth scheduling one. */
  get mayProbe(): boolean {
    const { sender } = this;
    return (
      sender.sackPermitted &&
      this.phase === "open" &&
      sender.queue.sackedBytes === 0 &&
      !this.probeOutstanding
    );
  }

  /** §7.3: a probe has been sent. */
  onProbe(retransmission: boolean): void {
    this.counters.tcpTailLossProbes++;
    this.probeOutstanding = true;
    this.probeWasRetransmission = retransmission;
    this.probeEnd = this.sender.nxt;
  }

  /**
   * §7.4: a probe that was a retransmission has mended a loss once more than it is acknowledged and no DSACK
   * said otherwise; the window is reduced for that loss as for any other.
   */
  private checkProbe(acked: number, now: Milliseconds): void {
    if (!this.probeOutstanding || seqLt(this.sender.una, this.probeEnd)) return;
    if (this.probeWasRetransmission && this.sender.una === this.probeEnd && acked > 0) return;
    this.probeOutstanding = false;
    if (!this.probeWasRetransmission || acked === 0 || this.phase !== "open") return;
    const { congestion } = this.sender;
    congestion.onLoss(this.sender.outstanding, now);
    congestion.onRecovered(now);
  }

  // ---- inside ----

  /** RFC 5681 §2 defines a duplicate ACK; RFC 6582 what the third one and partial ACKs mean. */
  private withoutSack(acked: number, segment: Segment): number {
    const { sender } = this;
    const { queue } = sender;
    let lost = false;
    if (acked > 0) {
      this.duplicateAcks = Math.max(0, this.duplicateAcks - Math.ceil(acked / sender.mss));
      lost = this.phase === "recovery" && seqLt(sender.una, this.recoveryPoint);
      if (this.phase === "open") this.duplicateAcks = 0;
    } else if (segment.length === 0 && queue.count > 0 && !sender.windowChanged) {
      this.duplicateAcks++;
      lost = this.phase === "open" && this.duplicateAcks === DUPLICATE_ACK_THRESHOLD;
    }
    if (!lost || queue.count === 0 || (queue.flagsOf(0) & (LOST | RETRANSMITTED)) !== 0) return 0;
    const size = queue.sizeOf(0);
    if (seqDistance(sender.textEndOf(0), queue.startOf(0)) > size)
      queue.split(0, seqAdd(queue.startOf(0), size));
    queue.markLost(0);
    return queue.lengthOf(0);
  }

  private enterRecovery(now: Milliseconds): void {
    const { sender } = this;
    this.counters.tcpFastRecoveries++;
    this.phase = "recovery";
    this.recoveryPoint = sender.nxt;
    sender.congestion.onLoss(sender.outstanding, now);
    this.prr.start(sender.outstanding, sender.congestion.ssthresh);
    this.spurious.begin(false);
  }

  private wasSpurious(acked: number, segment: Segment, now: Milliseconds): boolean {
    const { sender, spurious, phase } = this;
    const { hasTimestamps, tsEcho } = segment.options;
    const covered = seqLeq(this.recoveryPoint, sender.una);
    if (!spurious.judge(acked, covered, hasTimestamps)) return false;
    if (spurious.echoIsOlder && sender.queue.latestRtt < 0) {
      const rtt = spurious.echoRtt(tsEcho, now);
      sender.rtt.sample(rtt, rtt, now);
    }
    this.undo();
    return phase !== "open";
  }

  /** RFC 4015 §3: an episode that was for nothing leaves no trace. It may be over already. */
  private undo(): void {
    const { sender } = this;
    if (this.spurious.end()) this.counters.tcpSpuriousTimeouts++;
    else this.counters.tcpSpuriousRecoveries++;
    sender.congestion.onSpurious();
    if (this.phase === "open") return;
    sender.queue.forgetLosses();
    this.phase = "open";
    this.duplicateAcks = 0;
    this.rack.onRecovered();
  }

  /** RFC 6582 §3.2 step 3: without SACK one more than the recovery point, or stray duplicates start anew. */
  private isOver(): boolean {
    const { una, queue, sackPermitted } = this.sender;
    if (seqLt(una, this.recoveryPoint)) return false;
    return sackPermitted || una !== this.recoveryPoint || queue.count === 0;
  }

  private exit(now: Milliseconds): void {
    const { congestion } = this.sender;
    if (this.phase === "recovery" || congestion.modelBased) congestion.onRecovered(now);
    this.phase = "open";
    this.duplicateAcks = 0;
    this.rack.onRecovered();
  }

  private glide(delivered: number, safe: boolean): void {
    const { sender } = this;
    if (!sender.congested || sender.congestion.modelBased) return;
    sender.congestion.cwnd = this.prr.window(delivered, sender.inFlight, sender.mss, safe);
  }

  /** Only a window that was used may grow (RFC 9438 §5.8, RFC 7661). */
  private grow(delivered: number, priorInFlight: number, now: Milliseconds): void {
    const { sender } = this;
    const { congestion } = sender;
    const slowStart = congestion.cwnd < congestion.ssthresh;
    if (sender.cwndLimited || (slowStart && 2 * priorInFlight >= congestion.cwnd)) {
      congestion.onAck(delivered, now, sender.rtt.srtt);
    }
  }

  private inform(delivered: number, lost: number, now: Milliseconds): void {
    const { congestion, inFlight, queue, rate, rtt } = this.sender;
    if (delivered === 0 && lost === 0) return;
    rate.measured(queue.latestRtt, rtt);
    rate.finish(delivered, lost + this.untoldLoss, inFlight, now);
    this.untoldLoss = 0;
    congestion.onSample(rate.sample);
  }
}
