/**
 * Stands beside one end of one connection, sees every segment that its stack is given and sends, and keeps the
 * stack to what it may say (RFC 9293, 7323, 2018):
 *
 * - it acknowledges, and reports by SACK, only what it was given;
 * - it sends no byte beyond the window that it was offered, none that is acknowledged, and leaves none out;
 * - its own acknowledgment and its window's right edge never move back;
 * - it echoes only timestamps that it was given, and its own never run backwards;
 * - no segment is larger than the other end takes.
 *
 * Everything is counted in numbers that do not wrap. `failure` holds the first breach.
 */

import { ACK, checksumsHold, FIN, RST, type SegmentView, SYN, unwrap, viewSegment } from "./segment-view.js";
import type { LinkConditions } from "./sim-link.js";

export class Witness {
  failure: string | null = null;
  /** Segments pass whole, however large, and their checksums are partial. */
  private readonly tunLike: boolean;
  /** Checksums are not looked at. */
  private readonly trusting: boolean;

  // What the stack was given.
  private irs = -1;
  /** Disjoint, sorted, not adjacent; the first starts at `irs`. */
  private readonly ranges: [number, number][] = [];
  private acked = -1;
  private windowEdge = 0;
  private readonly timestampsIn: Set<number> = new Set();
  private newestIn = -1;
  private peerMss = 0;
  private peerScale = -1;

  // What it said.
  private iss = -1;
  private sentEnd = 0;
  private finAt = -1;
  private ackSent = -1;
  private offeredEdge = 0;
  private scale = -1;
  private timestampSent = -1;

  constructor({ tunLike, authenticated }: LinkConditions) {
    this.tunLike = tunLike;
    this.trusting = tunLike || authenticated;
  }

  onReceived(packet: Uint8Array): void {
    if (!this.trusting && !checksumsHold(packet)) return;
    const segment = viewSegment(packet);
    if (segment === null || segment.flags & RST) return;
    const isSyn = (segment.flags & SYN) !== 0;
    if (isSyn && this.irs === -1) {
      this.irs = segment.seq;
      this.ranges.push([segment.seq, segment.seq]);
      this.peerMss = segment.mss === 0 ? 536 : segment.mss;
      this.peerScale = segment.windowScale;
    }
    if (this.irs === -1) return;
    const seq = unwrap(segment.seq, this.contiguousEnd);
    const end = seq + sequenceLength(segment);
    const counts = this.mustHeed(segment, seq, end);
    this.addRange(seq, end);
    if ((segment.flags & ACK) === 0 || this.iss === -1) return;
    const ack = unwrap(segment.ack, this.sentEnd);
    if (ack > this.sentEnd) return;
    if (counts) this.acked = Math.max(this.acked, ack);
    const shift = isSyn || this.peerScale < 0 || this.scale < 0 ? 0 : this.peerScale;
    this.windowEdge = Math.max(this.windowEdge, ack + segment.window * 2 ** shift);
  }

  /** What fails the tests of RFC 9293 §3.10.7.4 and RFC 7323 §5.3 is dropped together with its ACK field. */
  private mustHeed(segment: SegmentView, seq: number, end: number): boolean {
    if (segment.timestamps !== null) {
      const value = segment.timestamps[0];
      this.timestampsIn.add(value);
      if (this.newestIn !== -1 && unwrap(value, this.newestIn) < this.newestIn) return false;
      this.newestIn = value;
    }
    const next = this.contiguousEnd;
    return seq <= next ? end > next || seq === next : seq < this.offeredEdge;
  }

  onSent(packet: Uint8Array): void {
    const segment = viewSegment(packet);
    if (segment === null || segment.flags & RST || this.failure !== null) return;
    this.failure = this.judge(segment);
  }

