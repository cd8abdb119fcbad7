/**
 * The tunnel's UDP socket: one system call takes or gives up to 64 datagrams of one peer (UDP_GRO, UDP_SEGMENT).
 *
 * The message structures are built once, in the arena; a call changes a few words of them:
 *
 * ```
 *  area: │ sockaddr 32 │ iovec 16 │ msghdr 56 │ control 64 │ … the same again for sending
 * ```
 *
 * Path MTU: the socket keeps the kernel's default (IP_PMTUDISC_WANT: DF set while datagrams fit the known path
 * MTU, fragmenting locally once it shrinks). Insisting on DF would turn a shrunk path into a dead tunnel until
 * the inner MTU follows (`dataplane/path-mtu.ts`); fragments merely make it slow. `setDontFragment` is for the
 * probes of that search.
 */
import { Address, type Arena, clearLocalAddress, type Endpoint } from "../base/index.js";
import { getOption, setOption } from "./descriptor.js";
import { systemError } from "./errors.js";
import {
  addressOf,
  EINTR,
  EINVAL,
  EIO,
  EMSGSIZE,
  ENETUNREACH,
  libc,
  scratch,
  scratchAddress,
  settle,
  writeIovec,
  writePointer,
} from "./ffi.js";
import {
  AF_INET,
  AF_INET6,
  endpointToSockaddr,
  readSockaddr,
  SOCKADDR_AFTER_RECORD,
  SOCKADDR_IN6_BYTES,
  writeSockaddr,
} from "./sockaddr.js";
import {
  askForLocalAddress,
  CONTROL_BYTES,
  layOutControl,
  readControl,
  SEGMENT_SPACE,
  writeLocalAddress,
  writeSegmentBytes,
} from "./udp-control.js";

const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0x800;
const SOCK_CLOEXEC = 0x80000;
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_REUSEPORT = 15;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SO_ATTACH_REUSEPORT_CBPF = 51;
const IPPROTO_IP = 0;
const IP_MTU_DISCOVER = 10;
const IP_PMTUDISC_WANT = 1;
const IP_PMTUDISC_PROBE = 3;
const IPPROTO_IPV6 = 41;
const IPV6_MTU_DISCOVER = 23;
const IPV6_V6ONLY = 26;
const SOL_UDP = 17;
const UDP_SEGMENT = 103;
const UDP_GRO = 104;
const EAFNOSUPPORT = 97;
const EADDRNOTAVAIL = 99;

/** What wireguard-go asks for: 64 KiB batches must not be lost while this process does something else. */
const DEFAULT_BUFFER_BYTES = 7 << 20;

// Offsets within one direction's area, and of the members that calls change (64-bit ABI).
const IOVEC = 32;
const MSGHDR = 48;
const CONTROL = 104;
const AREA_BYTES = 192;
const NAME_LENGTH = MSGHDR + 8;
const CONTROL_POINTER = MSGHDR + 32;
const CONTROL_LENGTH = MSGHDR + 40;

export interface UdpOptions {
  /** 0 for any. */
  port: number;
  /** Absent: every address of both families. */
  address?: Address;
  /** Switches; default on, and off by itself where the kernel lacks it. */
  gso?: boolean;
  gro?: boolean;
  /** Kernel buffer of each direction. */
  bufferBytes?: number;
}

export class UdpSocket {
  readonly fd: number;
  /** Bytes of each datagram of the last `receive`, the last one maybe less. */
  segmentBytes = 0;
  /** UDP_GRO is on: `receive` may return several datagrams. */
  readonly gro: boolean;

  /** A run was refused because its datagrams exceed what the kernel knows of the path. For the reader to clear. */
  pathExceeded = false;

  private readonly arena: Arena;
  private readonly options: UdpOptions;
  /** An IPv6 socket, which takes IPv4 in mapped form. */
  private readonly mapped: boolean;
  private readonly incoming: number;
  private readonly outgoing: number;
  private readonly incomingMessage: number;
  private readonly outgoingMessage: number;
  private gsoOn: boolean;
  /** Of the control message for the call at hand. */
  private localBytes = 0;
  private open = true;

