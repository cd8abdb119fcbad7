/**
 * Netlink messages as bytes, and one request with its answer (RFC 3549 §2; netlink(7)).
 *
 * ```
 *  message: │ length u32 │ type u16 │ flags u16 │ sequence u32 │ port u32 │ family header │ attributes… │
 *  attribute: │ length u16 │ type u16 │ value │ padding to 4 │
 * ```
 *
 * All integers are the host's (little endian). rtnetlink handles a request within the send call and continues a
 * dump within each receive, so the non-blocking socket always has the answer ready: no waiting is needed.
 */

import { Arena } from "../base/index.js";
import { setOption } from "./descriptor.js";
import { systemError } from "./errors.js";
import { addressOf, EINTR, libc, scratch, scratchAddress, settle } from "./ffi.js";

export const NLM_F_REQUEST: number = 0x1;
export const NLM_F_ACK: number = 0x4;
export const NLM_F_DUMP: number = 0x300;
export const NLM_F_REPLACE: number = 0x100;
export const NLM_F_EXCL: number = 0x200;
export const NLM_F_CREATE: number = 0x400;

const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLM_F_DUMP_INTR = 0x10;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLMSGERR_ATTR_MSG = 1;
const HEADER_BYTES = 16;

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_FLAGS = 0x80800; // SOCK_NONBLOCK | SOCK_CLOEXEC
const NETLINK_ROUTE = 0;
const SOL_NETLINK = 270;
const NETLINK_EXT_ACK = 11;
const SOCKADDR_NL_BYTES = 12;
/** The kernel fills dump buffers up to 32 KiB. */
const RECEIVE_BYTES = 64 * 1024;
const DUMP_ATTEMPTS = 5;

/** Value of attribute types that hold further attributes; newer kernels insist on it. */
export const NLA_F_NESTED: number = 0x8000;
const NLA_TYPE_MASK = 0x3fff;

/** Builds one message. */
export class MessageWriter {
  private readonly bytes = new Uint8Array(1024);
  private readonly view = new DataView(this.bytes.buffer);
  private length: number = HEADER_BYTES;

  constructor(type: number, flags: number) {
    this.view.setUint16(4, type, true);
    this.view.setUint16(6, flags | NLM_F_REQUEST, true);
  }

  u8(value: number): this {
    this.bytes[this.length++] = value;
    return this;
  }

  u16(value: number): this {
    this.view.setUint16(this.length, value, true);
    this.length += 2;
    return this;
  }

  u32(value: number): this {
    this.view.setUint32(this.length, value, true);
    this.length += 4;
    return this;
  }

  attribute(type: number, value: Uint8Array): this {
    this.u16(4 + value.length).u16(type);
    this.bytes.set(value, this.length);
    this.length += align(value.length);
    return this;
  }

  attributeU32(type: number, value: number): this {
    return this.u16(8).u16(type).u32(value);
  }

  attributeText(type: number, value: string): this {
    return this.attribute(type, Buffer.from(`${value}\0`));
  }

  /** An attribute whose value is the attributes that `fill` writes. */
  nested(type: number, fill: (writer: this) => void): this {
    const start = this.length;
    this.u16(0).u16(type | NLA_F_NESTED);
    fill(this);
    this.view.setUint16(start, this.length - start, true);
    return this;
  }

  finish(sequence: number): Uint8Array {
    this.view.setUint32(0, this.length, true);
    this.view.setUint32(8, sequence, true);
    return this.bytes.subarray(0, this.length);
  }
}

/** One received message without its header; a copy. */
export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly body: DataView;
}

/** Splits what one receive call returned. Truncated messages end the list. */
export function parseMessages(bytes: Uint8Array): Message[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const messages: Message[] = [];
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const length = view.getUint32(at, true);
    if (length < HEADER_BYTES || at + length > bytes.length) break;
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      body: new DataView(new Uint8Array(bytes.subarray(at + HEADER_BYTES, at + length)).buffer),
    });
    at += align(length);
  }
  return messages;
}

/** Attributes of `body` from `start` on, by type; of equal types the last. */
export function parseAttributes(body: DataView, start: number): Map<number, DataView> {
  const attributes = new Map<number, DataView>();
  for (let at = start; at + 4 <= body.byteLength; ) {
    const length = body.getUint16(at, true);
    if (length < 4 || at + length > body.byteLength) break;
    const value = new DataView(body.buffer, body.byteOffset + at + 4, length - 4);
    attributes.set(body.getUint16(at + 2, true) & NLA_TYPE_MASK, value);
    at += align(length);
  }
  return attributes;
}

