/**
 * IPv6 headers and extension headers (RFC 8200): accessors over a DataView, and writers. The caller has
 * checked that the fixed 40 (or 8) bytes are there.
 */
import { DEFAULT_TTL, ECN_ECT0 } from "./ipv4.js";

export const IPV6_HEADER_BYTES = 40;
export const IPV6_FRAGMENT_BYTES = 8;
/** RFC 8200 §5: every link carries packets of this size. */
export const IPV6_MIN_MTU = 1280;

/** Next-header values of the extension headers (RFC 8200 §4). */
export const IPV6_HOP_BY_HOP = 0;
export const IPV6_ROUTING = 43;
export const IPV6_FRAGMENT = 44;
export const IPV6_DESTINATION_OPTIONS = 60;

export function ipv6PayloadLength(view: DataView, offset: number): number {
  return view.getUint16(offset + 4);
}

export function ipv6NextHeader(view: DataView, offset: number): number {
  return view.getUint8(offset + 6);
}

export function ipv6HopLimit(view: DataView, offset: number): number {
  return view.getUint8(offset + 7);
}

/** 32-bit word `index` (0..3) of the source address. */
export function ipv6SourceWord(view: DataView, offset: number, index: number): number {
  return view.getInt32(offset + 8 + (index << 2));
}

export function ipv6DestinationWord(view: DataView, offset: number, index: number): number {
  return view.getInt32(offset + 24 + (index << 2));
}

/** The two ECN bits: the low end of the traffic class (RFC 3168 §5, RFC 8200 §7). */
export function ipv6Ecn(view: DataView, offset: number): number {
  return (view.getUint8(offset + 1) >>> 4) & 3;
}

/** Makes a header that `writeIpv6` wrote ECN-capable. */
export function setIpv6Ect(view: DataView, offset: number): void {
  view.setUint8(offset + 1, ECN_ECT0 << 4);
}

/** The fixed header up to the addresses; the caller writes those at +8 and +24. */
export function writeIpv6(view: DataView, offset: number, payloadLength: number, nextHeader: number): void {
  view.setInt32(offset, 0x60000000);
  view.setUint16(offset + 4, payloadLength);
  view.setUint16(offset + 6, (nextHeader << 8) | DEFAULT_TTL);
}

// ---- extension headers; `offset` is that of the extension header ----

export function extensionNextHeader(view: DataView, offset: number): number {
  return view.getUint8(offset);
}

/** Length of a hop-by-hop, routing or destination-options header. */
export function extensionBytes(view: DataView, offset: number): number {
  return (view.getUint8(offset + 1) + 1) << 3;
}

/** Byte offset of this piece within the original fragmentable part: a multiple of 8. */
export function ipv6FragmentOffset(view: DataView, offset: number): number {
  return view.getUint16(offset + 2) & 0xfff8;
}

export function ipv6MoreFragments(view: DataView, offset: number): boolean {
  return (view.getUint8(offset + 3) & 1) !== 0;
}

export function ipv6FragmentId(view: DataView, offset: number): number {
  return view.getInt32(offset + 4);
}

export function writeIpv6Fragment(
  view: DataView,
  offset: number,
  nextHeader: number,
  fragmentOffset: number,
  more: boolean,
  id: number,
): void {
  view.setUint16(offset, nextHeader << 8);
  view.setUint16(offset + 2, fragmentOffset | (more ? 1 : 0));
  view.setInt32(offset + 4, id);
}
