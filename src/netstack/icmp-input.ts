/**
 * ICMP messages that arrive (RFC 792, RFC 4443): echo requests, and errors about what we sent, which go to
 * the connection or flow that the quoted packet belongs to.
 */
import type { Milliseconds } from "../base/index.js";
import {
  extensionNextHeader,
  finishSum,
  ICMP_HEADER_BYTES,
  ICMP4_ECHO_REPLY,
  ICMP4_ECHO_REQUEST,
  ICMP4_FRAGMENTATION_NEEDED,
  ICMP4_HOST_PROHIBITED,
  ICMP4_NETWORK,
  ICMP4_NETWORK_PROHIBITED,
  ICMP4_PORT,
  ICMP4_PROHIBITED,
  ICMP4_PROTOCOL,
  ICMP4_UNREACHABLE,
  ICMP6_ECHO_REPLY,
  ICMP6_ECHO_REQUEST,
  ICMP6_NETWORK,
  ICMP6_PACKET_TOO_BIG,
  ICMP6_PORT,
  ICMP6_PROHIBITED,
  ICMP6_UNREACHABLE,
  IPV4_HEADER_BYTES,
  IPV6_FRAGMENT,
  IPV6_FRAGMENT_BYTES,
  IPV6_HEADER_BYTES,
  icmp4Mtu,
  icmpCode,
  icmpRest,
  icmpType,
  ipv4Destination,
  ipv4HeaderBytes,
  ipv4Protocol,
  ipv4Source,
  ipv6DestinationWord,
  ipv6NextHeader,
  ipv6SourceWord,
  PROTOCOL_ICMP4,
  PROTOCOL_ICMP6,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  sumBytes,
  sumPseudoHeader,
} from "../wire/index.js";
import type { StackContext } from "./context.js";
import { FlowKey } from "./flow-key.js";
import type { Unreachable } from "./link.js";
import type { Packet } from "./packet.js";
import type { TcpLayer } from "./tcp/tcp-layer.js";
import type { UdpLayer } from "./udp-layer.js";

/** Ports and, for TCP, the sequence number. */
const QUOTED_TRANSPORT_BYTES = 8;

export class IcmpInput {
  private readonly context: StackContext;
  private readonly tcp: TcpLayer;
  private readonly udp: UdpLayer;
  /** The quoted packet's flow as we see it. */
  private readonly quotedKey: FlowKey = new FlowKey();
  private quotedProtocol = 0;
  private quotedAt = 0;

  constructor(context: StackContext, tcp: TcpLayer, udp: UdpLayer) {
    this.context = context;
    this.tcp = tcp;
    this.udp = udp;
  }

  process(packet: Packet, now: Milliseconds): void {
    const { arena, counters } = this.context;
    const isV4 = packet.protocol === PROTOCOL_ICMP4;
    if (packet.length < ICMP_HEADER_BYTES || isV4 !== (packet.key.family === 4)) {
      counters.icmpBad++;
      return;
    }
    const pseudo = isV4 ? 0 : sumPseudoHeader(packet.key.addressSum(), PROTOCOL_ICMP6, packet.length);
    const trusted = packet.checksumTrusted;
    if (!trusted && finishSum(pseudo + sumBytes(arena, packet.offset, packet.length)) !== 0) {
      counters.icmpBad++;
      return;
    }
    const type = icmpType(arena.view, packet.offset);
    const { path } = packet.attachment.link;
    if (type === (isV4 ? ICMP4_ECHO_REQUEST : ICMP6_ECHO_REQUEST)) this.answerEcho(packet, now);
    else if (path !== undefined && type === (isV4 ? ICMP4_ECHO_REPLY : ICMP6_ECHO_REPLY)) {
      path.onEchoReply(icmpRest(arena.view, packet.offset), now);
    } else if (isV4) this.takeErrorV4(packet, type);
    else this.takeErrorV6(packet, type);
  }

  private answerEcho(packet: Packet, now: Milliseconds): void {
    const { arena, handler, output, icmp } = this.context;
    const { attachment, key, protocol } = packet;
    const verdict = handler.onEcho(attachment.link, key.remote, key.local);
    if (verdict === "ignore") return;
    const word0 = arena.view.getInt32(packet.offset);
    const rest = icmpRest(arena.view, packet.offset);
    key.ports = 0;
    if (verdict !== "reply") {
      icmp.sendUnreachable(attachment, key, verdict, protocol, packet.length, word0, rest, now);
      return;
    }
    const reply = (protocol === PROTOCOL_ICMP4 ? ICMP4_ECHO_REPLY : ICMP6_ECHO_REPLY) << 24;
    const data = packet.offset + ICMP_HEADER_BYTES;
    output.sendDatagram(attachment, key, protocol, reply, rest, 2, data, packet.length - ICMP_HEADER_BYTES);
  }