export function bytesOf(value: DataView): Uint8Array {
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

/** Text of an attribute, without its terminating zero. */
export function textOf(value: DataView): string {
  const bytes = bytesOf(value);
  const end = bytes.indexOf(0);
  return Buffer.from(end === -1 ? bytes : bytes.subarray(0, end)).toString();
}

function align(length: number): number {
  return (length + 3) & ~3;
}

/** What the kernel answered: messages, or why not. */
export type Answer =
  | {
      readonly ok: true;
      readonly messages: Message[];
      /** Something changed while the dump was taken: it may lack or repeat entries. */
      readonly torn: boolean;
    }
  /** `result` is −errno, `detail` the kernel's own words when it had some. */
  | { readonly ok: false; readonly result: number; readonly detail: string | undefined };

/**
 * Sends one request and collects its answer, dumps whole. A dump that a change interrupted (NLM_F_DUMP_INTR) is
 * taken anew. Throws CzctlError only when there is no netlink.
 * @param build makes the message; called again for another attempt
 */
export function request(build: () => MessageWriter): Answer {
  const socket = openNetlink(0);
  try {
    let answer = exchange(socket, build(), 1);
    for (let attempt = 2; attempt <= DUMP_ATTEMPTS && answer.ok && answer.torn; attempt++) {
      answer = exchange(socket, build(), attempt);
    }
    return answer;
  } finally {
    libc.close(socket);
  }
}

/** A netlink route socket that belongs to multicast `groups` (a bit mask). Throws CzctlError. */
export function openNetlink(groups: number): number {
  const fd = settle(libc.socket(AF_NETLINK, SOCK_RAW | SOCK_FLAGS, NETLINK_ROUTE));
  if (fd < 0) throw systemError("talk to the kernel's routing", "socket", fd);
  setOption(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
  // struct sockaddr_nl: family, padding, port (0: the kernel chooses), groups.
  scratch.u8.fill(0, 0, SOCKADDR_NL_BYTES);
  scratch.u16[0] = AF_NETLINK;
  scratch.u32[2] = groups;
  const result = settle(libc.bind(fd, scratchAddress(0, SOCKADDR_NL_BYTES), SOCKADDR_NL_BYTES));
  if (result === 0) return fd;
  libc.close(fd);
  throw systemError("talk to the kernel's routing", "bind", result);
}

const buffer = new Arena(RECEIVE_BYTES);

function exchange(socket: number, writer: MessageWriter, sequence: number): Answer {
  const bytes = writer.finish(sequence);
  buffer.u8.set(bytes, 0);
  const sent = settle(libc.send(socket, addressOf(buffer, 0, bytes.length), bytes.length, 0));
  if (sent < 0) return { ok: false, result: sent, detail: undefined };
  const messages: Message[] = [];
  let torn = false;
  for (;;) {
    const received = receiveMessages(socket);
    if (typeof received === "number") return { ok: false, result: received, detail: undefined };
    for (const message of received) {
      if (message.sequence !== sequence) continue;
      if (message.flags & NLM_F_DUMP_INTR) torn = true;
      if (message.type !== NLMSG_DONE && message.type !== NLMSG_ERROR) {
        messages.push(message);
        continue;
      }
      // Both end the answer and begin with a result.
      const result = message.body.getInt32(0, true);
      return result < 0 ? { ok: false, result, detail: kernelWords(message) } : { ok: true, messages, torn };
    }
  }
}

/** One receive call: messages, or −errno. */
export function receiveMessages(socket: number): Message[] | number {
  const address = addressOf(buffer, 0, RECEIVE_BYTES);
  let length: number;
  do length = settle(libc.recv(socket, address, RECEIVE_BYTES, 0));
  while (length === -EINTR);
  return length < 0 ? length : parseMessages(buffer.u8.subarray(0, length));
}

/** The extended acknowledgement's text (NLMSGERR_ATTR_MSG), which follows the request's echo. */
function kernelWords(message: Message): string | undefined {
  if (message.type !== NLMSG_ERROR || (message.flags & NLM_F_ACK_TLVS) === 0) return undefined;
  const echoed = message.flags & NLM_F_CAPPED ? HEADER_BYTES : align(message.body.getUint32(4, true));
  const text = parseAttributes(message.body, 4 + echoed).get(NLMSGERR_ATTR_MSG);
  return text === undefined ? undefined : textOf(text);
}
