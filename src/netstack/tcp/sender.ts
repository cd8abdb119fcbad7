/**
 * The sending half: RFC 9293 §3.3.1's send sequence space, the peer's window, and what each ACK changes.
 *
 * ```
 *   SND.UNA            SND.NXT          SND.UNA + SND.WND
 *      │ sent, not acked  │ may be sent now   │ must wait
 *  ────┴──────────────────┴───────────────────┴──────▶
 *   ring.head                       ring.tail anywhere from SND.NXT on
 * ```
 *
 * The send ring holds the bytes from SND.UNA on: position and sequence number differ by `ringOffset`. When
 * to send and how segments look is in `transmit.ts` and `output.ts`.
 */
import type { Milliseconds, Ring } from "../../base/index.js";
import { type CongestionControl, createCongestionControl, isSoonRelearnt } from "./congestion/index.js";
import type { DeliveryRate } from "./delivery-rate.js";
import { Flight } from "./flight.js";
import type { Pacer } from "./pacer.js";
import type { LossRecovery } from "./recovery.js";
import { RttEstimator } from "./rtt.js";
import type { Segment } from "./segment.js";
import { LOST, RETRANSMITTED, SACKED, SENT_AT, type SentQueue } from "./sent-queue.js";
import { type Seq, seqAdd, seqDistance, seqLeq, seqLt } from "./seq.js";
import type { TcpLayer } from "./tcp-layer.js";

export class Sender {
  readonly iss: Seq;
  una: Seq;
  nxt: Seq;
  /** SND.WND, scaled. */
  wnd = 0;
  wl1: Seq = 0;
  wl2: Seq = 0;
  /** Shift of the windows that the peer sends. */
  windowShift = 0;
  /** Largest window seen: half of it is worth a segment of its own (RFC 9293 §3.8.6.2.1). */
  maxWnd = 0;
  /** The last segment changed the window: it was no duplicate ACK. */
  windowChanged = false;
  /** Payload bytes of a full segment. */
  mss = 536;
  sackPermitted = false;
  /** The link is one where congestion happens. */
  readonly congested: boolean;
  /** Sending stopped for want of congestion window, or of a larger share, not of data or of the peer's window. */
  cwndLimited = false;
  ring: Ring | null = null;
  finSent = false;
  finSeq: Seq = 0;
  readonly rtt: RttEstimator = new RttEstimator();
  lastSentAt: Milliseconds = -1.1;
  /** Since when the peer owes an answer, in whole milliseconds: the last progress, or the first byte sent after a pause. */
  stalledSince: Milliseconds = 0;
  /** Time-outs in a row without an acknowledgment of new data. */
  retransmits = 0;
  /** Null while it rests. */
  private flight: Flight | null = null;
  /** What the last flight knew of the path, if that is worth keeping. */
  private model: CongestionControl | null = null;
  private readonly layer: TcpLayer;
  private ringOffset = 0;

  constructor(iss: Seq, congested: boolean, layer: TcpLayer) {
    this.iss = iss;
    this.una = iss;
    this.nxt = iss;
    this.congested = congested;
    this.layer = layer;
  }

  // ---- rest and flight ----

  /** Nothing is outstanding, and what sending takes is not held. */
  get resting(): boolean {
    return this.flight === null;
  }

  get queue(): SentQueue {
    return (this.flight ?? this.takeOff()).queue;
  }

  get congestion(): CongestionControl {
    return (this.flight ?? this.takeOff()).congestion;
  }

  get recovery(): LossRecovery {
    return (this.flight ?? this.takeOff()).recovery;
  }

  get pacer(): Pacer {
    return (this.flight ?? this.takeOff()).pacer;
  }

  get rate(): DeliveryRate {
    return (this.flight ?? this.takeOff()).rate;
  }

  private takeOff(): Flight {
    const congestion =
      this.model ?? createCongestionControl(this.congested, this.layer.context.options.congestion);
    congestion.setMss(this.mss);
    const flight = new Flight(this, congestion, this.layer);
    // It rested because nobody gave it anything: what little it sends now shows no slower path.
    if (this.model !== null) flight.rate.onAppLimited(0);
    this.model = null;
    this.flight = flight;
    return flight;
  }

