/**
 * Packets that wait to be sealed or opened, as calls of OpenSSL's ChaCha20 and Poly1305 and of memcpy.
 *
 * One ChaCha20 call does for both the one-time Poly1305 key (block 0) and the data (blocks 1…): it runs over 64 bytes
 * more than the data. A call of its own for block 0 would cost 110 ns. Poly1305 is to cover the ciphertext, zeros to
 * a multiple of 16, and the two lengths, in one call as well: a second one would cost 35 ns.
 *
 * ```
 *   offset − 64          offset              tag = offset + length     + 16           + 32
 *     │ zeros 32 │  32    │ data              │ zeros, lengths (≤ 31)   │              │
 *     └ block 0: the key  └ ciphertext        └ then what was there, or the tag       ┘
 * ```
 *
 * What the ends hold, parts of the neighbours in a batch, is put aside before and put back after. The tag must be right
 * before anybody believes the plaintext, so opening decrypts to a place of its own, where the plaintext stays.
 *
 * A slot's calls depend on where its packet lies and how long it is. In bulk the n-th packet of each batch lies where
 * that of the last one lay, and then only the counter is written.
 */
import koffi from "koffi";
import { type Arena, joinPieces } from "../base/index.js";
import { KEY_BYTES, SLOTS, writeNonce } from "./aead.js";
import { TAG_SPACE_BYTES, type Worker } from "./batch.js";
import { CallList, type Routine, routine } from "./call-list.js";
import type { CallRunner } from "./call-runner.js";

const TAIL_BYTES = 32;

const COUNTER_BYTES = 16;
/** RFC 8439 §2.8: of associated data and of ciphertext. */
const LENGTHS_BYTES = 16;

// The calls of a slot, in order.
const SAVE_HEAD = 0;
const CLEAR_HEAD = 1;
const CHACHA20 = 2;
const POLY_INIT = 3;
const RESTORE_HEAD = 4;
const SAVE_TAIL = 5;
const WRITE_TAIL = 6;
const POLY_UPDATE = 7;
const POLY_FINAL = 8;
const RESTORE_TAIL = 9;
const CALLS = 10;

interface Routines {
  /** (out, in, bytes, key, counter): the counter is block number and nonce, four words. */
  readonly chacha20: Routine;
  readonly polyInit: Routine;
  readonly polyUpdate: Routine;
  /** Wipes the context too. */
  readonly polyFinal: Routine;
  readonly copy: Routine;
  readonly fill: Routine;
  readonly contextBytes: number;
}

/** The packets of a batch as calls of OpenSSL's routines. */
export class PacketCalls implements Worker {
  /** Block 0. */
  readonly head: number = 64;
  /** The tag, and up to 15 bytes more. */
  readonly tail: number = TAIL_BYTES;
  private readonly arena: Arena;
  private readonly list: CallList;
  private readonly key: number;
  private readonly counters: number;
  private readonly tails: number;
  private readonly offsets: Int32Array = new Int32Array(SLOTS);
  private readonly lengths: Int32Array = new Int32Array(SLOTS);
  private readonly targets: Int32Array = new Int32Array(SLOTS);
  /** Slots that wait to be run. */
  private first = 0;
  private waiting = 0;