  private takeErrorV4(packet: Packet, type: number): void {
    const { arena, counters } = this.context;
    if (type !== ICMP4_UNREACHABLE) {
      counters.icmpUnhandled++;
      return;
    }
    const quote = packet.offset + ICMP_HEADER_BYTES;
    const quoted = packet.length - ICMP_HEADER_BYTES;
    const headerBytes = quoted >= IPV4_HEADER_BYTES ? ipv4HeaderBytes(arena.view, quote) : 0;
    if (headerBytes < IPV4_HEADER_BYTES || quoted < headerBytes + QUOTED_TRANSPORT_BYTES) {
      counters.icmpBad++;
      return;
    }
    const key = this.quotedKey;
    key.family = 4;
    key.local0 = 0;
    key.local1 = 0;
    key.local2 = 0xffff;
    key.local3 = ipv4Source(arena.view, quote);
    key.remote0 = 0;
    key.remote1 = 0;
    key.remote2 = 0xffff;
    key.remote3 = ipv4Destination(arena.view, quote);
    this.quotedProtocol = ipv4Protocol(arena.view, quote);
    this.quotedAt = quote + headerBytes;
    const code = icmpCode(arena.view, packet.offset);
    if (code === ICMP4_FRAGMENTATION_NEEDED) this.tooBig(packet, icmp4Mtu(arena.view, packet.offset));
    else this.unreachable(packet, meaningV4(code));
  }

  private takeErrorV6(packet: Packet, type: number): void {
    const { arena, counters } = this.context;
    if (type !== ICMP6_UNREACHABLE && type !== ICMP6_PACKET_TOO_BIG) {
      counters.icmpUnhandled++;
      return;
    }
    const { view } = arena;
    const quote = packet.offset + ICMP_HEADER_BYTES;
    const quoted = packet.length - ICMP_HEADER_BYTES;
    if (
      quoted < IPV6_HEADER_BYTES + IPV6_FRAGMENT_BYTES + QUOTED_TRANSPORT_BYTES &&
      !this.isPlain(quote, quoted)
    ) {
      counters.icmpBad++;
      return;
    }
    const key = this.quotedKey;
    key.family = 6;
    key.local0 = ipv6SourceWord(view, quote, 0);
    key.local1 = ipv6SourceWord(view, quote, 1);
    key.local2 = ipv6SourceWord(view, quote, 2);
    key.local3 = ipv6SourceWord(view, quote, 3);
    key.remote0 = ipv6DestinationWord(view, quote, 0);
    key.remote1 = ipv6DestinationWord(view, quote, 1);
    key.remote2 = ipv6DestinationWord(view, quote, 2);
    key.remote3 = ipv6DestinationWord(view, quote, 3);
    this.quotedProtocol = ipv6NextHeader(view, quote);
    this.quotedAt = quote + IPV6_HEADER_BYTES;
    // The only extension header that we ever send.
    if (this.quotedProtocol === IPV6_FRAGMENT) {
      this.quotedProtocol = extensionNextHeader(view, this.quotedAt);
      this.quotedAt += IPV6_FRAGMENT_BYTES;
    }
    if (type === ICMP6_PACKET_TOO_BIG) this.tooBig(packet, icmpRest(view, packet.offset) >>> 0);
    else this.unreachable(packet, meaningV6(icmpCode(view, packet.offset)));
  }

  /** The quote needs no room for a fragment header. */
  private isPlain(quote: number, quoted: number): boolean {
    if (quoted < IPV6_HEADER_BYTES + QUOTED_TRANSPORT_BYTES) return false;
    return ipv6NextHeader(this.context.arena.view, quote) !== IPV6_FRAGMENT;
  }

  private unreachable(packet: Packet, why: Unreachable): void {
    this.readQuotedPorts(packet);
    if (this.quotedProtocol === PROTOCOL_TCP) {
      this.tcp.onUnreachable(this.quotedKey, this.quotedSequence(), why);
    } else if (this.quotedProtocol === PROTOCOL_UDP) {
      this.udp.onUnreachable(this.quotedKey, why);
    } else {
      this.context.counters.icmpStray++;
    }
  }

  private tooBig(packet: Packet, mtu: number): void {
    this.readQuotedPorts(packet);
    // Datagrams are cut to the link's MTU; only connections follow the path's.
    if (this.quotedProtocol === PROTOCOL_TCP) {
      this.tcp.onPacketTooBig(this.quotedKey, this.quotedSequence(), mtu);
    } else {
      this.context.counters.icmpUnhandled++;
    }
  }

  private readQuotedPorts(packet: Packet): void {
    this.quotedKey.linkId = packet.key.linkId;
    this.quotedKey.ports = this.context.arena.view.getInt32(this.quotedAt);
  }

  private quotedSequence(): number {
    return this.context.arena.view.getInt32(this.quotedAt + 4);
  }
}

/** RFC 1122 §3.2.2.1, RFC 1812 §5.2.7.1. */
function meaningV4(code: number): Unreachable {
  switch (code) {
    case ICMP4_NETWORK:
    case 6:
    case 11:
      return "network";
    case ICMP4_PORT:
    case ICMP4_PROTOCOL:
      return "port";
    case ICMP4_NETWORK_PROHIBITED:
    case ICMP4_HOST_PROHIBITED:
    case ICMP4_PROHIBITED:
      return "prohibited";
    default:
      return "host";
  }
}

/** RFC 4443 §3.1. */
function meaningV6(code: number): Unreachable {
  switch (code) {
    case ICMP6_NETWORK:
      return "network";
    case ICMP6_PORT:
      return "port";
    case ICMP6_PROHIBITED:
    case 5:
    case 6:
      return "prohibited";
    default:
      return "host";
  }
}