  /** Binds; throws CzctlError when it cannot. */
  static bind(arena: Arena, options: UdpOptions): UdpSocket {
    const { address, port } = options;
    if (address !== undefined) {
      return new UdpSocket(arena, bound({ address, port }, options), address.family === 6, options);
    }
    const any = { address: Address.from("::"), port };
    const fd = bindTo(any, options);
    if (fd >= 0) return new UdpSocket(arena, fd, true, options);
    if (fd !== -EAFNOSUPPORT && fd !== -EADDRNOTAVAIL) throw bindError(any, fd);
    // IPv6 is compiled out, or switched off.
    return new UdpSocket(arena, bound({ address: Address.v4(0), port }, options), false, options);
  }

  private constructor(arena: Arena, fd: number, mapped: boolean, options: UdpOptions) {
    this.arena = arena;
    this.fd = fd;
    this.options = options;
    this.mapped = mapped;
    const area = arena.reserve(2 * AREA_BYTES);
    this.incoming = area;
    this.outgoing = area + AREA_BYTES;
    this.incomingMessage = layOut(arena, this.incoming);
    this.outgoingMessage = layOut(arena, this.outgoing);
    layOutControl(arena, this.outgoing + CONTROL, mapped);
    // A socket that is bound to one address sends from there anyway.
    if (options.address === undefined) askForLocalAddress(fd, mapped);
    this.gsoOn = options.gso !== false && getOption(fd, SOL_UDP, UDP_SEGMENT) >= 0;
    this.gro = options.gro !== false && setOption(fd, SOL_UDP, UDP_GRO, 1) === 0;
  }

  /**
   * One recvmsg into [offset, offset + maxBytes): total bytes, or −errno (−EAGAIN: nothing there). The
   * datagrams lie one after another, `segmentBytes` each. All have the one source, whose record is written
   * to arena offset `endpoint` (a multiple of 4).
   * @param maxBytes 65,535 to lose nothing
   */
  receive(offset: number, maxBytes: number, endpoint: number): number {
    const { arena, incoming } = this;
    const { u32 } = arena;
    writeIovec(arena, incoming + IOVEC, offset, maxBytes);
    u32[(incoming + NAME_LENGTH) >> 2] = SOCKADDR_IN6_BYTES;
    u32[(incoming + CONTROL_LENGTH) >> 2] = CONTROL_BYTES;
    let total: number;
    do total = settle(libc.recvmsg(this.fd, this.incomingMessage, 0));
    while (total === -EINTR);
    if (total < 0) return total;
    readSockaddr(arena, incoming, endpoint);
    const control = u32[(incoming + CONTROL_LENGTH) >> 2] as number;
    this.segmentBytes = readControl(arena, incoming + CONTROL, control, endpoint) || total;
    return total;
  }

  /**
   * Sends [offset, offset + length) as datagrams of `segmentBytes` each (the last may be shorter) to the record
   * at arena offset `endpoint` (a multiple of 4). Returns the bytes that the kernel took, always whole
   * datagrams, or −errno when it took none (−EAGAIN: the buffer is full; −EMSGSIZE: over the path's MTU).
   * One call carries at most 64 datagrams and 65,507 bytes; more are sent one by one.
   *
   * They leave from the record's address of ours. When that is gone from this machine, from whichever the kernel
   * picks, and it is cleared in the record.
   */
  send(offset: number, length: number, segmentBytes: number, endpoint: number): number {
    const { arena, outgoing, mapped } = this;
    this.localBytes = writeLocalAddress(arena, outgoing + CONTROL, endpoint, mapped);
    const result = this.sendFrom(offset, length, segmentBytes, endpoint);
    // IPv6 says EINVAL to an address that is not ours, IPv4 also ENETUNREACH.
    if ((result !== -EINVAL && result !== -ENETUNREACH) || this.localBytes === 0) return result;
    clearLocalAddress(arena.u8, endpoint);
    this.localBytes = 0;
    return this.sendFrom(offset, length, segmentBytes, endpoint);
  }

