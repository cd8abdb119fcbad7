/** UDP headers (RFC 768). */
export const UDP_HEADER_BYTES = 8;

export function udpSourcePort(view: DataView, offset: number): number {
  return view.getUint16(offset);
}

export function udpDestinationPort(view: DataView, offset: number): number {
  return view.getUint16(offset + 2);
}

/** Header and payload. */
export function udpLength(view: DataView, offset: number): number {
  return view.getUint16(offset + 4);
}

/** 0 means "none" over IPv4 and is forbidden over IPv6 (RFC 8200 §8.1). */
export function udpChecksum(view: DataView, offset: number): number {
  return view.getUint16(offset + 6);
}
