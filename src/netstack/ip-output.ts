/**
 * Sends everything that is not a segment of a connection: resets, datagrams, ICMP. Such packets are built at
 * once and dropped, and counted, when the link takes none; nothing here is kept for later.
 */
import type { Arena } from "../base/index.js";
import {
  finishSum,
  IPV4_DONT_FRAGMENT,
  IPV4_HEADER_BYTES,
  IPV4_MORE_FRAGMENTS,
  IPV6_FRAGMENT,
  IPV6_FRAGMENT_BYTES,
  IPV6_HEADER_BYTES,
  PROTOCOL_ICMP4,
  PROTOCOL_TCP,
  sumBytes,
  sumPseudoHeader,
  sumWord,
  TCP_HEADER_BYTES,
  TCP_TIMESTAMP_BYTES,
  writeIpv4,
  writeIpv6,
  writeIpv6Fragment,
  writeTcp,
  writeTimestamps,
} from "../wire/index.js";
import type { Attachment } from "./attachment.js";
import type { Counters } from "./counters.js";
import type { FlowKey } from "./flow-key.js";

/** UDP and ICMP have headers of this length. */
export const DATAGRAM_HEADER_BYTES = 8;
const MAX_IPV4_DATAGRAM_BYTES = 65_535 - IPV4_HEADER_BYTES;
const MAX_IPV6_DATAGRAM_BYTES = 65_535;

export function ipHeaderBytes(key: FlowKey): number {
  return key.family === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
}

/** The IP header from local to remote. `fragmentWord` and `id` are IPv4's. */
export function writeIpHeader(
  view: DataView,
  at: number,
  key: FlowKey,
  protocol: number,
  payloadBytes: number,
  fragmentWord: number,
  id: number,
): void {
  if (key.family === 4) {
    writeIpv4(
      view,
      at,
      IPV4_HEADER_BYTES + payloadBytes,
      id,
      fragmentWord,
      protocol,
      key.local3,
      key.remote3,
    );
    return;
  }
  writeIpv6(view, at, payloadBytes, protocol);
  view.setInt32(at + 8, key.local0);
  view.setInt32(at + 12, key.local1);
  view.setInt32(at + 16, key.local2);
  view.setInt32(at + 20, key.local3);
  view.setInt32(at + 24, key.remote0);
  view.setInt32(at + 28, key.remote1);
  view.setInt32(at + 32, key.remote2);
  view.setInt32(at + 36, key.remote3);
}

export class IpOutput {
  private readonly arena: Arena;
  private readonly counters: Counters;
  private nextId: number;

  /** @param firstId unpredictable start of the fragment identifications (RFC 7739) */
  constructor(arena: Arena, counters: Counters, firstId: number) {
    this.arena = arena;
    this.counters = counters;
    this.nextId = firstId | 0;
  }

  /**
   * A segment of header only, for which there is no connection.
   * @param window as it stands in the header
   * @param stamps TSval and TSecr (RFC 7323 §3.2)
   */
  sendBareTcp(
    attachment: Attachment,
    key: FlowKey,
    seq: number,
    ack: number,
    flags: number,
    window = 0,
    stamps: { value: number; echo: number } | null = null,
  ): void {
    const ipBytes = ipHeaderBytes(key);
    const tcpBytes = TCP_HEADER_BYTES + (stamps === null ? 0 : TCP_TIMESTAMP_BYTES);
    const at = this.reserve(attachment, ipBytes + tcpBytes);
    if (at === -1) return;
    const view = this.arena.view;
    writeIpHeader(view, at, key, PROTOCOL_TCP, tcpBytes, IPV4_DONT_FRAGMENT, 0);
    writeTcp(view, at + ipBytes, key.ports, seq, ack, tcpBytes, flags, window);
    if (stamps !== null) writeTimestamps(view, at + ipBytes + TCP_HEADER_BYTES, stamps.value, stamps.echo);
    const sum = sumPseudoHeader(key.addressSum(), PROTOCOL_TCP, tcpBytes);
    const bytes = sumBytes(this.arena, at + ipBytes, tcpBytes);
    view.setUint16(at + ipBytes + 16, finishSum(sum + bytes));
    attachment.link.commit(ipBytes + tcpBytes, 0, 0);
  }