  private sendFrom(offset: number, length: number, segmentBytes: number, endpoint: number): number {
    const { arena, outgoing } = this;
    if (!this.mapped && arena.u8[endpoint] !== 4) return -EAFNOSUPPORT;
    const nameBytes = writeSockaddr(arena, endpoint, outgoing, this.mapped);
    arena.u32[(outgoing + NAME_LENGTH) >> 2] = nameBytes;
    if (length <= segmentBytes) return this.sendMessage(offset, length, false);
    if (this.gsoOn) {
      writeSegmentBytes(arena, outgoing + CONTROL, segmentBytes);
      const result = this.sendMessage(offset, length, true);
      // EIO: the network card cannot complete checksums, and will not learn it. EINVAL (EMSGSIZE since 6.14):
      // segments do not fit the path's MTU now; one by one they are fragmented.
      if (result === -EIO) this.gsoOn = false;
      else if (result !== -EINVAL && result !== -EMSGSIZE) return result;
      else this.pathExceeded = true;
    }
    return this.sendSingly(offset, length, segmentBytes);
  }

  private sendSingly(offset: number, length: number, segmentBytes: number): number {
    for (let done = 0; done < length; done += segmentBytes) {
      const result = this.sendMessage(offset + done, Math.min(segmentBytes, length - done), false);
      if (result < 0) return done > 0 ? done : result;
    }
    return length;
  }

  private sendMessage(offset: number, length: number, segmented: boolean): number {
    const { arena, outgoing, localBytes } = this;
    const skipped = segmented ? 0 : SEGMENT_SPACE;
    writeIovec(arena, outgoing + IOVEC, offset, length);
    writePointer(arena, outgoing + CONTROL_POINTER, addressOf(arena, outgoing + CONTROL + skipped, 0));
    arena.u32[(outgoing + CONTROL_LENGTH) >> 2] = SEGMENT_SPACE - skipped + localBytes;
    let result: number;
    do result = settle(libc.sendmsg(this.fd, this.outgoingMessage, 0));
    while (result === -EINTR);
    return result;
  }

  /** UDP_SEGMENT is in use. Goes off for good when the network card turns out not to support it. */
  get gso(): boolean {
    return this.gsoOn;
  }

