/**
 * Kernel sockets of the data plane: what the agent dials for a device, the DNS responder, the control sockets.
 *
 * Everything is non-blocking and closed on exec. Functions return ≥ 0 or −errno; only what happens at start-up
 * (`unixListen`, `pair`) throws. Descriptors are plain numbers: whoever opened one closes it, once.
 */
import { lstatSync, unlinkSync } from "node:fs";
import { type Arena, CzctlError, ENDPOINT_BYTES } from "../base/index.js";
import { getOption, setOption } from "./descriptor.js";
import { systemError } from "./errors.js";
import { addressOf, ECONNREFUSED, EINTR, libc, scratch, scratchAddress, scratchText, settle } from "./ffi.js";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  SOCKADDR_AFTER_RECORD,
  SOCKADDR_IN6_BYTES,
  writeSockaddr,
} from "./sockaddr.js";

const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_FLAGS = 0x80800; // SOCK_NONBLOCK | SOCK_CLOEXEC
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SO_LINGER = 13;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const MSG_NOSIGNAL = 0x4000;
const SHUT_WR = 1;
const EINPROGRESS = 115;
const EADDRINUSE = 98;
const LISTEN_BACKLOG = 128;
/** `struct sockaddr_un`: family and a path of at most 107 bytes with its terminator. */
const UNIX_PATH_BYTES = 107;

// ---- TCP and UDP ----

/**
 * Starts to connect to the endpoint record at arena offset `record` (a multiple of 4): a descriptor, or −errno.
 * Once it is writable, `takeError` tells how it went. TCP_NODELAY is set: the bytes come from an end that has
 * made its own decision about small segments.
 */
function tcpConnect(arena: Arena, record: number): number {
  return connectTo(arena, record, SOCK_STREAM);
}

/** A UDP socket that talks to one endpoint and hears of its ICMP errors; a descriptor, or −errno. */
function udpConnect(arena: Arena, record: number): number {
  return connectTo(arena, record, SOCK_DGRAM);
}

function connectTo(arena: Arena, record: number, type: number): number {
  for (let i = 0; i < ENDPOINT_BYTES; i++) scratch.u8[i] = arena.u8[record + i] as number;
  const length = writeSockaddr(scratch, 0, SOCKADDR_AFTER_RECORD, false);
  const family = length === SOCKADDR_IN6_BYTES ? AF_INET6 : AF_INET;
  const fd = settle(libc.socket(family, type | SOCK_FLAGS, 0));
  if (fd < 0) return fd;
  if (type === SOCK_STREAM) setOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  return connected(fd, scratchAddress(SOCKADDR_AFTER_RECORD, length), length);
}

/** `fd` connected or connecting, or −errno with it closed. */
function connected(fd: number, address: number, length: number): number {
  const result = settle(libc.connect(fd, address, length));
  // An interrupted connect goes on by itself (POSIX).
  if (result === 0 || result === -EINPROGRESS || result === -EINTR) return fd;
  libc.close(fd);
  return result;
}

/** The pending error of a socket as a positive errno, and clears it; 0 for none. */
function takeError(fd: number): number {
  return Math.abs(getOption(fd, SOL_SOCKET, SO_ERROR));
}

/** Bytes read into [offset, offset + maxBytes), 0 at the end of a stream (or an empty datagram), or −errno. */
function read(arena: Arena, fd: number, offset: number, maxBytes: number): number {
  const address = addressOf(arena, offset, maxBytes);
  let result: number;
  do result = settle(libc.recv(fd, address, maxBytes, 0));
  while (result === -EINTR);
  return result;
}

/** Bytes taken from [offset, offset + length), or −errno; a broken stream is −EPIPE, never a signal. */
function write(arena: Arena, fd: number, offset: number, length: number): number {
  return send(fd, addressOf(arena, offset, length), length);
}

function send(fd: number, address: number, length: number): number {
  let result: number;
  do result = settle(libc.send(fd, address, length, MSG_NOSIGNAL));
  while (result === -EINTR);
  return result;
}

/** As `write`, for a short line of text; what does not fit into the socket's buffer is lost. */
function writeText(fd: number, text: string): number {
  const address = scratchText(text);
  return send(fd, address, scratch.u8.indexOf(0));
}

/** Sends FIN; reading goes on. */
function shutdownWrite(fd: number): number {
  return settle(libc.shutdown(fd, SHUT_WR));
}

