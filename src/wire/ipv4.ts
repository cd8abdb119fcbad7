/**
 * IPv4 headers (RFC 791): accessors over a DataView, and one writer. `offset` is that of the header; the
 * caller has checked that MIN_BYTES are there before it reads anything.
 */
import type { Arena } from "../base/index.js";
import { finishSum, sumBytes } from "./checksum.js";

export const IPV4_HEADER_BYTES = 20;
/** Flags of the fragment word. */
export const IPV4_DONT_FRAGMENT = 0x4000;
export const IPV4_MORE_FRAGMENTS = 0x2000;
export const IPV4_FRAGMENT_OFFSET_MASK = 0x1fff;
export const DEFAULT_TTL = 64;
/** ECN codepoints (RFC 3168 §5). */
export const ECN_NOT_ECT = 0;
export const ECN_ECT0 = 2;
export const ECN_CE = 3;

export function ipVersion(view: DataView, offset: number): number {
  return view.getUint8(offset) >>> 4;
}

/** Header length in bytes, options included. */
export function ipv4HeaderBytes(view: DataView, offset: number): number {
  return (view.getUint8(offset) & 15) << 2;
}

export function ipv4TotalLength(view: DataView, offset: number): number {
  return view.getUint16(offset + 2);
}

export function ipv4Identification(view: DataView, offset: number): number {
  return view.getUint16(offset + 4);
}

/** Flags and fragment offset (in units of 8 bytes) as one 16-bit word. */
export function ipv4FragmentWord(view: DataView, offset: number): number {
  return view.getUint16(offset + 6);
}

export function ipv4Ttl(view: DataView, offset: number): number {
  return view.getUint8(offset + 8);
}

export function ipv4Protocol(view: DataView, offset: number): number {
  return view.getUint8(offset + 9);
}

export function ipv4Source(view: DataView, offset: number): number {
  return view.getInt32(offset + 12);
}

export function ipv4Destination(view: DataView, offset: number): number {
  return view.getInt32(offset + 16);
}

/** The two ECN bits (RFC 3168 §5). */
export function ipv4Ecn(view: DataView, offset: number): number {
  return view.getUint8(offset + 1) & 3;
}

/** Makes a header that `writeIpv4` wrote ECN-capable; the checksum follows (RFC 1624 §3). */
export function setIpv4Ect(view: DataView, offset: number): void {
  view.setUint8(offset + 1, ECN_ECT0);
  const sum = view.getUint16(offset + 10) - ECN_ECT0;
  view.setUint16(offset + 10, sum < 0 ? sum + 0xffff : sum);
}

/** True when the header's own checksum is right. */
export function ipv4ChecksumOk(arena: Arena, offset: number): boolean {
  return finishSum(sumBytes(arena, offset, ipv4HeaderBytes(arena.view, offset))) === 0;
}

/** Writes a header without options, checksum included; addresses are 32-bit words. */
export function writeIpv4(
  view: DataView,
  offset: number,
  totalLength: number,
  identification: number,
  fragmentWord: number,
  protocol: number,
  source: number,
  destination: number,
): void {
  const ttlProtocol = (DEFAULT_TTL << 8) | protocol;
  const sum =
    0x4500 +
    totalLength +
    identification +
    fragmentWord +
    ttlProtocol +
    (source >>> 16) +
    (source & 0xffff) +
    (destination >>> 16) +
    (destination & 0xffff);
  view.setUint16(offset, 0x4500);
  view.setUint16(offset + 2, totalLength);
  view.setUint16(offset + 4, identification);
  view.setUint16(offset + 6, fragmentWord);
  view.setUint16(offset + 8, ttlProtocol);
  view.setUint16(offset + 10, finishSum(sum));
  view.setInt32(offset + 12, source);
  view.setInt32(offset + 16, destination);
}
