/** ICMPv4 (RFC 792) and ICMPv6 (RFC 4443): types and codes, and the common 8-byte header. */
export const ICMP_HEADER_BYTES = 8;

export const ICMP4_ECHO_REPLY = 0;
export const ICMP4_UNREACHABLE = 3;
export const ICMP4_ECHO_REQUEST = 8;
export const ICMP4_TIME_EXCEEDED = 11;

/** Codes of ICMP4_UNREACHABLE (RFC 792, RFC 1122 §3.2.2.1, RFC 1812 §5.2.7.1). */
export const ICMP4_NETWORK = 0;
export const ICMP4_HOST = 1;
export const ICMP4_PROTOCOL = 2;
export const ICMP4_PORT = 3;
export const ICMP4_FRAGMENTATION_NEEDED = 4;
export const ICMP4_NETWORK_PROHIBITED = 9;
export const ICMP4_HOST_PROHIBITED = 10;
export const ICMP4_PROHIBITED = 13;

export const ICMP6_UNREACHABLE = 1;
export const ICMP6_PACKET_TOO_BIG = 2;
export const ICMP6_TIME_EXCEEDED = 3;
export const ICMP6_ECHO_REQUEST = 128;
export const ICMP6_ECHO_REPLY = 129;

/** Codes of ICMP6_UNREACHABLE (RFC 4443 §3.1). */
export const ICMP6_NETWORK = 0;
export const ICMP6_PROHIBITED = 1;
export const ICMP6_ADDRESS = 3;
export const ICMP6_PORT = 4;

export function icmpType(view: DataView, offset: number): number {
  return view.getUint8(offset);
}

export function icmpCode(view: DataView, offset: number): number {
  return view.getUint8(offset + 1);
}

/** The second word: echo identifier and sequence, or for ICMP6_PACKET_TOO_BIG the MTU. */
export function icmpRest(view: DataView, offset: number): number {
  return view.getInt32(offset + 4);
}

/** RFC 1191 §4: next-hop MTU of ICMP4_FRAGMENTATION_NEEDED; 0 from routers that predate it. */
export function icmp4Mtu(view: DataView, offset: number): number {
  return view.getUint16(offset + 6);
}

/** The header with a zero checksum. */
export function writeIcmp(view: DataView, offset: number, type: number, code: number, rest: number): void {
  view.setInt32(offset, (type << 24) | (code << 16));
  view.setInt32(offset + 4, rest);
}
