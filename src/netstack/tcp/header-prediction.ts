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
import { TCP_ACK, TCP_HEADER_BYTES, tcpSequence } from "../../wire/index.js";
import type { Link } from "../link.js";
import type { Packet } from "../packet.js";
import type { TcpConnection } from "./connection.js";
import { takeTexts } from "./input.js";
import type { Segment } from "./segment.js";
import { type Seq, seqAdd, seqLt } from "./seq.js";

/** IPv6's ten, then the ports, the acknowledgment, and lengths, flags and window. */
const MOST_WORDS = 13;

export class HeaderPrediction {
  private readonly arena: Arena;
  /** Null when no packet is expected. */
  private connection: TcpConnection | null = null;
  /** Of the whole packet, and of its IP header. */
  private packetBytes = 0;
  private ipBytes = 0;
  /** What the next packet repeats, as it lies in memory. */
  private readonly words: Int32Array = new Int32Array(MOST_WORDS);

  constructor(arena: Arena) {
    this.arena = arena;
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
    const { view } = this.arena;
    const { words } = this;
    const ipWords = ipBytes >> 2;
    for (let i = 0; i < ipWords; i++) words[i] = view.getInt32(start + 4 * i);
    const tcp = start + ipBytes;
    words[ipWords] = view.getInt32(tcp);
    words[ipWords + 1] = view.getInt32(tcp + 8);
    words[ipWords + 2] = view.getInt32(tcp + 12);
    this.connection = c;
    this.ipBytes = ipBytes;
    this.packetBytes = ipBytes + TCP_HEADER_BYTES + segment.length;
  }

  /**
   * Takes those of `count` packets of `length` bytes, each `stride` bytes after the one before, that are the ones expected:
   * the first so many, which it returns. With the next one it is the usual way.
   */
  take(link: Link, offset: number, length: number, stride: number, count: number, now: Milliseconds): number {
    const c = this.connection;
    if (c === null || length !== this.packetBytes || c.state !== "ESTABLISHED" || c.link !== link) return 0;
    const { rcv, snd } = c;
    if (snd.outstanding !== 0) return 0;
    const headerBytes = this.ipBytes + TCP_HEADER_BYTES;
    const textBytes = length - headerBytes;
    let alike = 0;
    while (alike < count && this.isExpected(offset + alike * stride, seqAdd(rcv.nxt, alike * textBytes)))
      alike++;
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

  private isExpected(offset: number, seq: Seq): boolean {
    const { view } = this.arena;
    const { words } = this;
    const ipWords = this.ipBytes >> 2;
    const tcp = offset + this.ipBytes;
    if (tcpSequence(view, tcp) !== seq) return false;
    if (view.getInt32(tcp) !== words[ipWords] || view.getInt32(tcp + 8) !== words[ipWords + 1]) return false;
    if (view.getInt32(tcp + 12) !== words[ipWords + 2]) return false;
    for (let i = 0; i < ipWords; i++) if (view.getInt32(offset + 4 * i) !== words[i]) return false;
    return true;
  }
}
