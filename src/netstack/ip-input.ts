/**
 * IP headers of inbound packets: RFC 791, RFC 1122 §3.2.1, RFC 8200 §4. Checks them, finds the transport, and
 * tells pieces of datagrams from whole ones. IPv4 options are skipped unread; of the IPv6 extension headers
 * hop-by-hop and destination options are skipped, fragments are understood, all others drop the packet.
 */
import type { Arena } from "../base/index.js";
import {
  extensionBytes,
  extensionNextHeader,
  IPV4_FRAGMENT_OFFSET_MASK,
  IPV4_HEADER_BYTES,
  IPV4_MORE_FRAGMENTS,
  IPV6_DESTINATION_OPTIONS,
  IPV6_FRAGMENT,
  IPV6_FRAGMENT_BYTES,
  IPV6_HEADER_BYTES,
  IPV6_HOP_BY_HOP,
  IPV6_ROUTING,
  ipVersion,
  ipv4ChecksumOk,
  ipv4Destination,
  ipv4Ecn,
  ipv4FragmentWord,
  ipv4HeaderBytes,
  ipv4Identification,
  ipv4Protocol,
  ipv4Source,
  ipv4TotalLength,
  ipv6DestinationWord,
  ipv6Ecn,
  ipv6FragmentId,
  ipv6FragmentOffset,
  ipv6MoreFragments,
  ipv6NextHeader,
  ipv6PayloadLength,
  ipv6SourceWord,
} from "../wire/index.js";
import type { Counters } from "./counters.js";
import type { FlowKey } from "./flow-key.js";
import type { Packet } from "./packet.js";

/** More extension headers than any honest packet has. */
const MAX_EXTENSION_HEADERS = 8;
const V4_MAPPED = 0xffff;

export class IpInput {
  private readonly arena: Arena;
  private readonly counters: Counters;

  constructor(arena: Arena, counters: Counters) {
    this.arena = arena;
    this.counters = counters;
  }

  /** Fills `packet` from arena bytes [offset, offset + length). False when it was dropped and counted. */
  parse(packet: Packet, offset: number, length: number): boolean {
    packet.isFragment = false;
    packet.start = offset;
    if (length < IPV4_HEADER_BYTES) {
      this.counters.ipTooShort++;
      return false;
    }
    const version = ipVersion(this.arena.view, offset);
    if (version === 4) return this.parseV4(packet, offset, length);
    if (version === 6) return this.parseV6(packet, offset, length);
    this.counters.ipBadVersion++;
    return false;
  }

  private parseV4(packet: Packet, offset: number, length: number): boolean {
    const view = this.arena.view;
    const headerBytes = ipv4HeaderBytes(view, offset);
    const totalLength = ipv4TotalLength(view, offset);
    // Bytes past the total length are padding of the link (WireGuard pads to 16).
    if (headerBytes < IPV4_HEADER_BYTES || totalLength < headerBytes || totalLength > length) {
      this.counters.ipBadHeader++;
      return false;
    }
    if (!ipv4ChecksumOk(this.arena, offset)) {
      this.counters.ipBadChecksum++;
      return false;
    }
    const source = ipv4Source(view, offset);
    const destination = ipv4Destination(view, offset);
    if (!isHostV4(source) || !isHostV4(destination)) {
      this.counters.ipBadAddress++;
      return false;
    }
    const key = packet.key;
    key.family = 4;
    key.local0 = 0;
    key.local1 = 0;
    key.local2 = V4_MAPPED;
    key.local3 = destination;
    key.remote0 = 0;
    key.remote1 = 0;
    key.remote2 = V4_MAPPED;
    key.remote3 = source;
    packet.ecn = ipv4Ecn(view, offset);
    packet.protocol = ipv4Protocol(view, offset);
    packet.offset = offset + headerBytes;
    packet.length = totalLength - headerBytes;
    const fragment = ipv4FragmentWord(view, offset);
    if ((fragment & (IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET_MASK)) !== 0) {
      packet.isFragment = true;
      packet.fragmentId = ipv4Identification(view, offset);
      packet.fragmentOffset = (fragment & IPV4_FRAGMENT_OFFSET_MASK) << 3;
      packet.moreFragments = (fragment & IPV4_MORE_FRAGMENTS) !== 0;
    }
    return true;
  }

