/**
 * `struct virtio_net_hdr` in the arena, as the TUN device has it before each packet (virtio 1.2 §5.1.6):
 * flags u8, gso_type u8, hdr_len u16, gso_size u16, csum_start u16, csum_offset u16, little endian.
 */
import type { Arena } from "../base/index.js";

export const VIRTIO_NET_HDR_BYTES: number = 10;

/** flags: the checksum field holds the pseudo-header sum and is to be completed. */
export const VIRTIO_NET_HDR_F_NEEDS_CSUM: number = 1;
/** flags: the checksum was verified. */
export const VIRTIO_NET_HDR_F_DATA_VALID: number = 2;
export const VIRTIO_NET_HDR_GSO_NONE: number = 0;
export const VIRTIO_NET_HDR_GSO_TCPV4: number = 1;
export const VIRTIO_NET_HDR_GSO_TCPV6: number = 4;
/** gso_type, as a flag: the segments carry ECN's CWR. */
export const VIRTIO_NET_HDR_GSO_ECN: number = 0x80;

/** Accessors over the header at an arena offset. */
export const virtioNet = {
  flags(arena: Arena, offset: number): number {
    return arena.u8[offset] as number;
  },

  /** Without the ECN flag. */
  gsoType(arena: Arena, offset: number): number {
    return (arena.u8[offset + 1] as number) & ~VIRTIO_NET_HDR_GSO_ECN;
  },

  /** Payload bytes per segment. */
  gsoSize(arena: Arena, offset: number): number {
    return arena.view.getUint16(offset + 4, true);
  },

  /** Where summing begins, in bytes from the IP header. */
  csumStart(arena: Arena, offset: number): number {
    return arena.view.getUint16(offset + 6, true);
  },

  /** Where the sum goes, in bytes from `csumStart`. */
  csumOffset(arena: Arena, offset: number): number {
    return arena.view.getUint16(offset + 8, true);
  },

  /** The transport checksum needs no verification: the sender is this kernel, or it has verified it. */
  checksumTrusted(arena: Arena, offset: number): boolean {
    return ((arena.u8[offset] as number) & (VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID)) !== 0;
  },

  /** A packet with its checksums complete. */
  writePlain(arena: Arena, offset: number): void {
    arena.u8.fill(0, offset, offset + VIRTIO_NET_HDR_BYTES);
  },

  /**
   * A packet whose transport checksum field holds the folded pseudo-header sum (not complemented).
   * @param headerBytes IP and transport header
   * @param gsoSize payload bytes per segment of a TCP super-segment, or 0
   * @param ipBytes IP header: where the transport header begins
   * @param checksumAt offset of the checksum within the transport header (TCP 16, UDP 6)
   */
  writePartial(
    arena: Arena,
    offset: number,
    v6: boolean,
    headerBytes: number,
    gsoSize: number,
    ipBytes: number,
    checksumAt: number,
  ): void {
    const { u8, view } = arena;
    u8[offset] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    u8[offset + 1] =
      gsoSize === 0 ? VIRTIO_NET_HDR_GSO_NONE : v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
    view.setUint16(offset + 2, headerBytes, true);
    view.setUint16(offset + 4, gsoSize, true);
    view.setUint16(offset + 6, ipBytes, true);
    view.setUint16(offset + 8, checksumAt, true);
  },
};
