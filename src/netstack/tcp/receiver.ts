/**
 * The receiving half: RFC 9293 §3.3.1's receive sequence space, the window that is offered, and where the
 * bytes go.
 *
 * ```
 *   RCV.NXT = ring.tail                            right edge = ring.head + ring.limit
 *      │ next in order │ islands placed ahead │ free │
 *  ────┴───────────────────────────────────────────────┴──▶
 * ```
 *
 * Bytes go from the packet straight to their place in the ring; islands are remembered by the assembler. The
 * offered right edge never moves back (RFC 9293 §3.8.6), and moves on only by what is worth a segment
 * (§3.8.6.2.2, silly window avoidance).
 */
import type { Milliseconds, Ring } from "../../base/index.js";
import type { Counters } from "../counters.js";
import { Assembler } from "./assembler.js";
import { DELAYED_ACK_MS, QUICK_ACKS } from "./constants.js";
import { type Seq, seqAdd, seqDistance, seqLeq, seqLt, seqMax } from "./seq.js";

/** Of every connection that misses nothing and has no duplicate to report: read, never written to. */
const NOTHING_AHEAD = new Assembler();

export class Receiver {
  irs: Seq = 0;
  nxt: Seq = 0;
  /** Right edge of the window that was offered: SEQ after the last byte that the peer may send. */
  edge: Seq = 0;
  /** Shift of the windows that we send. */
  windowShift = 0;
  ring: Ring | null = null;
  /** What arrived ahead of `nxt`, and what to report of it. */
  assembler: Assembler = NOTHING_AHEAD;
  /** The peer's FIN has been seen, perhaps ahead of missing bytes. */
  finSeen = false;
  finSeq: Seq = 0;

  // RFC 7323
  timestamps = false;
  tsRecent = 0;
  /** In whole milliseconds, as `ackAt` is. */
  tsRecentAt: Milliseconds = 0;
  lastAckSent: Seq = 0;

  // When to acknowledge (RFC 5681 §4.2).
  /** An ACK must leave at the next dispatch. */
  ackNow = false;
  /** Deadline of an ACK that may still wait for company; negative when none does. */
  ackAt: Milliseconds = -1;
  /** Out-of-order and repeated segments since the last ACK: the peer counts these, or wants their SACKs. */
  duplicatesOwed = 0;
  /** Largest segment that the peer may send in one piece. */
  offeredMss = 1460;
  /** Largest one seen: the unit of "every second segment". */
  private mss = 536;
  private initialWindow = 0;
  private unacknowledged = 0;
  private quickAcks = QUICK_ACKS;
  private readonly counters: Counters;
  private readonly defaultWindow: number;

  constructor(counters: Counters, defaultWindow: number) {
    this.counters = counters;
    this.defaultWindow = defaultWindow;
  }

  /** The peer's SYN. */
  start(irs: Seq): void {
    this.irs = irs;
    this.nxt = seqAdd(irs, 1);
    this.edge = seqAdd(this.nxt, this.initialWindow);
    this.lastAckSent = this.nxt;
  }

  /** RCV.WND as the peer knows it. */
  get wnd(): number {
    return Math.max(0, seqDistance(this.edge, this.nxt));
  }

  /** Bytes that the ring would take. */
  private get space(): number {
    return this.ring === null ? this.defaultWindow : this.ring.space;
  }

  /** The window field of the next segment; moves the offered edge when that is worth telling. */
  offerWindow(): number {
    const edge = seqAdd(this.nxt, this.space);
    if (seqDistance(edge, this.edge) >= this.worthwhile()) this.edge = edge;
    return Math.min(this.wnd >> this.windowShift, 0xffff);
  }

  /** The window field of a SYN: not scaled (RFC 7323 §2.2). */
  offerInitialWindow(): number {
    this.initialWindow = Math.min(this.space, 0xffff);
    // An ACK may have offered more since the SYN-ACK was sent first: this repeats it, and takes nothing back.
    this.edge = seqMax(this.edge, seqAdd(this.nxt, this.initialWindow));
    return this.initialWindow;
  }

  /**
   * Whether space that came free deserves an ACK of its own. A peer that still has half of the window needs
   * no telling until a quarter has come free; one that runs dry is told of each segment's worth.
   */
  get windowUpdateDue(): boolean {
    // Before the first byte the window of the handshake is more than the peer's initial window can use.
    if (this.ring === null || this.finSeen || this.nxt === seqAdd(this.irs, 1)) return false;
    const gain = seqDistance(seqAdd(this.nxt, this.space), this.edge);
    if (gain <= 0) return false;
    return gain >= (this.wnd * 2 < this.ring.limit ? this.worthwhile() : this.ring.limit >> 2);
  }

  /** RFC 9293 §3.8.6.2.2: min(half the buffer, one segment). */
  private worthwhile(): number {
    return this.ring === null ? 1 : Math.min(this.ring.limit >> 1, this.mss);
  }

  /** RFC 9293 §3.10.7.4, first step: the four cases of the acceptability test. */
  accepts(seq: Seq, length: number): boolean {
    const window = this.wnd;
    const from = seqDistance(seq, this.nxt);
    if (length === 0) return window === 0 ? from === 0 : from >= 0 && from < window;
    if (window === 0) return false;
    const last = from + length - 1;
    return (from >= 0 && from < window) || (last >= 0 && last < window);
  }

