/**
 * The one FFI table: every system call of the project that Node does not offer goes through here (koffi, libc
 * of the running process). Besides `machine/` and `crypto/`, no other room makes calls or sees an address.
 *
 * All arguments are plain numbers, which is what koffi passes fastest (60–100 ns less than with a Buffer).
 * Addresses are doubles: user space ends at 2^47 (2^52 with large addressing), so they are exact. They come
 * from `addressOf` alone, which checks offset and length against the arena first.
 *
 * Results follow the kernel's own convention: ≥ 0, or −errno. Reading errno costs ~30 ns and only after a
 * failure, so that EAGAIN is a cheap, ordinary value and nothing on the packet path throws.
 */
import { constants } from "node:os";
import koffi from "koffi";
import { Arena } from "../base/index.js";

type Call<A extends number[]> = (...args: A) => number;
type Fd = number;
type Pointer = number;

const library = koffi.load(null);

function bind<A extends number[]>(name: string, result: string, args: string[]): Call<A> {
  return library.func(name, result, args) as unknown as Call<A>;
}

/** As `bind`, or null when this libc lacks the function. */
function bindOptional<A extends number[]>(name: string, result: string, args: string[]): Call<A> | null {
  try {
    return bind<A>(name, result, args);
  } catch {
    return null;
  }
}

const INT = "int";
const PTR = "intptr_t";
const SIZE = "size_t";
const SSIZE = "intptr_t";

/** libc by its own names. Raw results: −1 on failure; wrap in `settle`. */
export interface LibC {
  readonly read: Call<[Fd, Pointer, number]>;
  readonly write: Call<[Fd, Pointer, number]>;
  readonly writev: Call<[Fd, Pointer, number]>;
  readonly close: Call<[Fd]>;
  readonly open: Call<[Pointer, number, number]>;
  readonly ioctl: Call<[Fd, number, Pointer]>;
  readonly fcntl: Call<[Fd, number, number]>;
  readonly flock: Call<[Fd, number]>;
  readonly fchmod: Call<[Fd, number]>;
  readonly socket: Call<[number, number, number]>;
  readonly socketpair: Call<[number, number, number, Pointer]>;
  readonly bind: Call<[Fd, Pointer, number]>;
  readonly listen: Call<[Fd, number]>;
  readonly accept4: Call<[Fd, Pointer, Pointer, number]>;
  readonly connect: Call<[Fd, Pointer, number]>;
  readonly shutdown: Call<[Fd, number]>;
  readonly send: Call<[Fd, Pointer, number, number]>;
  readonly recv: Call<[Fd, Pointer, number, number]>;
  readonly sendmsg: Call<[Fd, Pointer, number]>;
  readonly recvmsg: Call<[Fd, Pointer, number]>;
  readonly getsockname: Call<[Fd, Pointer, Pointer]>;
  readonly getsockopt: Call<[Fd, number, number, Pointer, Pointer]>;
  readonly setsockopt: Call<[Fd, number, number, Pointer, number]>;
  readonly epollCreate1: Call<[number]>;
  readonly epollCtl: Call<[Fd, number, Fd, Pointer]>;
  readonly epollWait: Call<[Fd, Pointer, number, number]>;
  /** glibc ≥ 2.35. */
  readonly epollPwait2: Call<[Fd, Pointer, number, Pointer, Pointer]> | null;
  readonly clockGettime: Call<[number, Pointer]>;
  readonly prctl: Call<[number, number, number, number, number]>;
  readonly schedGetcpu: Call<[]>;
  readonly schedYield: Call<[]>;
  readonly schedGetaffinity: Call<[number, number, Pointer]>;
  readonly schedSetaffinity: Call<[number, number, Pointer]>;
  /** For calls that libc has no name for. */
  readonly syscall: Call<[number, number, Pointer, number, number]>;
  readonly capset: Call<[Pointer, Pointer]>;
  readonly mmap: Call<[Pointer, number, number, number, Fd, number]>;
  readonly munmap: Call<[Pointer, number]>;
  readonly madvise: Call<[Pointer, number, number]>;
}