/** Closes at once with RST instead of FIN (TCP), dropping what is unsent. */
function abort(fd: number): void {
  scratch.u32[0] = 1;
  scratch.u32[1] = 0;
  libc.setsockopt(fd, SOL_SOCKET, SO_LINGER, scratchAddress(0, 8), 8);
  libc.close(fd);
}

/** Never retried: on Linux the descriptor is gone even after EINTR. */
function close(fd: number): void {
  libc.close(fd);
}

// ---- Unix streams ----

/** `struct sockaddr_un` at scratch offset 512; returns its length. */
function unixAddress(path: string): number {
  const bytes = Buffer.from(path);
  if (bytes.length > UNIX_PATH_BYTES || bytes.length === 0 || bytes.includes(0)) {
    throw new CzctlError(`socket path has ${bytes.length} bytes, not 1 to ${UNIX_PATH_BYTES}: ${path}`, {
      code: "SOCKET_PATH_INVALID",
      category: "config",
      hint: "Choose a shorter directory for the sockets.",
    });
  }
  scratch.u16[256] = AF_UNIX;
  scratch.u8.set(bytes, 514);
  scratch.u8[514 + bytes.length] = 0;
  return 2 + bytes.length + 1;
}

function unixSocket(): number {
  return settle(libc.socket(AF_UNIX, SOCK_STREAM | SOCK_FLAGS, 0));
}

/**
 * Listens on `path` with file mode `mode`; a socket file that nobody listens on is replaced. Throws CzctlError.
 * The mode is set before bind, which makes the file with it (less the umask): it is never open wider.
 */
function unixListen(path: string, mode: number): number {
  const doing = `listen on ${path}`;
  const length = unixAddress(path);
  const address = scratchAddress(512, length);
  const fd = unixSocket();
  if (fd < 0) throw systemError(doing, "socket", fd);
  libc.fchmod(fd, mode);
  let result = settle(libc.bind(fd, address, length));
  if (result === -EADDRINUSE && isStale(path, address, length)) {
    unlinkSync(path);
    result = settle(libc.bind(fd, address, length));
  }
  if (result === 0) result = settle(libc.listen(fd, LISTEN_BACKLOG));
  if (result === 0) return fd;
  libc.close(fd);
  throw systemError(doing, "bind", result, { hint: "Check that no other czctl uses this directory." });
}

/** `path` is a socket that nobody listens on. Connecting to any other kind of file is refused alike. */
function isStale(path: string, address: number, length: number): boolean {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSocket()) return false;
  const fd = unixSocket();
  const result = settle(libc.connect(fd, address, length));
  libc.close(fd);
  return result === -ECONNREFUSED;
}

/** Connects to the listener at `path`: a descriptor, or −errno (−EAGAIN: its backlog is full). */
function unixConnect(path: string): number {
  const length = unixAddress(path);
  const fd = unixSocket();
  return fd < 0 ? fd : connected(fd, scratchAddress(512, length), length);
}

/** The next connection of a listener: a descriptor, or −errno (−EAGAIN: none waits). */
function accept(fd: number): number {
  let result: number;
  do result = settle(libc.accept4(fd, 0, 0, SOCK_FLAGS));
  while (result === -EINTR);
  return result;
}

/** Two connected Unix stream sockets. */
function pair(): [number, number] {
  const result = settle(libc.socketpair(AF_UNIX, SOCK_STREAM | SOCK_FLAGS, 0, scratchAddress(0, 8)));
  if (result < 0) throw systemError("make a socket pair", "socketpair", result);
  return [scratch.u32[0] as number, scratch.u32[1] as number];
}

/** All of the above, under one name: the verbs are common words. */
export const sockets: {
  tcpConnect(arena: Arena, record: number): number;
  udpConnect(arena: Arena, record: number): number;
  takeError(fd: number): number;
  read(arena: Arena, fd: number, offset: number, maxBytes: number): number;
  write(arena: Arena, fd: number, offset: number, length: number): number;
  writeText(fd: number, text: string): number;
  shutdownWrite(fd: number): number;
  abort(fd: number): void;
  close(fd: number): void;
  unixListen(path: string, mode: number): number;
  unixConnect(path: string): number;
  accept(fd: number): number;
  pair(): [number, number];
} = {
  tcpConnect,
  udpConnect,
  takeError,
  read,
  write,
  writeText,
  shutdownWrite,
  abort,
  close,
  unixListen,
  unixConnect,
  accept,
  pair,
};
