/** The inbound segment that is being processed: one instance per stack, filled again for each. */
import {
  ECN_CE,
  TCP_FIN,
  TCP_HEADER_BYTES,
  TCP_SYN,
  TcpOptions,
  tcpAcknowledgment,
  tcpDestinationPort,
  tcpFlags,
  tcpHeaderBytes,
  tcpSequence,
  tcpSourcePort,
  tcpWindow,
} from "../../wire/index.js";
import type { Packet } from "../packet.js";
import type { Seq } from "./seq.js";

export class Segment {
  seq: Seq = 0;
  ack: Seq = 0;
  flags = 0;
  /** As it stands in the header: not scaled. */
  window = 0;
  /** Payload: arena bytes [offset, offset + length). */
  offset = 0;
  length = 0;
  /** A router marked it: congestion experienced (RFC 3168 §5). */
  marked = false;
  readonly options: TcpOptions = new TcpOptions();

  /** Reads the header and sets the key's ports; false when the lengths in it cannot be. */
  parse(packet: Packet, view: DataView): boolean {
    const at = packet.offset;
    if (packet.length < TCP_HEADER_BYTES) return false;
    const headerBytes = tcpHeaderBytes(view, at);
    if (headerBytes < TCP_HEADER_BYTES || headerBytes > packet.length) return false;
    packet.key.setPorts(tcpDestinationPort(view, at), tcpSourcePort(view, at));
    this.seq = tcpSequence(view, at);
    this.ack = tcpAcknowledgment(view, at);
    this.flags = tcpFlags(view, at);
    this.window = tcpWindow(view, at);
    this.marked = packet.ecn === ECN_CE;
    this.offset = at + headerBytes;
    this.length = packet.length - headerBytes;
    this.options.parse(view, at, headerBytes);
    return true;
  }

  /** SEG.LEN: payload, SYN and FIN. */
  get sequenceLength(): number {
    return this.length + ((this.flags & TCP_SYN) !== 0 ? 1 : 0) + ((this.flags & TCP_FIN) !== 0 ? 1 : 0);
  }

  has(flag: number): boolean {
    return (this.flags & flag) !== 0;
  }
}
