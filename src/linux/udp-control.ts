/**
 * The control messages of the tunnel's socket: how a batch is cut into datagrams (UDP_SEGMENT, UDP_GRO), and which
 * address of ours a peer talks to (IPV6_PKTINFO of RFC 3542 §6.1, IP_PKTINFO of ip(7)), so that it is answered from
 * there. An IPv6 socket tells and takes IPv4 addresses in mapped form.
 *
 * ```
 *  sending: │ segment size 24 │ address 40 or 32 │      either, both or none
 * ```
 *
 * Only the address is given back, never the interface that a datagram came in by: the way to the peer is the
 * routing table's to choose.
 */
import { type Arena, LOCAL_ADDRESS_AT } from "../base/index.js";
import { setOption } from "./descriptor.js";
import { MAPPED_WORD } from "./sockaddr.js";

const IPPROTO_IP = 0;
const IP_PKTINFO = 8;
const IPPROTO_IPV6 = 41;
const IPV6_RECVPKTINFO = 49;
const IPV6_PKTINFO = 50;
const SOL_UDP = 17;
const UDP_SEGMENT = 103;

/** Room for both messages. */
export const CONTROL_BYTES = 64;
const HEADER_BYTES = 16;
/** CMSG_SPACE(2) and CMSG_LEN(2). */
export const SEGMENT_SPACE = 24;
const SEGMENT_LENGTH = 18;
/** CMSG_SPACE and CMSG_LEN of in6_pktinfo (address, interface) and of in_pktinfo (interface, address of ours, 0). */
const [SPACE_6, LENGTH_6] = [40, 36];
const [SPACE_4, LENGTH_4] = [32, 28];
const LOCAL_4_AT = HEADER_BYTES + 4;

/** From now on each datagram tells which address of ours it was sent to. */
export function askForLocalAddress(fd: number, v6: boolean): void {
  if (v6) setOption(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
  else setOption(fd, IPPROTO_IP, IP_PKTINFO, 1);
}

/** Fills in what never changes of the area for sending, which is all zero. `control` is a multiple of 8. */
export function layOutControl(arena: Arena, control: number, v6: boolean): void {
  const { u32 } = arena;
  writeHeader(u32, control >> 2, SEGMENT_LENGTH, SOL_UDP, UDP_SEGMENT);
  const address = (control + SEGMENT_SPACE) >> 2;
  if (v6) writeHeader(u32, address, LENGTH_6, IPPROTO_IPV6, IPV6_PKTINFO);
  else writeHeader(u32, address, LENGTH_4, IPPROTO_IP, IP_PKTINFO);
}

function writeHeader(u32: Uint32Array, at: number, length: number, level: number, type: number): void {
  u32[at] = length;
  u32[at + 2] = level;
  u32[at + 3] = type;
}

export function writeSegmentBytes(arena: Arena, control: number, bytes: number): void {
  arena.u16[(control + HEADER_BYTES) >> 1] = bytes;
}

/** Writes the address of ours in the endpoint record; returns the message's bytes, 0 when the record has none. */
export function writeLocalAddress(arena: Arena, control: number, record: number, v6: boolean): number {
  const { u32 } = arena;
  const from = (record + LOCAL_ADDRESS_AT) >> 2;
  const [a, b, c, d] = [u32[from], u32[from + 1], u32[from + 2], u32[from + 3]] as [
    number,
    number,
    number,
    number,
  ];
  if ((a | b | c | d) === 0) return 0;
  if (!v6) {
    u32[(control + SEGMENT_SPACE + LOCAL_4_AT) >> 2] = a;
    return SPACE_4;
  }
  const to = (control + SEGMENT_SPACE + HEADER_BYTES) >> 2;
  const mapped = arena.u8[record] === 4;
  u32[to] = mapped ? 0 : a;
  u32[to + 1] = mapped ? 0 : b;
  u32[to + 2] = mapped ? MAPPED_WORD : c;
  u32[to + 3] = mapped ? a : d;
  return SPACE_6;
}

/**
 * Reads what came with a batch: the bytes of each datagram, or 0 when it is one; and the address of ours into the
 * endpoint record, zero when it was not told.
 */
export function readControl(arena: Arena, control: number, length: number, record: number): number {
  const { u32 } = arena;
  let segmentBytes = 0;
  const to = (record + LOCAL_ADDRESS_AT) >> 2;
  u32[to] = u32[to + 1] = u32[to + 2] = u32[to + 3] = 0;
  for (let at = control; at + HEADER_BYTES < control + length; ) {
    const word = at >> 2;
    const bytes = u32[word] as number;
    const level = u32[word + 2] as number;
    if (level === SOL_UDP) {
      segmentBytes = u32[word + 4] as number;
    } else if (level === IPPROTO_IP) {
      u32[to] = u32[word + 5] as number;
    } else if (u32[word + 6] === MAPPED_WORD && u32[word + 5] === 0 && u32[word + 4] === 0) {
      u32[to] = u32[word + 7] as number;
    } else {
      for (let i = 0; i < 4; i++) u32[to + i] = u32[word + 4 + i] as number;
    }
    at += Math.max(HEADER_BYTES, (bytes + 7) & ~7);
  }
  return segmentBytes;
}
