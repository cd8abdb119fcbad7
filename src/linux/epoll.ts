/**
 * The blocking heart of a data plane process: epoll without libuv.
 *
 * An event is a hint. A descriptor that was closed and whose number was given to a new one within the same
 * batch may get the old one's event: users do the non-blocking operation and believe its result.
 */
import type { Arena } from "../base/index.js";
import { systemError } from "./errors.js";
import { addressOf, EINTR, libc, settle } from "./ffi.js";

export const EPOLLIN: number = 0x1;
export const EPOLLOUT: number = 0x4;
export const EPOLLERR: number = 0x8;
export const EPOLLHUP: number = 0x10;
export const EPOLLRDHUP: number = 0x2000;
/** Edge-triggered. Negative, as bit 31 is in 32-bit arithmetic. */
export const EPOLLET: number = 1 << 31;

const EPOLL_CLOEXEC = 0x80000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;
const ENOSYS = 38;

/** `struct epoll_event` is packed on x86-64 only; the descriptor is kept in its data word. */
const EVENT_WORDS: number = process.arch === "x64" ? 3 : 4;
const DATA_WORD: number = process.arch === "x64" ? 1 : 2;
const TIMESPEC_BYTES = 16;

export class Poller {
  readonly fd: number;
  private readonly arena: Arena;
  private readonly maxEvents: number;
  private readonly events: number;
  private readonly timespec: number;
  private readonly eventsAddress: number;
  private readonly timespecAddress: number;
  /** Kernel ≥ 5.11 and a libc that knows it: timeouts in nanoseconds. */
  private precise: boolean = libc.epollPwait2 !== null;

  /** @param maxEvents most descriptors reported by one `wait` */
  constructor(arena: Arena, maxEvents: number = 256) {
    this.arena = arena;
    this.maxEvents = maxEvents;
    // One event more than the kernel fills: the argument of epoll_ctl.
    const bytes = (maxEvents + 1) * EVENT_WORDS * 4;
    this.events = arena.reserve(bytes);
    this.timespec = arena.reserve(TIMESPEC_BYTES);
    this.eventsAddress = addressOf(arena, this.events, bytes);
    this.timespecAddress = addressOf(arena, this.timespec, TIMESPEC_BYTES);
    this.fd = settle(libc.epollCreate1(EPOLL_CLOEXEC));
    if (this.fd < 0) throw systemError("wait for events", "epoll_create1", this.fd);
  }

  /** Watches `fd` for `events`. 0 or −errno. */
  add(fd: number, events: number): number {
    return this.control(EPOLL_CTL_ADD, fd, events);
  }

  modify(fd: number, events: number): number {
    return this.control(EPOLL_CTL_MOD, fd, events);
  }

  /** Closing the last descriptor of a file does this by itself. */
  remove(fd: number): number {
    return this.control(EPOLL_CTL_DEL, fd, 0);
  }

  /**
   * Blocks until a descriptor is ready or the time is over; returns how many are ready. 0 also after a
   * signal, so the caller looks at its clock anew.
   * @param timeoutMs fractions count; Infinity or a negative number blocks without limit
   */
  wait(timeoutMs: number): number {
    const count = settle(this.waitRaw(timeoutMs));
    if (count >= 0) return count;
    if (count === -EINTR) return 0;
    if (count === -ENOSYS && this.precise) {
      this.precise = false;
      return this.wait(timeoutMs);
    }
    throw systemError("wait for events", "epoll_wait", count);
  }

  private waitRaw(timeoutMs: number): number {
    if (timeoutMs === 0) return libc.epollWait(this.fd, this.eventsAddress, this.maxEvents, 0);
    if (timeoutMs < 0 || timeoutMs === Number.POSITIVE_INFINITY) {
      return libc.epollWait(this.fd, this.eventsAddress, this.maxEvents, -1);
    }
    // Rounded up: waking before a timer is due would spin.
    if (!this.precise || timeoutMs > 0x7fffffff) {
      const wholeMs = Math.min(Math.ceil(timeoutMs), 0x7fffffff);
      return libc.epollWait(this.fd, this.eventsAddress, this.maxEvents, wholeMs);
    }
    const seconds = Math.floor(timeoutMs / 1000);
    const word = this.timespec >> 2;
    this.arena.u32[word] = seconds;
    this.arena.u32[word + 2] = Math.min(Math.ceil((timeoutMs - seconds * 1000) * 1e6), 999_999_999);
    return libc.epollPwait2!(this.fd, this.eventsAddress, this.maxEvents, this.timespecAddress, 0);
  }

  /** Descriptor of ready event `index`, valid until the next `wait`. */
  fdAt(index: number): number {
    return this.arena.u32[(this.events >> 2) + index * EVENT_WORDS + DATA_WORD] as number;
  }

  /** Its events, as a 32-bit integer. */
  eventsAt(index: number): number {
    return (this.arena.u32[(this.events >> 2) + index * EVENT_WORDS] as number) | 0;
  }

  close(): void {
    libc.close(this.fd);
  }

  private control(operation: number, fd: number, events: number): number {
    const at = this.maxEvents * EVENT_WORDS;
    const word = (this.events >> 2) + at;
    this.arena.u32[word] = events;
    this.arena.u32[word + DATA_WORD] = fd;
    return settle(libc.epollCtl(this.fd, operation, fd, this.eventsAddress + at * 4));
  }
}