  /**
   * One UDP or ICMP datagram: an 8-byte header given as two words, then `length` arena bytes from `payload`;
   * in fragments when it exceeds the link's MTU. Returns false when it was dropped.
   * @param checksumAt where in the header the checksum stands (2 or 6); it is zero in the words
   */
  sendDatagram(
    attachment: Attachment,
    key: FlowKey,
    protocol: number,
    word0: number,
    word1: number,
    checksumAt: number,
    payload: number,
    length: number,
  ): boolean {
    const bytes = DATAGRAM_HEADER_BYTES + length;
    if (bytes > (key.family === 4 ? MAX_IPV4_DATAGRAM_BYTES : MAX_IPV6_DATAGRAM_BYTES)) {
      this.counters.txDropped++;
      return false;
    }
    // ICMPv4 is the only one whose checksum has no pseudo-header (RFC 792).
    const hasPseudoHeader = protocol !== PROTOCOL_ICMP4;
    let sum = hasPseudoHeader ? sumPseudoHeader(key.addressSum(), protocol, bytes) : 0;
    const ipBytes = ipHeaderBytes(key);
    const whole = ipBytes + bytes <= attachment.link.mtu;
    const partial = whole && checksumAt === 6 && attachment.link.checksum === "partial";
    if (!partial) {
      sum = finishSum(sum + sumWord(word0) + sumWord(word1) + sumBytes(this.arena, payload, length));
      // RFC 768: a computed zero is sent as all ones, because zero means "none".
      if (sum === 0 && checksumAt === 6) sum = 0xffff;
    }
    const first = checksumAt === 2 ? word0 | sum : word0;
    const second = checksumAt === 6 ? word1 | sum : word1;
    if (!whole) return this.sendFragments(attachment, key, protocol, first, second, payload, length);
    const at = this.reserve(attachment, ipBytes + bytes);
    if (at === -1) return false;
    const view = this.arena.view;
    writeIpHeader(view, at, key, protocol, bytes, IPV4_DONT_FRAGMENT, 0);
    view.setInt32(at + ipBytes, first);
    view.setInt32(at + ipBytes + 4, second);
    this.arena.u8.copyWithin(at + ipBytes + DATAGRAM_HEADER_BYTES, payload, payload + length);
    attachment.link.commit(ipBytes + bytes, 0, partial ? ipBytes + DATAGRAM_HEADER_BYTES : 0);
    return true;
  }

  /** RFC 791 §2.3, RFC 8200 §4.5: pieces of a multiple of 8 bytes; the first one carries the header. */
  private sendFragments(
    attachment: Attachment,
    key: FlowKey,
    protocol: number,
    word0: number,
    word1: number,
    payload: number,
    length: number,
  ): boolean {
    const isV4 = key.family === 4;
    const headers = isV4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES + IPV6_FRAGMENT_BYTES;
    const most = (attachment.link.mtu - headers) & ~7;
    const total = DATAGRAM_HEADER_BYTES + length;
    const id = this.nextId;
    this.nextId = (this.nextId + 1) | 0;
    const view = this.arena.view;
    for (let done = 0; done < total; done += most) {
      const piece = Math.min(most, total - done);
      const more = done + piece < total;
      const at = this.reserve(attachment, headers + piece);
      if (at === -1) return false;
      if (isV4) {
        writeIpHeader(
          view,
          at,
          key,
          protocol,
          piece,
          (done >> 3) | (more ? IPV4_MORE_FRAGMENTS : 0),
          id & 0xffff,
        );
      } else {
        writeIpHeader(view, at, key, IPV6_FRAGMENT, IPV6_FRAGMENT_BYTES + piece, 0, 0);
        writeIpv6Fragment(view, at + IPV6_HEADER_BYTES, protocol, done, more, id);
      }
      let to = at + headers;
      let from = payload + done - DATAGRAM_HEADER_BYTES;
      let bytes = piece;
      if (done === 0) {
        view.setInt32(to, word0);
        view.setInt32(to + 4, word1);
        to += DATAGRAM_HEADER_BYTES;
        from = payload;
        bytes -= DATAGRAM_HEADER_BYTES;
      }
      this.arena.u8.copyWithin(to, from, from + bytes);
      attachment.link.commit(headers + piece, 0, 0);
    }
    return true;
  }

  private reserve(attachment: Attachment, bytes: number): number {
    const at = attachment.reserve(bytes);
    if (at === -1) this.counters.txDropped++;
    else this.counters.packetsOut++;
    return at;
  }
}
