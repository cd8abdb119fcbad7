/**
 * Where the raw peer puts and takes packets, byte for byte as they are: the user's side of a TUN device whose
 * other side is Linux, or a packet socket on the kernel's side of a TUN device whose other side is our stack.
 * Both speak the virtio-net header, so one reader serves them.
 */
import koffi from "koffi";

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0x800;
const SOCK_CLOEXEC = 0x80000;
const ETH_P_ALL = 3;
const SOL_PACKET = 263;
const PACKET_VNET_HDR = 15;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
/** Every scenario's burst at once. */
const RECEIVE_BUFFER_BYTES = 64 << 20;
const VNET_BYTES = 10;
/** Of virtio_net_hdr.flags: the checksum is partial, or known to be right. */
const CHECKSUM_FLAGS = 3;
const BUFFER_BYTES = 70_000;

const libc = koffi.load(null);
const read = libc.func("intptr_t read(int fd, _Out_ uint8_t *buffer, size_t bytes)");
const write = libc.func("intptr_t write(int fd, const uint8_t *buffer, size_t bytes)");
const socket = libc.func("int socket(int family, int type, int protocol)");
const bind = libc.func("int bind(int fd, const uint8_t *address, uint32_t bytes)");
const setsockopt = libc.func(
  "int setsockopt(int fd, int level, int name, const uint8_t *value, uint32_t bytes)",
);
const nametoindex = libc.func("uint32_t if_nametoindex(const char *name)");

export class Wire {
  readonly fd: number;
  private readonly buffer: Buffer = Buffer.alloc(BUFFER_BYTES);

  /** @param fd non-blocking; a TUN device or a packet socket, with virtio-net headers */
  constructor(fd: number) {
    this.fd = fd;
  }

  /** The next packet, or null when none waits. */
  receive(): { packet: Buffer; checksumTrusted: boolean } | null {
    const length = Number(read(this.fd, this.buffer, BUFFER_BYTES));
    if (length <= VNET_BYTES) return null;
    return {
      packet: Buffer.from(this.buffer.subarray(VNET_BYTES, length)),
      checksumTrusted: (this.buffer[0]! & CHECKSUM_FLAGS) !== 0,
    };
  }

  send(packet: Buffer): void {
    const bytes = Buffer.concat([Buffer.alloc(VNET_BYTES), packet]);
    if (Number(write(this.fd, bytes, bytes.length)) < 0) throw new Error(`write: errno ${koffi.errno()}`);
  }
}

/** Sees everything that comes out of `device`, and sends past the kernel's routing and checks into it. */
export function openPacketSocket(device: string): Wire {
  const fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const address = Buffer.alloc(20);
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeUInt16BE(ETH_P_ALL, 2);
  address.writeUInt32LE(nametoindex(device), 4);
  const one = Buffer.from([1, 0, 0, 0]);
  const room = Buffer.alloc(4);
  room.writeUInt32LE(RECEIVE_BUFFER_BYTES);
  // Refused in a user namespace: the default does on a machine that is not too busy.
  if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, room, 4);
  if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, one, 4) < 0 || bind(fd, address, 20) < 0) {
    throw new Error(`packet socket on ${device}: errno ${koffi.errno()}`);
  }
  return new Wire(fd);
}
