/** The one packet that a data plane makes up itself: an echo request (RFC 792, RFC 4443 §4.1) of a wanted size. */
import type { Address, Arena } from "../base/index.js";
import {
  finishSum,
  ICMP4_ECHO_REQUEST,
  ICMP6_ECHO_REQUEST,
  IPV4_DONT_FRAGMENT,
  IPV4_HEADER_BYTES,
  IPV6_HEADER_BYTES,
  PROTOCOL_ICMP4,
  PROTOCOL_ICMP6,
  sumAddress,
  sumBytes,
  sumPseudoHeader,
  writeIcmp,
  writeIpv4,
  writeIpv6,
} from "../wire/index.js";

const CHECKSUM_AT = 2;

/**
 * Writes an IP packet of exactly `bytes` to arena offset `at`.
 * @param rest identifier and sequence number
 */
export function writeEchoRequest(
  arena: Arena,
  at: number,
  bytes: number,
  source: Address,
  destination: Address,
  rest: number,
): void {
  const { u8, view } = arena;
  const v4 = source.family === 4;
  const icmp = at + (v4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES);
  const length = at + bytes - icmp;
  u8.fill(0, icmp, at + bytes);
  writeIcmp(view, icmp, v4 ? ICMP4_ECHO_REQUEST : ICMP6_ECHO_REQUEST, 0, rest);
  let pseudo = 0;
  if (v4) {
    writeIpv4(view, at, bytes, 0, IPV4_DONT_FRAGMENT, PROTOCOL_ICMP4, source.w3, destination.w3);
  } else {
    writeIpv6(view, at, length, PROTOCOL_ICMP6);
    source.write(u8, at + 8);
    destination.write(u8, at + 24);
    pseudo = sumPseudoHeader(sumAddress(source) + sumAddress(destination), PROTOCOL_ICMP6, length);
  }
  view.setUint16(icmp + CHECKSUM_AT, finishSum(pseudo + sumBytes(arena, icmp, length)));
}
