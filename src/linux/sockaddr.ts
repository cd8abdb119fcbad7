/**
 * The kernel's `struct sockaddr_in` and `sockaddr_in6` beside the endpoint record of base/endpoint, whose
 * address of ours is `udp-control.ts`'s.
 * IPv4-mapped addresses of dual-stack sockets become family 4 on the way in, and back on the way out.
 *
 * A link-local IPv6 address loses its scope on the way: a peer can be reached by it only through the default
 * scope. Records are what WireGuard compares and stores, and `fe80::` endpoints are not worth four bytes there.
 */
import { type Arena, ENDPOINT_BYTES, type Endpoint, writeEndpoint } from "../base/index.js";

export const AF_UNIX: number = 1;
export const AF_INET: number = 2;
export const AF_INET6: number = 10;

export const SOCKADDR_IN_BYTES: number = 16;
/** Room for either family. */
export const SOCKADDR_IN6_BYTES: number = 28;

/** ::ffff:0:0/96 as the third word of the address, in memory order. */
export const MAPPED_WORD: number = 0xffff0000;

/**
 * Endpoint record → sockaddr; returns its length. Offsets are multiples of 4.
 * @param mapped write IPv4 as an IPv4-mapped IPv6 address, for dual-stack sockets
 */
export function writeSockaddr(arena: Arena, record: number, sockaddr: number, mapped: boolean): number {
  const { u16, u32 } = arena;
  const from = record >> 2;
  const to = sockaddr >> 2;
  const v4 = arena.u8[record] === 4;
  u16[(sockaddr >> 1) + 1] = u16[(record >> 1) + 1] as number;
  if (v4 && !mapped) {
    u16[sockaddr >> 1] = AF_INET;
    u32[to + 1] = u32[from + 1] as number;
    u32[to + 2] = 0;
    u32[to + 3] = 0;
    return SOCKADDR_IN_BYTES;
  }
  u16[sockaddr >> 1] = AF_INET6;
  u32[to + 1] = 0;
  u32[to + 6] = 0;
  if (v4) {
    u32[to + 2] = 0;
    u32[to + 3] = 0;
    u32[to + 4] = MAPPED_WORD;
    u32[to + 5] = u32[from + 1] as number;
  } else {
    u32[to + 2] = u32[from + 1] as number;
    u32[to + 3] = u32[from + 2] as number;
    u32[to + 4] = u32[from + 3] as number;
    u32[to + 5] = u32[from + 4] as number;
  }
  return SOCKADDR_IN6_BYTES;
}

/** sockaddr → endpoint record. Offsets are multiples of 4. */
export function readSockaddr(arena: Arena, sockaddr: number, record: number): void {
  const { u16, u32 } = arena;
  const from = sockaddr >> 2;
  const to = record >> 2;
  u16[(record >> 1) + 1] = u16[(sockaddr >> 1) + 1] as number;
  let v4Word = -1;
  if (u16[sockaddr >> 1] === AF_INET) v4Word = u32[from + 1] as number;
  else if (u32[from + 4] === MAPPED_WORD && u32[from + 3] === 0 && u32[from + 2] === 0) {
    v4Word = u32[from + 5] as number;
  }
  if (v4Word !== -1) {
    u16[record >> 1] = 4;
    u32[to + 1] = v4Word;
    u32[to + 2] = 0;
    u32[to + 3] = 0;
    u32[to + 4] = 0;
    return;
  }
  u16[record >> 1] = 6;
  u32[to + 1] = u32[from + 2] as number;
  u32[to + 2] = u32[from + 3] as number;
  u32[to + 3] = u32[from + 4] as number;
  u32[to + 4] = u32[from + 5] as number;
}

/** A control-path endpoint as sockaddr; uses the ENDPOINT_BYTES before it, rounded up to 32, for the record. */
export function endpointToSockaddr(
  arena: Arena,
  offset: number,
  endpoint: Endpoint,
  mapped: boolean,
): number {
  writeEndpoint(arena.u8, offset, endpoint);
  return writeSockaddr(arena, offset, offset + SOCKADDR_AFTER_RECORD, mapped);
}

/** Where `endpointToSockaddr` puts the sockaddr, from the offset that it was given. */
export const SOCKADDR_AFTER_RECORD: number = (ENDPOINT_BYTES + 31) & ~31;
