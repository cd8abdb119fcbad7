/**
 * Header prediction, with the packet before it as the prediction: a batch of datagrams is mostly segments that go on
 * where the last one ended, with the same headers byte for byte but for the sequence number, which is the next. Whoever
 * is sure of it need neither parse nor look up nor walk through RFC 9293 §3.10.7.4 again, only take the text.
 *
 * Remembered is only a segment after which nothing but text can follow from the same headers: an ACK that has no
 * options and no mark, on an ESTABLISHED connection with nothing outstanding. Everything else, and every doubt, goes
 * the usual way.
 */
import type { Arena, Milliseconds } from "../../base/index.js";
import { IPV6_HEADER_BYTES, TCP_ACK, TCP_HEADER_BYTES, tcpSequence } from "../../wire/index.js";
import type { Link } from "../link.js";
import type { Packet } from "../packet.js";
import type { TcpConnection } from "./connection.js";
import { takeTexts } from "./input.js";
import type { Segment } from "./segment.js";
import { type Seq, seqAdd, seqLt } from "./seq.js";

/** Where TCP's header has the sequence number, and two words that follow it there up to the checksum. */
const SEQUENCE_AT = 4;
const ACKNOWLEDGMENT_AT = 8;
const FLAGS_AND_WINDOW_AT = 12;

export class HeaderPrediction {
  private readonly arena: Arena;
  /** Null when no packet is expected. */
  private connection: TcpConnection | null = null;
  /** Of the whole packet, and of its IP header. */
  private packetBytes = 0;
  private ipBytes = 0;
  /** Where the headers are kept that the next packet repeats. */
  private readonly headers: number;

  constructor(arena: Arena) {
    this.arena = arena;
    this.headers = arena.reserve(IPV6_HEADER_BYTES + TCP_HEADER_BYTES);
  }

  /** `segment` of `packet` has been processed for `c`. */
  remember(c: TcpConnection, packet: Packet, segment: Segment): void {
    const { ipBytes } = c.template;
    const start = segment.offset - TCP_HEADER_BYTES - ipBytes;
    this.connection = null;
    if (segment.flags !== TCP_ACK || segment.length === 0 || segment.marked || !packet.checksumTrusted)
      return;
    // Options of either header, or a datagram that came in fragments.
    if (packet.start !== start) return;
    const { rcv, snd } = c;
    // What fills the gap before a FIN that came early has the FIN follow.
    if (rcv.finSeen) return;
    if (segment.ack !== snd.una || snd.outstanding !== 0) return;
    // What follows tells the window anew (SND.WL1), and it is the one that we have.
    if (snd.wnd !== segment.window << snd.windowShift || !seqLt(snd.wl1, rcv.nxt)) return;
    this.arena.u8.copyWithin(this.headers, start, start + ipBytes + TCP_HEADER_BYTES);
    this.connection = c;
    this.ipBytes = ipBytes;
    this.packetBytes = ipBytes + TCP_HEADER_BYTES + segment.length;
  }

  /**
   * Takes those of `count` packets of `length` bytes, each `stride` bytes after the one before, that are the ones expected:
   * the first so many, which it returns. With the next one it is the usual way.
   * @param common bytes that all of them begin with
   */
  take(
    link: Link,
    offset: number,
    length: number,
    stride: number,
    count: number,
    common: number,
    now: Milliseconds,
  ): number {
    const c = this.connection;
    if (c === null || length !== this.packetBytes || c.state !== "ESTABLISHED" || c.link !== link) return 0;
    const { rcv, snd } = c;
    if (snd.outstanding !== 0) return 0;
    const headerBytes = this.ipBytes + TCP_HEADER_BYTES;
    const textBytes = length - headerBytes;
    const alike = this.countExpected(offset, stride, rcv.nxt, textBytes, count, common);
    if (alike === 0) return 0;
    const taken = takeTexts(c, offset + headerBytes, textBytes, stride, alike, now);
    if (taken === 0) return 0;
    c.context.counters.tcpPredicted += taken;
    c.lastHeardAt = Math.floor(now);
    // Of the last one.
    snd.wl1 = seqAdd(rcv.nxt, -textBytes);
    c.wantTurn();
    return taken;
  }

  private countExpected(
    offset: number,
    stride: number,
    seq: Seq,
    textBytes: number,
    count: number,
    common: number,
  ): number {
    const { arena, headers, ipBytes } = this;
    const { view, strided } = arena;
    const sequenceAt = ipBytes + SEQUENCE_AT;
    const known = Math.min(common, sequenceAt);
    if (strided.countEqual(headers, offset, stride, known, 1) === 0) return 0;
    const acknowledgment = view.getInt32(headers + ipBytes + ACKNOWLEDGMENT_AT);
    const flagsAndWindow = view.getInt32(headers + ipBytes + FLAGS_AND_WINDOW_AT);
    let alike = 0;
    let next = seq;
    for (let tcp = offset + ipBytes; alike < count; alike++, tcp += stride) {
      if (tcpSequence(view, tcp) !== next) break;
      if (view.getInt32(tcp + ACKNOWLEDGMENT_AT) !== acknowledgment) break;
      if (view.getInt32(tcp + FLAGS_AND_WINDOW_AT) !== flagsAndWindow) break;
      next = seqAdd(next, textBytes);
    }
    if (known === sequenceAt || alike === 0) return alike;
    return strided.countEqual(headers + known, offset + known, stride, sequenceAt - known, alike);
  }
}