  /**
   * Seventh step: arena bytes [offset, offset + length) from sequence number `seq` on. Returns how many bytes
   * RCV.NXT moved.
   */
  takeText(seq: Seq, offset: number, length: number, now: Milliseconds): number {
    const skip = Math.max(0, seqDistance(this.nxt, seq));
    const over = Math.max(0, seqDistance(seqAdd(seq, length), this.edge));
    if (skip > 0) this.noteDuplicate(seq, seqAdd(seq, Math.min(skip, length)));
    const usable = length - skip - over;
    if (usable <= 0 || this.ring === null) {
      if (this.ring === null) this.counters.tcpNoRoom++;
      this.ackNow = true;
      return 0;
    }
    this.noteSize(length);
    const start = seqAdd(seq, skip);
    return start === this.nxt
      ? this.takeInOrder(this.ring, offset + skip, usable, now)
      : this.takeAhead(this.ring, start, offset + skip, usable);
  }

  private takeInOrder(ring: Ring, offset: number, length: number, now: Milliseconds): number {
    if (!ring.place(0, offset, length)) {
      this.counters.tcpNoRoom++;
      this.ackNow = true;
      return 0;
    }
    let moved = length;
    if (this.assembler.count > 0) {
      moved += this.assembler.take(seqAdd(this.nxt, length));
      // RFC 5681 §4.2: a segment that fills a gap is acknowledged at once.
      this.ackNow = true;
    }
    this.nxt = seqAdd(this.nxt, moved);
    this.oweAck(length, 1, now);
    ring.advance(moved);
    return moved;
  }

  /**
   * As many of `count` texts as the window and the ring have room for, when nothing has arrived ahead of them: each begins
   * where the one before ends, the first at RCV.NXT, and lies `stride` bytes after it.
   * @returns how many were taken
   */
  takeTexts(offset: number, length: number, stride: number, count: number, now: Milliseconds): number {
    const { ring } = this;
    if (ring === null || this.assembler.count > 0) return 0;
    const placed = ring.placeSeveral(offset, length, stride, Math.min(count, Math.floor(this.wnd / length)));
    if (placed === 0) return 0;
    this.noteSize(length);
    this.nxt = seqAdd(this.nxt, placed * length);
    this.oweAck(length, placed, now);
    ring.advance(placed * length);
    return placed;
  }

  private noteSize(length: number): void {
    if (length > this.mss) this.mss = Math.min(length, this.offeredMss);
  }

  private takeAhead(ring: Ring, seq: Seq, offset: number, length: number): number {
    this.counters.tcpOutOfOrder++;
    // RFC 5681 §4.2: a duplicate ACK at once.
    this.ackNow = true;
    this.duplicatesOwed++;
    const end = seqAdd(seq, length);
    if (!this.assembler.hasRoomFor(seq, end)) {
      this.counters.tcpRangeLimit++;
    } else if (ring.place(seqDistance(seq, this.nxt), offset, length)) {
      this.ownAssembler().add(seq, end);
    } else {
      this.counters.tcpNoRoom++;
    }
    return 0;
  }

  /** RFC 2883: the peer is told of bytes that came twice. */
  noteDuplicate(left: Seq, right: Seq): void {
    this.counters.tcpDuplicate++;
    this.ownAssembler().noteDuplicate(left, right);
    this.ackNow = true;
    this.duplicatesOwed++;
  }

  private ownAssembler(): Assembler {
    if (this.assembler === NOTHING_AHEAD) this.assembler = new Assembler();
    return this.assembler;
  }

  /** Every second full segment at once, a lone small one within 40 ms. */
  private oweAck(length: number, segments: number, now: Milliseconds): void {
    this.unacknowledged += length * segments;
    if (this.quickAcks > 0) {
      this.quickAcks = Math.max(0, this.quickAcks - segments);
      this.ackNow = true;
    } else if (this.unacknowledged >= 2 * this.mss) {
      this.ackNow = true;
    } else if (this.ackAt < 0) {
      this.ackAt = Math.floor(now) + DELAYED_ACK_MS;
    }
  }

  /** A segment with an ACK has left: nothing is owed any more. */
  onAckSent(): void {
    if (this.assembler !== NOTHING_AHEAD && !this.assembler.somethingToReport) this.assembler = NOTHING_AHEAD;
    this.ackNow = false;
    this.ackAt = -1;
    this.duplicatesOwed = 0;
    this.unacknowledged = 0;
    this.lastAckSent = this.nxt;
  }

  /** Eighth step: the FIN after `seq`'s bytes. True once all before it has arrived; RCV.NXT then covers it. */
  takeFin(finSeq: Seq): boolean {
    this.finSeen = true;
    this.finSeq = finSeq;
    return this.finishIfComplete();
  }

  finishIfComplete(): boolean {
    if (!this.finSeen || this.nxt !== this.finSeq) return false;
    this.nxt = seqAdd(this.nxt, 1);
    this.edge = seqMax(this.edge, this.nxt);
    this.ackNow = true;
    return true;
  }

  /** RFC 7323 §4.3: only a segment that spans Last.ACK.sent updates TS.Recent. */
  updateTimestamp(value: number, seq: Seq, now: Milliseconds): void {
    if (seqLt(value, this.tsRecent) || !seqLeq(seq, this.lastAckSent)) return;
    this.tsRecent = value;
    this.tsRecentAt = Math.floor(now);
  }
}
