/**
 * Answers that the DNS responder has given, to be given again. An answer depends on the zone and on every byte of
 * the question but its id, so it stands for the same bytes until there is another zone: letter case, flags and EDNS
 * are part of the question and need no thought here, and the time to live is the one that our own zone gives to
 * whoever asks now. Kept is what our zone says (AA), and nothing else.
 *
 * Records lie one behind the other in a piece of the arena, found by an open-addressing table of their offsets. When
 * either is full everything goes: whoever asks for what there is not must not keep what there is from being found.
 *
 * ```
 *  record: │hash (4)│question bytes (2)│answer bytes (2)│question│answer│
 * ```
 */
import type { Arena } from "../base/index.js";

/** Cookies and padding make a question longer, and different each time. */
export const QUESTION_MAX_BYTES = 128;
const RECORDS_BYTES = 1 << 20;
const RECORDS_MAX = 4096;
/** At most half full, so that a search is short. */
const SLOTS = 2 * RECORDS_MAX;
const RECORD_HEADER_BYTES = 8;
const ID_BYTES = 2;
const DNS_HEADER_BYTES = 12;
const QR_AA = 0x8400;

export class DnsAnswers {
  /** Of the answer that `find` found last. */
  length = 0;
  private readonly arena: Arena;
  private readonly start: number;
  private readonly slots: Int32Array = new Int32Array(SLOTS).fill(-1);
  private next: number;
  private count = 0;

  constructor(arena: Arena) {
    this.arena = arena;
    this.start = arena.reserve(RECORDS_BYTES);
    this.next = this.start;
  }

  /**
   * The arena offset of the answer to the question at [offset, offset + length), `this.length` bytes under that
   * question's id; −1 when there is none. Valid until the next call.
   */
  find(offset: number, length: number): number {
    if (length < DNS_HEADER_BYTES || length > QUESTION_MAX_BYTES) return -1;
    const { u8, view } = this.arena;
    const record = this.slots[this.slotOf(offset, length)] as number;
    if (record === -1) return -1;
    const answer = record + RECORD_HEADER_BYTES + length;
    this.length = view.getUint16(record + 6);
    u8[answer] = u8[offset] as number;
    u8[answer + 1] = u8[offset + 1] as number;
    return answer;
  }

  /** Keeps the answer at [answer, answer + answerLength) to the question at [offset, offset + length) if it is fit. */
  keep(offset: number, length: number, answer: number, answerLength: number): void {
    const { u8, view } = this.arena;
    if (length < DNS_HEADER_BYTES || length > QUESTION_MAX_BYTES || answerLength < DNS_HEADER_BYTES) return;
    if ((view.getUint16(answer + ID_BYTES) & QR_AA) !== QR_AA) return;
    const bytes = RECORD_HEADER_BYTES + length + answerLength;
    if (bytes > RECORDS_BYTES) return;
    if (this.count === RECORDS_MAX || this.next + bytes > this.start + RECORDS_BYTES) this.clear();
    const slot = this.slotOf(offset, length);
    if (this.slots[slot] !== -1) return;
    const record = this.next;
    view.setInt32(record, hash(u8, offset, length));
    view.setUint16(record + 4, length);
    view.setUint16(record + 6, answerLength);
    u8.copyWithin(record + RECORD_HEADER_BYTES, offset, offset + length);
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

  /** Where the question's record is, or would be. */
  private slotOf(offset: number, length: number): number {
    const { u8, view } = this.arena;
    const wanted = hash(u8, offset, length);
    for (let slot = wanted & (SLOTS - 1); ; slot = (slot + 1) & (SLOTS - 1)) {
      const record = this.slots[slot] as number;
      if (record === -1) return slot;
      if (view.getInt32(record) !== wanted || view.getUint16(record + 4) !== length) continue;
      if (same(u8, record + RECORD_HEADER_BYTES, offset, length)) return slot;
    }
  }
}

/** FNV-1a over all but the id. */
function hash(u8: Uint8Array, offset: number, length: number): number {
  let sum = 0x811c9dc5 ^ length;
  for (let at = offset + ID_BYTES; at < offset + length; at++) {
    sum = Math.imul(sum ^ (u8[at] as number), 0x01000193);
  }
  return sum ^ (sum >>> 15);
}

/** Whether two questions are one but for their ids. */
function same(u8: Uint8Array, one: number, other: number, length: number): boolean {
  for (let i = ID_BYTES; i < length; i++) if (u8[one + i] !== u8[other + i]) return false;
  return true;
}