  /** Call while nothing is outstanding. */
  rest(): void {
    const { flight } = this;
    if (flight === null) return;
    if (this.congested && !isSoonRelearnt(flight.congestion, this.mss)) this.model = flight.congestion;
    this.flight = null;
  }

  /** The connection is over. */
  release(): void {
    this.flight?.queue.clear();
    this.flight = null;
    this.model = null;
  }

  /** Payload bytes of a full segment, which the path or the peer has changed. */
  setMss(mss: number): void {
    this.mss = mss;
    this.flight?.congestion.setMss(mss);
  }

  /** The way to the peer is another one. */
  onPathChanged(): void {
    this.model = null;
    this.flight?.congestion.onPathChanged();
  }

  /** Before any byte was sent. */
  attach(ring: Ring): void {
    this.ring = ring;
    this.ringOffset = (this.iss + 1 - ring.head) | 0;
  }

  /** Ring position of a sequence number. */
  positionOf(seq: Seq): number {
    return (seq - this.ringOffset) | 0;
  }

  /** Sequence number after the last byte that the ring holds. */
  get dataEnd(): Seq {
    return this.ring === null ? seqAdd(this.iss, 1) : seqAdd(this.ring.tail, this.ringOffset);
  }

  /** Bytes in the ring that were never sent. */
  get unsent(): number {
    return this.finSent ? 0 : seqDistance(this.dataEnd, this.nxt);
  }

  /** RFC 5681 "FlightSize": sent and not cumulatively acknowledged. */
  get outstanding(): number {
    return seqDistance(this.nxt, this.una);
  }

  /** RFC 6675 "pipe", in bytes. */
  get inFlight(): number {
    const { queue, recovery } = this.flight ?? this.takeOff();
    const pipe = this.outstanding - queue.sackedBytes - queue.lostBytes;
    return Math.max(0, pipe - recovery.duplicateAcks * this.mss);
  }

  /** Where the text of entry `index` ends, and so a SACK for it: there are receivers that leave a FIN behind text out. */
  textEndOf(index: number): Seq {
    const end = this.queue.endOf(index);
    const hasFin = this.finSent && end === seqAdd(this.finSeq, 1);
    return hasFin && this.queue.startOf(index) !== this.finSeq ? this.finSeq : end;
  }

  /** Where the last segment of entry `index` begins. */
  lastSegmentOf(index: number): Seq {
    // Counted from its last byte of text: that of a FIN alone, or of a full one, would be where it ends.
    return this.queue.boundaryTo(index, seqAdd(this.textEndOf(index), -1));
  }

  /** Our FIN was sent and is acknowledged. */
  get finAcked(): boolean {
    return this.finSent && seqLt(this.finSeq, this.una);
  }

  /**
   * RFC 9293 §3.10.7.4, fifth step, for an ACK in [SND.UNA, SND.NXT]. Returns the payload bytes that it newly
   * acknowledged.
   */
  onAck(segment: Segment, now: Milliseconds): number {
    const { flight } = this;
    if (flight === null) {
      this.windowChanged = this.updateWindow(segment);
      return 0;
    }
    const { queue, rate, recovery } = flight;
    const priorInFlight = this.inFlight;
    const acked = seqDistance(segment.ack, this.una);
    queue.now = now;
    queue.earliest = -1;
    recovery.spurious.onAck(segment.options);
    recovery.rack.onAck(this.una, recovery.spurious.echoIsOlder);
    rate.begin();
    this.windowChanged = this.updateWindow(segment);
    let delivered = 0;
    if (segment.options.sackCount > 0 && this.sackPermitted) delivered = recovery.takeSacks(segment);
    if (acked > 0) {
      delivered += this.shiftAcked(segment.ack);
      this.una = segment.ack;
      this.rtt.backoff = 0;
      this.retransmits = 0;
      this.stalledSince = Math.floor(now);
    }
    if (queue.earliest >= 0) this.rtt.sample(now - queue.earliest, now - queue.latest, now);
    if (acked > 0 || delivered > 0 || queue.count > 0) {
      recovery.afterAck(delivered, acked, segment, priorInFlight, now);
    }
    if (acked === 0) return 0;
    const bytes = this.finAcked ? acked - 1 : acked;
    if (bytes > 0) this.ring?.consume(bytes);
    return bytes;
  }