  private judge(segment: SegmentView): string | null {
    const isSyn = (segment.flags & SYN) !== 0;
    if (isSyn && this.iss === -1) {
      this.iss = segment.seq;
      this.sentEnd = segment.seq;
      this.acked = segment.seq;
      this.windowEdge = segment.seq + 1;
      this.scale = segment.windowScale;
    }
    return this.judgeSending(segment, isSyn) ?? this.judgeAcknowledging(segment, isSyn);
  }

  private judgeSending(segment: SegmentView, isSyn: boolean): string | null {
    const { payload, timestamps } = segment;
    if (timestamps !== null) {
      const value = unwrap(timestamps[0], this.timestampSent === -1 ? timestamps[0] : this.timestampSent);
      if (value < this.timestampSent) return `TSval ${value} after ${this.timestampSent}`;
      this.timestampSent = value;
    }
    const seq = unwrap(segment.seq, this.sentEnd);
    const end = seq + sequenceLength(segment);
    if (end > seq && !isSyn) {
      if (seq > this.sentEnd) return `${seq - this.sentEnd} bytes were left out`;
      if (end <= this.acked) return `${end - seq} bytes sent that are acknowledged`;
      if (payload.length > 0 && seq + payload.length > this.windowEdge) {
        return `${seq + payload.length - this.windowEdge} bytes beyond the window`;
      }
      const room = this.peerMss - (timestamps === null ? 0 : 12);
      if (!this.tunLike && payload.length > room) return `${payload.length} bytes to one that takes ${room}`;
      if (this.finAt !== -1 && end > this.finAt + 1) return "bytes after FIN";
      if (segment.flags & FIN) this.finAt = end - 1;
    }
    this.sentEnd = Math.max(this.sentEnd, end);
    return null;
  }

  private judgeAcknowledging(segment: SegmentView, isSyn: boolean): string | null {
    if ((segment.flags & ACK) === 0) return null;
    if (this.irs === -1) return "an acknowledgment of nothing";
    if (segment.timestamps !== null && !this.timestampsIn.has(segment.timestamps[1])) {
      return `TSecr ${segment.timestamps[1]} was never received`;
    }
    const ack = unwrap(segment.ack, this.contiguousEnd);
    if (ack > this.contiguousEnd) return `acknowledged ${ack - this.contiguousEnd} bytes too many`;
    if (ack < this.ackSent) return `acknowledgment went back by ${this.ackSent - ack}`;
    this.ackSent = ack;
    const shift = isSyn || this.scale < 0 || this.peerScale < 0 ? 0 : this.scale;
    const edge = ack + segment.window * 2 ** shift;
    // RFC 7323 §2.4: what the shift cuts off may come and go.
    if (edge <= this.offeredEdge - 2 ** shift) return `window went back by ${this.offeredEdge - edge}`;
    this.offeredEdge = Math.max(this.offeredEdge, edge);
    for (const [left, right] of segment.sack) {
      const from = unwrap(left, ack);
      const to = unwrap(right, ack);
      if (!this.ranges.some(range => range[0] <= from && from < to && to <= range[1])) {
        return `SACK of ${from - ack}..${to - ack}, which was not received`;
      }
    }
    return null;
  }

  private get contiguousEnd(): number {
    return (this.ranges[0] as [number, number])[1];
  }

  private addRange(left: number, right: number): void {
    const { ranges } = this;
    if (right <= left || left < this.irs) return;
    let at = ranges.length;
    while (at > 0 && (ranges[at - 1] as [number, number])[1] >= left) at--;
    let end = at;
    let from = left;
    let to = right;
    for (let range = ranges[end]; range !== undefined && range[0] <= right; range = ranges[++end]) {
      from = Math.min(from, range[0]);
      to = Math.max(to, range[1]);
    }
    ranges.splice(at, end - at, [from, to]);
  }
}

/** RFC 9293 §3.4: SYN and FIN take a number each. */
function sequenceLength(segment: SegmentView): number {
  return segment.payload.length + (segment.flags & SYN ? 1 : 0) + (segment.flags & FIN ? 1 : 0);
}