  private parseV6(packet: Packet, offset: number, length: number): boolean {
    const view = this.arena.view;
    if (length < IPV6_HEADER_BYTES || IPV6_HEADER_BYTES + ipv6PayloadLength(view, offset) > length) {
      this.counters.ipBadHeader++;
      return false;
    }
    const key = packet.key;
    key.family = 6;
    key.remote0 = ipv6SourceWord(view, offset, 0);
    key.remote1 = ipv6SourceWord(view, offset, 1);
    key.remote2 = ipv6SourceWord(view, offset, 2);
    key.remote3 = ipv6SourceWord(view, offset, 3);
    key.local0 = ipv6DestinationWord(view, offset, 0);
    key.local1 = ipv6DestinationWord(view, offset, 1);
    key.local2 = ipv6DestinationWord(view, offset, 2);
    key.local3 = ipv6DestinationWord(view, offset, 3);
    if (!areHostsV6(key)) {
      this.counters.ipBadAddress++;
      return false;
    }
    packet.ecn = ipv6Ecn(view, offset);
    packet.protocol = ipv6NextHeader(view, offset);
    packet.offset = offset + IPV6_HEADER_BYTES;
    packet.length = ipv6PayloadLength(view, offset);
    return isExtension(packet.protocol) ? this.walkExtensions(packet) : true;
  }

  /** RFC 8200 §4: in any order here, but hop-by-hop options only come first. */
  private walkExtensions(packet: Packet): boolean {
    const view = this.arena.view;
    for (let seen = 0; isExtension(packet.protocol) && !packet.isFragment; seen++) {
      const kind = packet.protocol;
      const misplaced = kind === IPV6_HOP_BY_HOP && seen > 0;
      if (kind === IPV6_ROUTING || misplaced || seen === MAX_EXTENSION_HEADERS || packet.length < 8) {
        this.counters.ipExtensionHeader++;
        return false;
      }
      let bytes = IPV6_FRAGMENT_BYTES;
      if (kind === IPV6_FRAGMENT) this.readFragmentHeader(packet);
      else bytes = extensionBytes(view, packet.offset);
      if (bytes > packet.length) {
        this.counters.ipExtensionHeader++;
        return false;
      }
      packet.protocol = extensionNextHeader(view, packet.offset);
      packet.offset += bytes;
      packet.length -= bytes;
    }
    return true;
  }

  private readFragmentHeader(packet: Packet): void {
    const view = this.arena.view;
    const offset = ipv6FragmentOffset(view, packet.offset);
    const more = ipv6MoreFragments(view, packet.offset);
    // RFC 6946: an "atomic fragment" is a whole packet.
    if (offset === 0 && !more) return;
    packet.isFragment = true;
    packet.fragmentId = ipv6FragmentId(view, packet.offset);
    packet.fragmentOffset = offset;
    packet.moreFragments = more;
  }
}

/** Extension headers that may come before the transport; AH, ESP and the rest count as unknown protocols. */
function isExtension(protocol: number): boolean {
  return (
    protocol === IPV6_HOP_BY_HOP ||
    protocol === IPV6_ROUTING ||
    protocol === IPV6_FRAGMENT ||
    protocol === IPV6_DESTINATION_OPTIONS
  );
}

/**
 * Not "this network" (0/8), multicast or broadcast (RFC 1122 §3.2.1.3).
 * DEVIATION(RFC 1112 §4): reserved addresses (240/4) are hosts' like all others, as for Linux: service ranges
 * lie there because nobody routes them by accident.
 */
function isHostV4(address: number): boolean {
  const top = address >>> 24;
  return top !== 0 && (top < 224 || (top >= 240 && top < 255));
}

/** Neither address is multicast, and neither is ::. */
function areHostsV6(key: FlowKey): boolean {
  if (key.local0 >>> 24 === 0xff || key.remote0 >>> 24 === 0xff) return false;
  return (
    (key.local0 | key.local1 | key.local2 | key.local3) !== 0 &&
    (key.remote0 | key.remote1 | key.remote2 | key.remote3) !== 0
  );
}