  /** [start, end) has just been sent for the first time, at `queue.now`. */
  enter(start: Seq, end: Seq): void {
    const { queue } = this;
    queue.push(start, end, this.mss);
    if (this.congested) this.rate.stamp(queue, queue.count - 1);
  }

  /** Entry `index` up to `end` was delivered just now, for the first time: a round trip if it was sent once. */
  noteDelivered(index: number, end: Seq): void {
    const { queue } = this;
    this.recovery.rack.onDelivered(queue, index, end, this.rtt);
    if (this.congested) this.rate.onDelivered(queue, index);
    const flags = queue.flagsOf(index);
    if ((flags & RETRANSMITTED) !== 0) return;
    if ((flags & LOST) !== 0) this.recovery.spurious.originalDelivered = true;
    const sentAt = queue.stamps[queue.stampsAt(index) + SENT_AT] as number;
    if (queue.earliest < 0) {
      queue.earliest = sentAt;
      queue.latest = sentAt;
    } else if (sentAt < queue.earliest) {
      queue.earliest = sentAt;
    } else if (sentAt > queue.latest) {
      queue.latest = sentAt;
    }
  }

  /**
   * RFC 9293 §3.10.7.4: SND.WL1 and SND.WL2 keep old segments from changing the window.
   * DEVIATION(RFC 9293 §3.10.7.4): one that moves SND.UNA always tells the window, though it may be a
   * retransmission with an old sequence number. To keep SND.WND then would move its right edge, SND.UNA +
   * SND.WND, beyond what the peer has ever offered.
   */
  private updateWindow(segment: Segment): boolean {
    const isNewer =
      seqLt(this.wl1, segment.seq) || (this.wl1 === segment.seq && seqLeq(this.wl2, segment.ack));
    if (!isNewer && !seqLt(this.una, segment.ack)) return false;
    const { wnd, wl1 } = this;
    this.setWindow(segment, this.windowShift);
    if (!isNewer) this.wl1 = wl1;
    return this.wnd !== wnd;
  }

  /** @param shift 0 for a SYN, whose window is never scaled (RFC 7323 §2.2) */
  setWindow(segment: Segment, shift: number): void {
    this.wnd = segment.window << shift;
    this.wl1 = segment.seq;
    this.wl2 = segment.ack;
    if (this.wnd > this.maxWnd) this.maxWnd = this.wnd;
  }

  /** Drops what lies below `ack`; returns the bytes of it that no SACK had reported before. */
  private shiftAcked(ack: Seq): number {
    const { queue, recovery } = this;
    const { earliest, latest } = queue;
    let delivered = 0;
    let ambiguous = false;
    while (queue.count > 0) {
      const start = queue.startOf(0);
      const end = queue.endOf(0);
      const whole = seqLeq(end, ack);
      // A segment is delivered when all of it is.
      const last = whole ? end : queue.boundaryTo(0, ack);
      if (seqLt(start, last) && (queue.flagsOf(0) & RETRANSMITTED) !== 0) ambiguous = true;
      if ((queue.flagsOf(0) & SACKED) === 0) {
        delivered += seqDistance(whole ? end : ack, start);
        if (seqLt(start, last)) this.noteDelivered(0, last);
      }
      if (!whole) {
        if (start !== ack) queue.trim(ack);
        break;
      }
      queue.shift();
      recovery.onShift();
    }
    // RFC 6298 §3: what lies above a hole has waited for the hole's retransmission. Only its SACK tells its time.
    if (ambiguous) {
      queue.earliest = earliest;
      queue.latest = latest;
    }
    return delivered;
  }
}
