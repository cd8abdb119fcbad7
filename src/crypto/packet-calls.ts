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
import type { Arena } from "../base/index.js";
import { tagDifference, writeNonce } from "./aead.js";
import type { Opens, Seals } from "./batched-aead.js";
import { CallList, type Routine, routine } from "./call-list.js";
import type { CallRunner } from "./call-runner.js";
import { OpenedPlaces } from "./opened-places.js";

/** Before a packet: block 0. */
export const HEAD_BYTES = 64;
/** Behind a packet: the tag, and up to 15 bytes more. */
export const TAIL_BYTES = 32;

/** As many datagrams as one system call takes or gives. */
const SLOTS = 64;
const KEY_BYTES = 32;
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

/** What sealing and opening have in common: slots of one key. */
class PacketCalls {
  protected readonly arena: Arena;
  /** In the current batch, and how many of them were carried out. */
  private count = 0;
  private carriedOut = 0;
  private readonly list: CallList;
  private readonly key: number;
  private readonly counters: number;
  private readonly tails: number;
  /** The key that is in the arena. */
  private loaded: Uint32Array | null = null;
  private readonly offsets: Int32Array = new Int32Array(SLOTS);
  private readonly lengths: Int32Array = new Int32Array(SLOTS);
  private readonly outs: Int32Array = new Int32Array(SLOTS);

  /**
   * @param saved by slot, 32 bytes: what was where the tail is written
   * @param macs by slot, one every 32 bytes: where the tag goes
   */
  protected constructor(arena: Arena, runner: CallRunner | null, saved: number, macs: number) {
    const { chacha20, polyInit, polyUpdate, polyFinal, copy, fill, contextBytes } = loadRoutines();
    this.arena = arena;
    this.key = arena.reserve(KEY_BYTES);
    this.counters = arena.reserve(SLOTS * COUNTER_BYTES);
    this.tails = arena.reserve(SLOTS * TAIL_BYTES);
    const head = arena.reserve(HEAD_BYTES);
    const context = arena.reserve(contextBytes);
    const list = new CallList(arena, SLOTS * CALLS, runner);
    this.list = list;
    for (let slot = 0; slot < SLOTS; slot++) {
      const first = slot * CALLS;
      const savedTail = saved + slot * TAIL_BYTES;
      list.lay(first + SAVE_HEAD, copy, [head], 0, HEAD_BYTES);
      list.lay(first + CLEAR_HEAD, fill, 0, 0, KEY_BYTES);
      list.lay(first + CHACHA20, chacha20, 0, 0, 0, [this.key], [this.counters + slot * COUNTER_BYTES]);
      list.lay(first + POLY_INIT, polyInit, [context], 0);
      list.lay(first + RESTORE_HEAD, copy, 0, [head], HEAD_BYTES);
      list.lay(first + SAVE_TAIL, copy, [savedTail], 0, TAIL_BYTES);
      list.lay(first + WRITE_TAIL, copy, 0, [this.tails + slot * TAIL_BYTES], TAIL_BYTES);
      list.lay(first + POLY_UPDATE, polyUpdate, [context], 0, 0);
      list.lay(first + POLY_FINAL, polyFinal, [context], [macs + slot * TAIL_BYTES]);
      list.lay(first + RESTORE_TAIL, copy, 0, [savedTail], TAIL_BYTES);
    }
  }

  protected get isFull(): boolean {
    return this.count === SLOTS;
  }

  protected restart(): void {
    this.count = 0;
    this.carriedOut = 0;
  }

  /** @param out where block 0 and the data go to: 64 bytes more than the data */
  protected add(key: Uint32Array, offset: number, length: number, out: number, counter: number): void {
    if (this.loaded !== key) this.load(key);
    const slot = this.count++;
    if (this.offsets[slot] !== offset || this.lengths[slot] !== length || this.outs[slot] !== out) {
      this.place(slot, offset, length, out);
    }
    writeNonce(this.arena.u32, ((this.counters + slot * COUNTER_BYTES) >> 2) + 1, counter);
  }

  private load(key: Uint32Array): void {
    this.carryOut();
    this.arena.u32.set(key, this.key >> 2);
    this.loaded = key;
  }

  private place(slot: number, offset: number, length: number, out: number): void {
    const { list, arena } = this;
    const first = slot * CALLS;
    const block = offset - HEAD_BYTES;
    const tag = offset + length;
    const pad = -length & 15;
    this.offsets[slot] = offset;
    this.lengths[slot] = length;
    this.outs[slot] = out;
    list.setAddress(first + SAVE_HEAD, 1, block);
    list.setAddress(first + CLEAR_HEAD, 0, block);
    list.setAddress(first + CHACHA20, 0, out);
    list.setAddress(first + CHACHA20, 1, block);
    list.setNumber(first + CHACHA20, 2, HEAD_BYTES + length);
    list.setAddress(first + POLY_INIT, 1, out);
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

  protected carryOut(): void {
    const { count, carriedOut } = this;
    if (count === carriedOut) return;
    this.list.run(carriedOut * CALLS, (count - carriedOut) * CALLS);
    this.carriedOut = count;
  }

  /** Carries out what waits, and removes what is left of keys. */
  wipe(): void {
    this.carryOut();
    this.loaded = null;
    this.arena.u8.fill(0, this.key, this.key + KEY_BYTES);
  }
}

export class SealCalls extends PacketCalls implements Seals {
  constructor(arena: Arena, runner: CallRunner | null) {
    // The tag is put back together with what lies behind it.
    const saved = arena.reserve(SLOTS * TAIL_BYTES);
    super(arena, runner, saved, saved);
  }

  seal(key: Uint32Array, offset: number, length: number, counter: number): void {
    if (this.isFull) this.run();
    this.add(key, offset, length, offset - HEAD_BYTES, counter);
  }

  run(): void {
    this.carryOut();
    this.restart();
  }
}

export class OpenCalls extends PacketCalls implements Opens {
  private readonly saved: number;
  private readonly macs: number;
  /** Of each packet block 0, then the data. */
  private readonly places: OpenedPlaces;

  constructor(arena: Arena, runner: CallRunner | null) {
    const saved = arena.reserve(SLOTS * TAIL_BYTES);
    const macs = arena.reserve(SLOTS * TAIL_BYTES);
    super(arena, runner, saved, macs);
    this.saved = saved;
    this.macs = macs;
    this.places = new OpenedPlaces(arena, SLOTS);
  }

  open(key: Uint32Array, offset: number, length: number, counter: number): number {
    if (this.places.begins) this.restart();
    const place = this.places.take(HEAD_BYTES + length);
    if (place === -1) return -1;
    this.add(key, offset, length, place, counter);
    return this.places.last;
  }

  run(): void {
    this.carryOut();
    this.places.close();
  }

  override wipe(): void {
    super.wipe();
    const { u8 } = this.arena;
    for (let ticket = 0; ticket <= this.places.last; ticket++) {
      const place = this.places.at(ticket);
      u8.fill(0, place, place + HEAD_BYTES);
    }
    this.places.wipe();
  }

  result(ticket: number): number {
    const { arena, macs, saved, places } = this;
    const different = tagDifference(arena, macs + TAIL_BYTES * ticket, saved + TAIL_BYTES * ticket);
    return different ? -1 : places.at(ticket) + HEAD_BYTES;
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