  /**
   * Throws when a routine is missing.
   * @param runner null: one foreign call for each routine
   * @param tags where opening puts tags; null to seal, where they go behind the packets
   */
  constructor(arena: Arena, runner: CallRunner | null, tags: number | null) {
    const { chacha20, polyInit, polyUpdate, polyFinal, copy, fill, contextBytes } = loadRoutines();
    this.arena = arena;
    this.key = arena.reserve(KEY_BYTES);
    this.counters = arena.reserve(SLOTS * COUNTER_BYTES);
    this.tails = arena.reserve(SLOTS * TAIL_BYTES);
    const saved = arena.reserve(SLOTS * TAIL_BYTES);
    const head = arena.reserve(this.head);
    const context = arena.reserve(contextBytes);
    const list = new CallList(arena, SLOTS * CALLS, runner);
    this.list = list;
    for (let slot = 0; slot < SLOTS; slot++) {
      const first = slot * CALLS;
      const savedTail = saved + slot * TAIL_BYTES;
      // Sealing puts the tag back together with what lies behind it.
      const tag = tags === null ? savedTail : tags + slot * TAG_SPACE_BYTES;
      list.lay(first + SAVE_HEAD, copy, [head], 0, this.head);
      list.lay(first + CLEAR_HEAD, fill, 0, 0, KEY_BYTES);
      list.lay(first + CHACHA20, chacha20, 0, 0, 0, [this.key], [this.counters + slot * COUNTER_BYTES]);
      list.lay(first + POLY_INIT, polyInit, [context], 0);
      list.lay(first + RESTORE_HEAD, copy, 0, [head], this.head);
      list.lay(first + SAVE_TAIL, copy, [savedTail], 0, TAIL_BYTES);
      list.lay(first + WRITE_TAIL, copy, 0, [this.tails + slot * TAIL_BYTES], TAIL_BYTES);
      list.lay(first + POLY_UPDATE, polyUpdate, [context], 0, 0);
      list.lay(first + POLY_FINAL, polyFinal, [context], [tag]);
      list.lay(first + RESTORE_TAIL, copy, 0, [savedTail], TAIL_BYTES);
    }
  }

  load(key: Uint32Array): void {
    this.arena.u32.set(key, this.key >> 2);
  }

  add(
    slot: number,
    count: number,
    offset: number,
    stride: number,
    target: number,
    targetStride: number,
    length: number,
    counter: number,
    rest: number,
    restStride: number,
  ): void {
    if (this.waiting === 0) this.first = slot;
    this.waiting += count;
    for (let i = 0; i < count; i++) {
      const at = offset + i * stride;
      joinPieces(this.arena, at, length, rest + i * restStride);
      this.place(slot + i, at, target + i * targetStride, length);
      writeNonce(this.arena.u32, ((this.counters + (slot + i) * COUNTER_BYTES) >> 2) + 1, counter + i);
    }
  }

  private place(slot: number, offset: number, target: number, length: number): void {
    if (this.offsets[slot] === offset && this.lengths[slot] === length && this.targets[slot] === target)
      return;
    const { list, arena, head } = this;
    const first = slot * CALLS;
    const [block, targetBlock] = [offset - head, target - head];
    const tag = offset + length;
    const pad = -length & 15;
    this.offsets[slot] = offset;
    this.lengths[slot] = length;
    this.targets[slot] = target;
    list.setAddress(first + SAVE_HEAD, 1, block);
    list.setAddress(first + CLEAR_HEAD, 0, block);
    list.setAddress(first + CHACHA20, 0, targetBlock);
    list.setAddress(first + CHACHA20, 1, block);
    list.setNumber(first + CHACHA20, 2, head + length);
    list.setAddress(first + POLY_INIT, 1, targetBlock);
    list.setAddress(first + RESTORE_HEAD, 0, block);
    list.setAddress(first + SAVE_TAIL, 1, tag);
    list.setAddress(first + WRITE_TAIL, 0, tag);
    list.setAddress(first + POLY_UPDATE, 1, offset);
    list.setNumber(first + POLY_UPDATE, 2, length + pad + LENGTHS_BYTES);
    list.setAddress(first + RESTORE_TAIL, 0, tag);
    const tail = this.tails + slot * TAIL_BYTES;
    for (let i = 0; i < TAIL_BYTES; i += 4) arena.u32[(tail + i) >> 2] = 0;
    arena.view.setUint32(tail + pad + LENGTHS_BYTES / 2, length, true);
  }

  run(): boolean {
    if (this.waiting === 0) return true;
    this.list.run(this.first * CALLS, this.waiting * CALLS);
    this.waiting = 0;
    return false;
  }

  forget(): void {
    this.arena.u8.fill(0, this.key, this.key + KEY_BYTES);
  }
}

/** Throws when one is missing. */
function loadRoutines(): Routines {
  return {
    chacha20: routine("ChaCha20_ctr32"),
    polyInit: routine("Poly1305_Init"),
    polyUpdate: routine("Poly1305_Update"),
    polyFinal: routine("Poly1305_Final"),
    copy: routine("memcpy"),
    fill: routine("memset"),
    contextBytes: Number(koffi.load(null).func("Poly1305_ctx_size", "size_t", [])()),
  };
}
