/**
 * A TCP segment read straight from a packet's bytes, by code that shares nothing with the stack under test, and
 * sequence numbers as plain numbers that never wrap.
 */

export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const PSH = 8;
export const ACK = 16;

export interface SegmentView {
  flags: number;
  seq: number;
  ack: number;
  /** As it stands in the header. */
  window: number;
  payload: Uint8Array;
  /** Options, or 0, -1, false, null and none. */
  mss: number;
  windowScale: number;
  sackPermitted: boolean;
  timestamps: readonly [value: number, echo: number] | null;
  sack: readonly (readonly [left: number, right: number])[];
}

/** The segment in an IP packet without options; null when it holds something else. */
export function viewSegment(packet: Uint8Array): SegmentView | null {
  const isV4 = (packet[0] as number) >> 4 === 4;
  if (packet[isV4 ? 9 : 6] !== 6) return null;
  const at = isV4 ? 20 : 40;
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const headerBytes = (view.getUint8(at + 12) >> 4) * 4;
  const segment: SegmentView = {
    flags: view.getUint8(at + 13),
    seq: view.getUint32(at + 4),
    ack: view.getUint32(at + 8),
    window: view.getUint16(at + 14),
    payload: packet.subarray(at + headerBytes),
    mss: 0,
    windowScale: -1,
    sackPermitted: false,
    timestamps: null,
    sack: [],
  };
  if (headerBytes > 20) readOptions(segment, view, at + 20, at + headerBytes);
  return segment;
}

function readOptions(segment: SegmentView, view: DataView, from: number, end: number): void {
  for (let at = from; at < end; ) {
    const kind = view.getUint8(at);
    if (kind === 0) return;
    if (kind === 1) {
      at++;
      continue;
    }
    const length = view.getUint8(at + 1);
    if (kind === 2) segment.mss = view.getUint16(at + 2);
    else if (kind === 3) segment.windowScale = view.getUint8(at + 2);
    else if (kind === 4) segment.sackPermitted = true;
    else if (kind === 8) segment.timestamps = [view.getUint32(at + 2), view.getUint32(at + 6)];
    else if (kind === 5) {
      segment.sack = Array.from({ length: (length - 2) / 8 }, (_, i) => [
        view.getUint32(at + 2 + 8 * i),
        view.getUint32(at + 6 + 8 * i),
      ]);
    }
    at += length;
  }
}

/** The number near `reference` that is `raw` modulo 2^32. */
export function unwrap(raw: number, reference: number): number {
  return reference + ((raw - reference) | 0);
}

/** Whether the checksums of an IPv4 or IPv6 packet with a transport checksum at `field` are right (RFC 1071). */
export function checksumsHold(packet: Uint8Array): boolean {
  const version = (packet[0] as number) >> 4;
  if (version === 4) return sum(packet, 0, 20) === 0xffff && transportHolds(packet, 20, 12, 8, 9);
  return version === 6 && transportHolds(packet, 40, 8, 32, 6);
}

function transportHolds(packet: Uint8Array, ip: number, from: number, bytes: number, next: number): boolean {
  const pseudo = sum(packet, from, bytes) + (packet[next] as number) + (packet.length - ip);
  const total = pseudo + sum(packet, ip, packet.length - ip);
  return total > 0 && total % 0xffff === 0;
}

/** Ones' complement sum of 16-bit words, folded. */
function sum(packet: Uint8Array, from: number, bytes: number): number {
  let total = 0;
  for (let i = 0; i < bytes; i++) {
    const byte = packet[from + i] as number;
    total += i % 2 === 0 ? byte << 8 : byte;
  }
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}