  /**
   * A second socket on the same port, which from now on gets every datagram that does not begin with `firstByte`:
   * whatever arrives there has a buffer of its own to overflow. The kernel parts them by a classic BPF program, for
   * which nobody needs a privilege. Null where it does not.
   *
   * This socket was bound alone and shares its port only now, so that the port is still refused to whoever
   * binds it next.
   */
  divertOthers(firstByte: number, bufferBytes: number): UdpSocket | null {
    const { arena, mapped, options } = this;
    const address = options.address ?? (mapped ? Address.from("::") : Address.v4(0));
    if (setOption(this.fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0) return null;
    const fd = bindTo({ address, port: this.port }, { ...options, bufferBytes }, true);
    if (fd < 0) return null;
    if (attachFirstByteProgram(fd, firstByte) === 0) return new UdpSocket(arena, fd, mapped, options);
    libc.close(fd);
    return null;
  }

  /** The local port. */
  get port(): number {
    scratch.u32[0] = SOCKADDR_IN6_BYTES;
    libc.getsockname(this.fd, scratchAddress(16, SOCKADDR_IN6_BYTES), scratchAddress(0, 4));
    return scratch.view.getUint16(18, false);
  }

  /** On: datagrams carry DF and ignore the cached path MTU (IP_PMTUDISC_PROBE), for RFC 8899 probes. */
  setDontFragment(on: boolean): void {
    const mode = on ? IP_PMTUDISC_PROBE : IP_PMTUDISC_WANT;
    setOption(this.fd, IPPROTO_IP, IP_MTU_DISCOVER, mode);
    if (this.mapped) setOption(this.fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, mode);
  }

  close(): void {
    if (!this.open) return;
    this.open = false;
    libc.close(this.fd);
  }
}

/** A bound descriptor. Throws CzctlError. */
function bound(endpoint: Endpoint, options: UdpOptions): number {
  const fd = bindTo(endpoint, options);
  if (fd < 0) throw bindError(endpoint, fd);
  return fd;
}

/** A bound descriptor, or −errno. */
function bindTo(endpoint: Endpoint, options: UdpOptions, sharesPort = false): number {
  const v6 = endpoint.address.family === 6;
  const fd = settle(libc.socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd < 0) return fd;
  if (v6) setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, options.address === undefined ? 0 : 1);
  if (sharesPort) setOption(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  const bytes = options.bufferBytes ?? DEFAULT_BUFFER_BYTES;
  // Past the system's limit with CAP_NET_ADMIN, else up to it.
  if (setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, bytes) < 0) setOption(fd, SOL_SOCKET, SO_RCVBUF, bytes);
  if (setOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, bytes) < 0) setOption(fd, SOL_SOCKET, SO_SNDBUF, bytes);
  const length = endpointToSockaddr(scratch, 0, endpoint, v6);
  const result = settle(libc.bind(fd, scratchAddress(SOCKADDR_AFTER_RECORD, length), length));
  if (result === 0) return fd;
  libc.close(fd);
  return result;
}

function bindError(endpoint: Endpoint, result: number): Error {
  const any = endpoint.address.isUnspecified;
  return systemError(`bind UDP port ${endpoint.port}${any ? "" : ` on ${endpoint.address}`}`, "bind", result);
}

/** BPF_LD | BPF_B | BPF_ABS, BPF_JMP | BPF_JEQ | BPF_K, BPF_RET | BPF_K. */
const [BPF_LOAD_BYTE, BPF_JUMP_EQUAL, BPF_RETURN] = [0x30, 0x15, 0x06];

/**
 * Of a group of two sockets: the first for datagrams that begin with `firstByte`, and for empty ones, where loading
 * fails; the second for the rest. 0 or −errno.
 */
function attachFirstByteProgram(fd: number, firstByte: number): number {
  const { view } = scratch;
  // struct sock_fprog at 0: length, pointer; struct sock_filter at 16: code, jump if true, if false, k.
  const program = [
    [BPF_LOAD_BYTE, 0, 0, 0],
    [BPF_JUMP_EQUAL, 0, 1, firstByte],
    [BPF_RETURN, 0, 0, 0],
    [BPF_RETURN, 0, 0, 1],
  ] as const;
  for (const [i, [code, jumpTrue, jumpFalse, k]] of program.entries()) {
    const at = 16 + 8 * i;
    view.setUint16(at, code, true);
    view.setUint8(at + 2, jumpTrue);
    view.setUint8(at + 3, jumpFalse);
    view.setUint32(at + 4, k, true);
  }
  view.setUint16(0, program.length, true);
  writePointer(scratch, 8, scratchAddress(16, 8 * program.length));
  return settle(libc.setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, scratchAddress(0, 16), 16));
}

/** Links name, iovec and control buffer into the msghdr at `area`; returns the msghdr's address. */
function layOut(arena: Arena, area: number): number {
  const at = (offset: number): number => addressOf(arena, area + offset, AREA_BYTES - offset);
  arena.u8.fill(0, area, area + AREA_BYTES);
  writePointer(arena, area + MSGHDR, at(0));
  writePointer(arena, area + MSGHDR + 16, at(IOVEC));
  arena.u32[(area + MSGHDR + 24) >> 2] = 1;
  writePointer(arena, area + MSGHDR + 32, at(CONTROL));
  return at(MSGHDR);
}
