/**
 * The TUN device with its virtio-net header: 64 KiB TCP segments cross the kernel boundary in one call, and
 * transport checksums are the kernel's work.
 *
 * ```
 *  read/write buffer: │ virtio_net_hdr, 10 bytes │ IP packet … │
 * ```
 *
 * `openTun` is the daemon's (root), `TunIo` the data plane's, on the inherited descriptor. Follows the kernel's
 * Documentation/networking/tuntap.rst and virtio 1.2 §5.1.6; all integers are little endian as on the host.
 */
import type { Arena } from "../base/index.js";
import { systemError } from "./errors.js";
import {
  addressOf,
  EINTR,
  EINVAL,
  IOVEC_BYTES,
  libc,
  scratch,
  scratchAddress,
  scratchText,
  settle,
  writeIovec,
} from "./ffi.js";
import { VIRTIO_NET_HDR_BYTES, virtioNet } from "./virtio.js";

const O_RDWR = 2;
const O_NONBLOCK = 0x800;
const O_CLOEXEC = 0x80000;

const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const TUNSETVNETHDRSZ = 0x400454d8;
const IFF_TUN = 0x0001;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const TUN_F_CSUM = 0x01;
const TUN_F_TSO4 = 0x02;
const TUN_F_TSO6 = 0x04;

const IFNAMSIZ = 16;
const IFREQ_BYTES = 40;
const PIECES = 2;
const ENOENT = 2;
const ENXIO = 6;
const ENOTTY = 25;

export interface TunOptions {
  /** Device name, at most 15 bytes; "%d" becomes the first free number. */
  name: string;
  /** Ask for 64 KiB TCP segments. */
  tso: boolean;
  /** `/dev/net/tun`, opened non-blocking, and the caller's also after a failure; absent: it is opened. */
  file?: number | undefined;
}

export interface TunDevice {
  /** Non-blocking, closed on exec. The device lives as long as the descriptor and its copies. */
  fd: number;
  /** The name that the kernel gave. */
  name: string;
  /** What the kernel granted. */
  tso: boolean;
}

/** Creates a TUN device, or attaches to the persistent one of that name. Throws CzctlError. */
export function openTun(options: TunOptions): TunDevice {
  if (options.name === "" || Buffer.byteLength(options.name) >= IFNAMSIZ || /[/\s:]/.test(options.name)) {
    throw new RangeError(`not a device name: ${JSON.stringify(options.name)}`);
  }
  const fd =
    options.file ?? settle(libc.open(scratchText("/dev/net/tun"), O_RDWR | O_NONBLOCK | O_CLOEXEC, 0));
  if (fd === -ENOENT || fd === -ENXIO) {
    throw systemError("open /dev/net/tun", "open", fd, {
      code: "TUN_UNAVAILABLE",
      hint: "Load the kernel module (sudo modprobe tun), or give the container the device /dev/net/tun.",
    });
  }
  if (fd < 0) throw systemError("open /dev/net/tun", "open", fd);
  try {
    const name = attach(fd, options);
    return { fd, name, tso: negotiate(fd, options.tso) };
  } catch (error) {
    if (options.file === undefined) libc.close(fd);
    throw error;
  }
}

/** TUNSETIFF with `struct ifreq`: name, flags. */
function attach(fd: number, options: TunOptions): string {
  const doing = `create the network device ${options.name}`;
  const address = scratchAddress(0, IFREQ_BYTES);
  scratch.u8.fill(0, 0, IFREQ_BYTES);
  scratch.u8.set(Buffer.from(options.name), 0);
  scratch.u16[IFNAMSIZ / 2] = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  const made = settle(libc.ioctl(fd, TUNSETIFF, address));
  if (made === -ENOTTY) {
    throw systemError("use /dev/net/tun", "TUNSETIFF", made, {
      code: "TUN_UNAVAILABLE",
      detail: "it is there, but it is not the TUN driver's device",
      hint: "Make it anew, as root: rm /dev/net/tun; mknod -m 666 /dev/net/tun c 10 200",
    });
  }
  if (made < 0) throw systemError(doing, "TUNSETIFF", made);
  const end = scratch.u8.indexOf(0);
  const name = Buffer.from(scratch.u8.subarray(0, end)).toString();

  scratch.u32[0] = VIRTIO_NET_HDR_BYTES;
  const sized = settle(libc.ioctl(fd, TUNSETVNETHDRSZ, address));
  if (sized < 0) throw systemError(doing, "TUNSETVNETHDRSZ", sized);
  return name;
}

/** Asks for as much offload as there is. Returns whether TSO was granted. */
function negotiate(fd: number, tso: boolean): boolean {
  if (tso && settle(libc.ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6)) === 0) return true;
  // Partial checksums are read correctly either way, so a kernel that refuses even these needs no fallback.
  libc.ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM);
  return false;
}

/** Reads and writes packets of one TUN queue. Buffers are arena ranges that begin with the virtio-net header. */
export class TunIo {
  readonly fd: number;
  private readonly arena: Arena;
  /** Two of struct iovec. */
  private readonly pieces: number;

  /** @param fd non-blocking, from `openTun` */
  constructor(arena: Arena, fd: number) {
    this.arena = arena;
    this.fd = fd;
    this.pieces = arena.reserve(PIECES * IOVEC_BYTES);
  }

  /** One packet into [offset, offset + maxBytes): bytes including the header, or −errno (−EAGAIN: none). */
  read(offset: number, maxBytes: number): number {
    const address = addressOf(this.arena, offset, maxBytes);
    let result: number;
    do result = settle(libc.read(this.fd, address, maxBytes));
    while (result === -EINTR);
    return result;
  }

  /** Hands one packet with its header to the kernel: `length`, or −errno (−EIO: the device is down). */
  write(offset: number, length: number): number {
    const address = addressOf(this.arena, offset, length);
    let result: number;
    do result = settle(libc.write(this.fd, address, length));
    while (result === -EINTR);
    return result;
  }

  /** As `write`, of a packet in two pieces. */
  writeGathered(offset: number, length: number, rest: number, restBytes: number): number {
    const { arena, pieces } = this;
    writeIovec(arena, pieces, offset, length);
    writeIovec(arena, pieces + IOVEC_BYTES, rest, restBytes);
    const address = addressOf(arena, pieces, PIECES * IOVEC_BYTES);
    let result: number;
    do result = settle(libc.writev(this.fd, address, PIECES));
    while (result === -EINTR);
    return result;
  }

  /**
   * Whether the kernel takes TCP super-segments from us: 6.6.44 and some stable releases answer EINVAL. To be
   * asked while the device is up. The probe is a segment from and to 127.0.0.1, which routing discards as
   * martian. Uses arena bytes [offset, offset + 128).
   */
  probeGsoWrite(offset: number): boolean {
    const payloadBytes = 16;
    const packetBytes = 40 + payloadBytes;
    const packet = offset + VIRTIO_NET_HDR_BYTES;
    const { u8 } = this.arena;
    virtioNet.writePartial(this.arena, offset, false, 40, payloadBytes / 2, 20, 16);
    u8.fill(0, packet, packet + packetBytes);
    u8.set([0x45, 0, 0, packetBytes, 0, 0, 0x40, 0, 64, 6, 0x3c, 0xbe, 127, 0, 0, 1, 127, 0, 0, 1], packet);
    u8[packet + 32] = 5 << 4;
    u8[packet + 33] = 0x10;
    return this.write(offset, VIRTIO_NET_HDR_BYTES + packetBytes) !== -EINVAL;
  }
}
