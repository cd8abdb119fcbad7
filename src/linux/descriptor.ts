/** What is done to any descriptor: flags, locks, options. Shared by the other files of this room. */
import { EINTR, libc, scratch, scratchAddress, settle } from "./ffi.js";

const F_GETFL = 3;
const F_SETFL = 4;
const F_SETSIG = 10;
const F_SETLEASE = 1024;
const F_WRLCK = 1;
const F_UNLCK = 2;
/** Ignored unless somebody wants it; the default, SIGIO, would end the process. */
const SIGURG = 23;
const O_NONBLOCK = 0x800;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;

/** For inherited descriptors; all that this room opens are non-blocking already. 0 or −errno. */
export function setNonBlocking(fd: number): number {
  const flags = settle(libc.fcntl(fd, F_GETFL, 0));
  return flags < 0 ? flags : settle(libc.fcntl(fd, F_SETFL, flags | O_NONBLOCK));
}

/** Takes the exclusive lock of the open file, which ends with its last descriptor. False: someone has it. */
export function tryLock(fd: number): boolean {
  let result: number;
  do result = settle(libc.flock(fd, LOCK_EX | LOCK_NB));
  while (result === -EINTR);
  return result === 0;
}

export function unlock(fd: number): void {
  libc.flock(fd, LOCK_UN);
}

/**
 * Keeps everybody else from opening the file, readers too: they wait until `endLease`, or until it is closed (fcntl(2),
 * "Leases"). False: somebody has it open now, or its file system knows no leases.
 */
export function tryLease(fd: number): boolean {
  libc.fcntl(fd, F_SETSIG, SIGURG);
  return settle(libc.fcntl(fd, F_SETLEASE, F_WRLCK)) === 0;
}

export function endLease(fd: number): void {
  libc.fcntl(fd, F_SETLEASE, F_UNLCK);
}

/** Option values live at the end of the scratch arena, so that callers may keep an address at its beginning. */
const OPTION: number = scratch.size - 64;

/** Sets an int option. 0 or −errno. */
export function setOption(fd: number, level: number, name: number, value: number): number {
  scratch.u32[OPTION >> 2] = value;
  return settle(libc.setsockopt(fd, level, name, scratchAddress(OPTION, 4), 4));
}

/** The value of an int option, or −errno. */
export function getOption(fd: number, level: number, name: number): number {
  scratch.u32[OPTION >> 2] = 0;
  scratch.u32[(OPTION >> 2) + 1] = 4;
  const result = settle(
    libc.getsockopt(fd, level, name, scratchAddress(OPTION, 4), scratchAddress(OPTION + 4, 4)),
  );
  return result < 0 ? result : (scratch.u32[OPTION >> 2] as number) | 0;
}