export const libc: LibC = {
  read: bind("read", SSIZE, [INT, PTR, SIZE]),
  write: bind("write", SSIZE, [INT, PTR, SIZE]),
  writev: bind("writev", SSIZE, [INT, PTR, INT]),
  close: bind("close", INT, [INT]),
  open: bind("open", INT, [PTR, INT, "uint"]),
  ioctl: bind("ioctl", INT, [INT, "ulong", PTR]),
  fcntl: bind("fcntl", INT, [INT, INT, "long"]),
  flock: bind("flock", INT, [INT, INT]),
  fchmod: bind("fchmod", INT, [INT, "uint"]),
  socket: bind("socket", INT, [INT, INT, INT]),
  socketpair: bind("socketpair", INT, [INT, INT, INT, PTR]),
  bind: bind("bind", INT, [INT, PTR, "uint"]),
  listen: bind("listen", INT, [INT, INT]),
  accept4: bind("accept4", INT, [INT, PTR, PTR, INT]),
  connect: bind("connect", INT, [INT, PTR, "uint"]),
  shutdown: bind("shutdown", INT, [INT, INT]),
  send: bind("send", SSIZE, [INT, PTR, SIZE, INT]),
  recv: bind("recv", SSIZE, [INT, PTR, SIZE, INT]),
  sendmsg: bind("sendmsg", SSIZE, [INT, PTR, INT]),
  recvmsg: bind("recvmsg", SSIZE, [INT, PTR, INT]),
  getsockname: bind("getsockname", INT, [INT, PTR, PTR]),
  getsockopt: bind("getsockopt", INT, [INT, INT, INT, PTR, PTR]),
  setsockopt: bind("setsockopt", INT, [INT, INT, INT, PTR, "uint"]),
  epollCreate1: bind("epoll_create1", INT, [INT]),
  epollCtl: bind("epoll_ctl", INT, [INT, INT, INT, PTR]),
  epollWait: bind("epoll_wait", INT, [INT, PTR, INT, INT]),
  epollPwait2: bindOptional("epoll_pwait2", INT, [INT, PTR, INT, PTR, PTR]),
  clockGettime: bind("clock_gettime", INT, [INT, PTR]),
  prctl: bind("prctl", INT, [INT, "ulong", "ulong", "ulong", "ulong"]),
  schedGetcpu: bind("sched_getcpu", INT, []),
  schedYield: bind("sched_yield", INT, []),
  schedGetaffinity: bind("sched_getaffinity", INT, [INT, SIZE, PTR]),
  schedSetaffinity: bind("sched_setaffinity", INT, [INT, SIZE, PTR]),
  syscall: bind("syscall", "long", ["long", "long", PTR, "ulong", "ulong"]),
  capset: bind("capset", INT, [PTR, PTR]),
  mmap: bind("mmap", PTR, [PTR, SIZE, INT, INT, INT, "long"]),
  munmap: bind("munmap", INT, [PTR, SIZE]),
  madvise: bind("madvise", INT, [PTR, SIZE, INT]),
};

// errno values that other rooms compare against, as positive numbers.
const { errno } = constants;
export const EAGAIN: number = errno.EAGAIN;
export const ECONNREFUSED: number = errno.ECONNREFUSED;
export const EACCES: number = errno.EACCES;
export const EHOSTUNREACH: number = errno.EHOSTUNREACH;
export const EINTR: number = errno.EINTR;
export const EINVAL: number = errno.EINVAL;
export const EIO: number = errno.EIO;
export const EMSGSIZE: number = errno.EMSGSIZE;
export const ENETUNREACH: number = errno.ENETUNREACH;
export const ENOBUFS: number = errno.ENOBUFS;
export const EPERM: number = errno.EPERM;
export const EPIPE: number = errno.EPIPE;
export const ETIMEDOUT: number = errno.ETIMEDOUT;

/** A raw result as ≥ 0 or −errno. To be called before any other call of the table. */
export function settle(result: number): number {
  return result >= 0 ? result : -koffi.errno();
}

/** Base addresses by arena. An arena that is listed is kept alive by its caller, as the map's keys are weak. */
const bases = new WeakMap<Arena, number>();
let lastArena: Arena | null = null;
let lastBase = 0;

/**
 * The address of arena byte `offset`, for a call that touches `length` bytes from there on. Valid as long as
 * the arena is: its ArrayBuffer lies outside V8's heap and never moves.
 */
export function addressOf(arena: Arena, offset: number, length: number): Pointer {
  if (!(offset >= 0 && length >= 0 && offset + length <= arena.size)) {
    throw new RangeError(`[${offset}, +${length}) is outside the arena of ${arena.size} bytes`);
  }
  if (arena !== lastArena) {
    lastBase = baseOf(arena);
    lastArena = arena;
  }
  return lastBase + offset;
}

function baseOf(arena: Arena): Pointer {
  let base = bases.get(arena);
  if (base === undefined) {
    base = Number(koffi.address(arena.u8));
    bases.set(arena, base);
  }
  return base;
}

/** Writes an address into a structure in the arena; `offset` is a multiple of 4. */
export function writePointer(arena: Arena, offset: number, address: Pointer): void {
  const high = Math.floor(address / 0x1_0000_0000);
  arena.u32[offset >> 2] = address - high * 0x1_0000_0000;
  arena.u32[(offset >> 2) + 1] = high;
}

/** struct iovec: address, and how many bytes. */
export const IOVEC_BYTES = 16;

/** Lets the one at arena byte `iovec` name [offset, offset + length), `length` below 2^32; its last word stays zero. */
export function writeIovec(arena: Arena, iovec: number, offset: number, length: number): void {
  writePointer(arena, iovec, addressOf(arena, offset, length));
  arena.u32[(iovec + 8) >> 2] = length;
}

/**
 * Small structures of control calls are built here. Whoever uses it is done with it before calling anything
 * else, so one is enough.
 */
export const scratch: Arena = new Arena(16 * 1024);
/** Address of scratch byte `offset`. */
export function scratchAddress(offset: number, length: number): Pointer {
  return addressOf(scratch, offset, length);
}

const encoder = new TextEncoder();

/** Puts `text` with a terminating zero at scratch offset 0 and returns its address. */
export function scratchText(text: string): Pointer {
  const bytes = encoder.encode(text);
  if (bytes.includes(0)) throw new RangeError("text for a system call holds a zero byte");
  const address = scratchAddress(0, bytes.length + 1);
  scratch.u8.set(bytes, 0);
  scratch.u8[bytes.length] = 0;
  return address;
}
