/** Just enough of IPv4 and TCP, by hand, to be the other end of a kernel connection through a TUN device. */
import { Arena } from "../../src/base/index.js";
import {
  EAGAIN,
  EPOLLIN,
  Poller,
  type TunIo,
  VIRTIO_NET_HDR_BYTES,
  virtioNet,
} from "../../src/linux/index.js";

export const SYN = 0x02;
export const ACK = 0x10;
const TCP = 6;

export interface Segment {
  source: number;
  destination: number;
  sourcePort: number;
  destinationPort: number;
  sequence: number;
  acknowledgement: number;
  flags: number;
  payload: Uint8Array;
  /** Bytes of the whole IP packet. */
  packetBytes: number;
  gsoType: number;
  gsoSize: number;
  /** The header said so, and where. */
  partialChecksumAt: number | null;
}

/** The kernel paces (BBR): a segment may come some time after the acknowledgement that allowed it. */
const WAIT_MS = 5_000;

/** Waits until the device has a packet; false when it has none in time. */
function waitForPacket(io: TunIo): boolean {
  const poller = new Poller(new Arena(8192), 1);
  try {
    poller.add(io.fd, EPOLLIN);
    return poller.wait(WAIT_MS) > 0;
  } finally {
    poller.close();
  }
}

/** The next TCP segment that the kernel sends into the device, or null when it sends none. */
export function readSegment(io: TunIo, arena: Arena, at: number): Segment | null {
  for (;;) {
    const length = io.read(at, 65_600);
    if (length === -EAGAIN) {
      if (waitForPacket(io)) continue;
      return null;
    }
    if (length < 0) throw new Error(`read: ${length}`);
    const ip = at + VIRTIO_NET_HDR_BYTES;
    if (arena.u8[ip] !== 0x45 || arena.u8[ip + 9] !== TCP) continue;
    const { view } = arena;
    const tcp = ip + 20;
    const partial = (virtioNet.flags(arena, at) & 1) !== 0;
    return {
      source: view.getUint32(ip + 12),
      destination: view.getUint32(ip + 16),
      sourcePort: view.getUint16(tcp),
      destinationPort: view.getUint16(tcp + 2),
      sequence: view.getUint32(tcp + 4),
      acknowledgement: view.getUint32(tcp + 8),
      flags: arena.u8[tcp + 13]!,
      payload: arena.u8.slice(tcp + (arena.u8[tcp + 12]! >> 4) * 4, at + length),
      packetBytes: length - VIRTIO_NET_HDR_BYTES,
      gsoType: virtioNet.gsoType(arena, at),
      gsoSize: virtioNet.gsoSize(arena, at),
      partialChecksumAt: partial ? virtioNet.csumStart(arena, at) + virtioNet.csumOffset(arena, at) : null,
    };
  }
}

/** Answers `to` with a segment whose checksum and cutting into `gsoSize` pieces are left to the kernel. */
export function writeSegment(
  io: TunIo,
  arena: Arena,
  at: number,
  to: Segment,
  fields: {
    sequence: number;
    acknowledgement: number;
    flags: number;
    payload?: Uint8Array;
    gsoSize?: number;
    /** Arena offset that the payload is written from; absent: behind the headers. */
    text?: number;
  },
): number {
  const { u8, view } = arena;
  const payload = fields.payload ?? new Uint8Array(0);
  const ip = at + VIRTIO_NET_HDR_BYTES;
  const tcp = ip + 20;
  const bytes = 40 + payload.length;
  u8.fill(0, ip, ip + 40);
  u8[ip] = 0x45;
  view.setUint16(ip + 2, bytes);
  u8[ip + 8] = 64;
  u8[ip + 9] = TCP;
  view.setUint32(ip + 12, to.destination);
  view.setUint32(ip + 16, to.source);
  view.setUint16(ip + 10, ~foldedSum(arena, ip, 20, 0));
  view.setUint16(tcp, to.destinationPort);
  view.setUint16(tcp + 2, to.sourcePort);
  view.setUint32(tcp + 4, fields.sequence);
  view.setUint32(tcp + 8, fields.acknowledgement);
  u8[tcp + 12] = 5 << 4;
  u8[tcp + 13] = fields.flags;
  view.setUint16(tcp + 14, 65_535);
  view.setUint16(tcp + 16, foldedSum(arena, ip + 12, 8, TCP + bytes - 20));
  const text = fields.text ?? tcp + 20;
  u8.set(payload, text);
  virtioNet.writePartial(arena, at, false, 40, fields.gsoSize ?? 0, 20, 16);
  if (fields.text === undefined) return io.write(at, VIRTIO_NET_HDR_BYTES + bytes);
  return io.writeGathered(at, VIRTIO_NET_HDR_BYTES + 40, text, payload.length);
}

/** RFC 1071 one's complement sum, not complemented. */
export function foldedSum(arena: Arena, offset: number, length: number, initial: number): number {
  let sum = initial;
  for (let i = 0; i < length; i += 2) sum += arena.view.getUint16(offset + i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}
