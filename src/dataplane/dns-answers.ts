/**
 * Answers that the DNS responder has given, to be given again. An answer depends on the zone and on the question's bytes,
 * so it stands for the same bytes until there is another zone: flags, type and EDNS need no thought here, and the time to
 * live is the one that our own zone gives to whoever asks now. Kept is what our zone says (AA), and nothing else.
 *
 * Three things may be different each time and decide nothing: the id; the letter case of the name (RFC 4343), which some
 * mix against forgers; and a client's cookie, ignored by a server that has none (RFC 7873 §5.2.1). A question is found by
 * its bytes without these, and gets its own id and name back: the name stands once in an answer, all else points to it.
 *
 * Records lie one behind the other in a piece of the arena, found by an open-addressing table of their offsets. When
 * either is full everything goes: whoever asks for what there is not must not keep what there is from being found.
 *
 * ```
 *  record: │hash (4)│key bytes (2)│answer bytes (2)│key│answer│
 *  key: the question, its id 0, its name in lower case, the cookie 0
 * ```
 */
import type { Arena } from "../base/index.js";

/** Padding makes a question longer, and maybe different each time. */
export const QUESTION_MAX_BYTES = 128;
const RECORDS_BYTES = 1 << 20;
const RECORDS_MAX = 4096;
/** At most half full, so that a search is short. */
const SLOTS = 2 * RECORDS_MAX;
const RECORD_HEADER_BYTES = 8;
const ID_BYTES = 2;
const DNS_HEADER_BYTES = 12;
const QR_AA = 0x8400;
const TYPE_CLASS_BYTES = 4;
/** RFC 6891 §6.1.2: root, type 41, and up to the length of the options. */
const OPT_BYTES = 11;
const OPT_TYPE = 41;
/** RFC 7873 §4.1: code 10, the length, and as much as a client has of it that no server has given one. */
const COOKIE_CODE = 10;
const COOKIE_BYTES = 8;
const COOKIE_OPTION_BYTES = 4 + COOKIE_BYTES;

export class DnsAnswers {
  /** Of the answer that `find` found last. */
  length = 0;
  private readonly arena: Arena;
  private readonly start: number;
  /** Where `makeKey` makes it. */
  private readonly key: number;
  private readonly slots: Int32Array = new Int32Array(SLOTS).fill(-1);
  private next: number;
  private count = 0;

  constructor(arena: Arena) {
    this.arena = arena;
    this.key = arena.reserve(QUESTION_MAX_BYTES);
    this.start = arena.reserve(RECORDS_BYTES);
    this.next = this.start;
  }

  /**
   * The arena offset of the answer to the question at [offset, offset + length), `this.length` bytes under that
   * question's id and with its letter case; −1 when there is none. Valid until the next call.
   */
  find(offset: number, length: number): number {
    const nameEnd = this.makeKey(offset, length);
    if (nameEnd === -1) return -1;
    const { u8, view } = this.arena;
    const record = this.slots[this.slotOf(length)] as number;
    if (record === -1) return -1;
    const answer = record + RECORD_HEADER_BYTES + length;
    this.length = view.getUint16(record + 6);
    u8[answer] = u8[offset] as number;
    u8[answer + 1] = u8[offset + 1] as number;
    u8.copyWithin(answer + DNS_HEADER_BYTES, offset + DNS_HEADER_BYTES, offset + nameEnd);
    return answer;
  }

  /** Keeps the answer at [answer, answer + answerLength) to the question at [offset, offset + length) if it is fit. */
  keep(offset: number, length: number, answer: number, answerLength: number): void {
    const { u8, view } = this.arena;
    const nameEnd = this.makeKey(offset, length);
    if (nameEnd === -1 || answerLength < nameEnd) return;
    if ((view.getUint16(answer + ID_BYTES) & QR_AA) !== QR_AA) return;
    const bytes = RECORD_HEADER_BYTES + length + answerLength;
    if (bytes > RECORDS_BYTES) return;
    if (this.count === RECORDS_MAX || this.next + bytes > this.start + RECORDS_BYTES) this.clear();
    const slot = this.slotOf(length);
    if (this.slots[slot] !== -1) return;
    const record = this.next;
    view.setInt32(record, hash(u8, this.key, length));
    view.setUint16(record + 4, length);
    view.setUint16(record + 6, answerLength);
    u8.copyWithin(record + RECORD_HEADER_BYTES, this.key, this.key + length);
    u8.copyWithin(record + RECORD_HEADER_BYTES + length, answer, answer + answerLength);
    this.slots[slot] = record;
    this.next += bytes;
    this.count++;
  }

  clear(): void {
    this.slots.fill(-1);
    this.next = this.start;
    this.count = 0;
  }

  /** Of the question at [offset, offset + length); returns where its name ends, −1 when it is none to be kept. */
  private makeKey(offset: number, length: number): number {
    const { arena, key } = this;
    const { u8, view } = arena;
    if (length < DNS_HEADER_BYTES || length > QUESTION_MAX_BYTES) return -1;
    u8.copyWithin(key, offset, offset + length);
    view.setUint16(key, 0);
    const end = key + length;
    let at = key + DNS_HEADER_BYTES;
    for (let label = -1; label !== 0; ) {
      if (at >= end) return -1;
      label = u8[at++] as number;
      if (at + label > end) return -1;
      for (const next = at + label; at < next; at++) u8[at] = lowerCase(u8[at] as number);
    }
    const record = at + TYPE_CLASS_BYTES;
    const option = record + OPT_BYTES;
    if (
      option + COOKIE_OPTION_BYTES === end &&
      view.getUint16(record + 1) === OPT_TYPE &&
      view.getUint16(option) === COOKIE_CODE &&
      view.getUint16(option + 2) === COOKIE_BYTES
    ) {
      u8.fill(0, end - COOKIE_BYTES, end);
    }
    return at - key;
  }

  /** Where the record of the question whose key was made last is, or would be. */
  private slotOf(length: number): number {
    const { key } = this;
    const { u8, view } = this.arena;
    const wanted = hash(u8, key, length);
    for (let slot = wanted & (SLOTS - 1); ; slot = (slot + 1) & (SLOTS - 1)) {
      const record = this.slots[slot] as number;
      if (record === -1) return slot;
      if (view.getInt32(record) !== wanted || view.getUint16(record + 4) !== length) continue;
      if (same(u8, record + RECORD_HEADER_BYTES, key, length)) return slot;
    }
  }
}

/** FNV-1a. */
function hash(u8: Uint8Array, offset: number, length: number): number {
  let sum = 0x811c9dc5 ^ length;
  for (let at = offset; at < offset + length; at++) {
    sum = Math.imul(sum ^ (u8[at] as number), 0x01000193);
  }
  return sum ^ (sum >>> 15);
}

function same(u8: Uint8Array, one: number, other: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (u8[one + i] !== u8[other + i]) return false;
  return true;
}

/** ASCII letters, and nothing else (RFC 4343 §3). */
function lowerCase(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
}
