/**
 * The TUN device as a netstack link, with the virtio-net header that lets 64 KiB TCP segments cross it in
 * one system call and leaves transport checksums to the kernel.
 */
import type { Milliseconds } from "../base/index.js";
import { EAGAIN, TunIo, VIRTIO_NET_HDR_BYTES, virtioNet } from "../linux/index.js";
import type { Link, Stack } from "../netstack/index.js";
import type { Context } from "./context.js";
import type { Source } from "./loop.js";
import { SecondLook } from "./second-look.js";

const MAX_PACKET_BYTES = 65_535;
/** Read per turn before the rest of the loop gets its share: of segments few, of small packets many. */
const READ_BUDGET_BYTES = 1 << 20;
const READ_BUDGET_PACKETS = 128;
const IPV4_TCP_CHECKSUM_OFFSET = 16;
const UDP_CHECKSUM_OFFSET = 6;
const PROTOCOL_TCP = 6;

export class TunLink implements Link, Source {
  readonly mtu: number;
  readonly maxGsoBytes: number;
  readonly checksum = "partial";
  readonly congested = false;
  readonly counters: { writeErrors: number } = { writeErrors: 0 };

  private readonly context: Context;
  private readonly io: TunIo;
  private readonly readBuffer: number;
  private readonly writeBuffer: number;
  private readonly onGone: () => void;
  private readonly secondLook: SecondLook = new SecondLook();
  private stack!: Stack;

  /**
   * @param tso whether the device was granted TCP segmentation offload
   * @param onGone somebody deleted the device
   */
  constructor(context: Context, fd: number, mtu: number, tso: boolean, onGone: () => void) {
    this.context = context;
    this.onGone = onGone;
    this.mtu = mtu;
    this.io = new TunIo(context.arena, fd);
    // The packet itself starts on a multiple of eight behind the ten-byte header.
    this.readBuffer = context.arena.reserve(MAX_PACKET_BYTES + 64) + 6;
    this.writeBuffer = context.arena.reserve(MAX_PACKET_BYTES + 64) + 6;
    this.maxGsoBytes = tso && this.io.probeGsoWrite(this.writeBuffer) ? MAX_PACKET_BYTES : 0;
  }

  join(stack: Stack): void {
    this.stack = stack;
  }

  onReady(_events: number, now: Milliseconds): void {
    const packet = this.readBuffer + VIRTIO_NET_HDR_BYTES;
    let bytes = 0;
    const most = this.secondLook.isWorthwhile(this.context.loop.turnNumber) ? READ_BUDGET_PACKETS : 1;
    for (let i = 0; i < most && bytes < READ_BUDGET_BYTES; i++) {
      const length = this.io.read(this.readBuffer, VIRTIO_NET_HDR_BYTES + MAX_PACKET_BYTES);
      if (length < 0 && length !== -EAGAIN) return this.onGone();
      if (length <= VIRTIO_NET_HDR_BYTES) return;
      bytes += length;
      const trusted = virtioNet.checksumTrusted(this.context.arena, this.readBuffer);
      this.stack.process(this, packet, length - VIRTIO_NET_HDR_BYTES, now, trusted);
    }
  }

  reserve(_bytes: number): number {
    return this.writeBuffer + VIRTIO_NET_HDR_BYTES;
  }

  /** The kernel takes the text from the ring: TCP's, whose checksum it completes. */
  commitGathered(
    headerBytes: number,
    text: number,
    textBytes: number,
    _count: number,
    gsoSize: number,
  ): number {
    const { writeBuffer } = this;
    this.describe(gsoSize, headerBytes);
    const headBytes = VIRTIO_NET_HDR_BYTES + headerBytes;
    if (this.io.writeGathered(writeBuffer, headBytes, text, textBytes) < 0) this.counters.writeErrors++;
    return 1;
  }

  commit(bytes: number, gsoSize: number, headerBytes: number): void {
    this.describe(gsoSize, headerBytes);
    if (this.io.write(this.writeBuffer, VIRTIO_NET_HDR_BYTES + bytes) < 0) this.counters.writeErrors++;
  }

  /** Writes the virtio-net header of the packet in the write buffer; parameters as `commit`'s. */
  private describe(gsoSize: number, headerBytes: number): void {
    const { arena } = this.context;
    const header = this.writeBuffer;
    const packet = header + VIRTIO_NET_HDR_BYTES;
    const v6 = (arena.u8[packet] as number) >> 4 === 6;
    const ipBytes = v6 ? 40 : ((arena.u8[packet] as number) & 15) * 4;
    const tcp = arena.u8[packet + (v6 ? 6 : 9)] === PROTOCOL_TCP;
    if (headerBytes === 0) virtioNet.writePlain(arena, header);
    else {
      const field = tcp ? IPV4_TCP_CHECKSUM_OFFSET : UDP_CHECKSUM_OFFSET;
      virtioNet.writePartial(arena, header, v6, headerBytes, gsoSize, ipBytes, field);
    }
  }
}
