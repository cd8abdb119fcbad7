/** Packets that wait to be sealed or opened by the fused kernel: its list and its workspace in the arena. */
import koffi from "koffi";
import type { Arena } from "../../base/index.js";
import { KEY_BYTES, TAG_BYTES, tagDifference } from "../aead.js";
import type { Opens, Seals } from "../batched-aead.js";
import type { NativeFunction } from "../machine-code.js";
import { OpenedPlaces } from "../opened-places.js";
import { BIAS, BLOCKS, PACKET, PACKET_BYTES, ROW, STRIDE_BYTES, WORKSPACE } from "./workspace.js";

/** As many datagrams as one system call takes or gives. */
const SLOTS = 64;
/** "expand 32-byte k" (RFC 8439 §2.3). */
const CONSTANTS = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574];
/** RFC 8439 §2.5. */
const CLAMP = [0x0fffffff, 0x0ffffffc, 0x0ffffffc, 0x0ffffffc];
const ROW_WORDS: number = ROW / 4;
const KEY_ROW = 4;

/** (workspace + BIAS, list, packets): addresses, and at least one packet. */
export type FusedKernel = NativeFunction<void>;

/** What sealing and opening have in common. */
class FusedPackets {
  protected readonly arena: Arena;
  private readonly kernel: FusedKernel;
  private readonly base: number;
  private readonly workspace: number;
  private readonly list: number;
  /** The key that is in the workspace. */
  private loaded: Uint32Array | null = null;
  /** In the list, and how many of them were carried out. */
  private count = 0;
  private carriedOut = 0;

  protected constructor(arena: Arena, kernel: FusedKernel) {
    this.arena = arena;
    this.kernel = kernel;
    this.base = Number(koffi.address(arena.u8));
    this.workspace = arena.reserve(WORKSPACE.bytes);
    this.list = arena.reserve(SLOTS * PACKET_BYTES);
    this.prepare();
  }

  private prepare(): void {
    const { view } = this.arena;
    const at = (place: number): number => this.workspace + place;
    for (let byte = 0; byte < ROW; byte++) {
      const word = byte & ~3;
      view.setUint8(at(WORKSPACE.rotate16 + byte), (word + ((byte + 2) & 3)) & 15);
      view.setUint8(at(WORKSPACE.rotate8 + byte), (word + ((byte + 3) & 3)) & 15);
    }
    for (const [word, value] of CONSTANTS.entries()) this.fillRow(word, value);
    for (let block = 0; block < BLOCKS; block++) {
      view.setUint32(at(WORKSPACE.firstCounters + 4 * block), block, true);
      view.setUint32(at(WORKSPACE.eight + 4 * block), BLOCKS, true);
    }
    for (const [i, word] of CLAMP.entries()) view.setUint32(at(WORKSPACE.clamp + 4 * i), word, true);
    view.setBigUint64(at(WORKSPACE.arena), BigInt(this.base), true);
  }

  private fillRow(word: number, value: number): void {
    const first = (this.workspace + WORKSPACE.state + ROW * word) >> 2;
    this.arena.u32.fill(value, first, first + ROW_WORDS);
  }

  protected get isFull(): boolean {
    return this.count === SLOTS;
  }

  /**
   * Arena offsets and bytes, checked before.
   * @param target up to 15 bytes behind the data are overwritten too, before the tag is written
   */
  protected add(
    key: Uint32Array,
    source: number,
    target: number,
    ciphertext: number,
    length: number,
    counter: number,
    tag: number,
  ): void {
    if (this.loaded !== key) this.load(key);
    const { u32 } = this.arena;
    const first = (this.list + PACKET_BYTES * this.count++) >> 2;
    u32[first + PACKET.source] = source;
    u32[first + PACKET.target] = target;
    u32[first + PACKET.ciphertext] = ciphertext;
    u32[first + PACKET.length] = length;
    u32[first + PACKET.counterLow] = counter;
    u32[first + PACKET.counterHigh] = counter / 0x1_0000_0000;
    u32[first + PACKET.tag] = tag;
  }

  private load(key: Uint32Array): void {
    this.carryOut();
    for (let i = 0; i < KEY_BYTES / 4; i++) this.fillRow(KEY_ROW + i, key[i] as number);
    this.loaded = key;
  }

  protected carryOut(): void {
    const { base, count, carriedOut } = this;
    if (count === carriedOut) return;
    this.kernel(
      base + this.workspace + BIAS,
      base + this.list + PACKET_BYTES * carriedOut,
      count - carriedOut,
    );
    this.carriedOut = count;
  }

  protected restart(): void {
    this.count = 0;
    this.carriedOut = 0;
  }

  /** Carries out what waits, and removes what is left of keys. */
  wipe(): void {
    this.carryOut();
    this.loaded = null;
    const { u8 } = this.arena;
    const clean = (place: number, bytes: number): void => {
      u8.fill(0, this.workspace + place, this.workspace + place + bytes);
    };
    clean(WORKSPACE.spill, 2 * ROW);
    clean(WORKSPACE.state + ROW * KEY_ROW, KEY_BYTES * BLOCKS);
    clean(WORKSPACE.keystream, STRIDE_BYTES);
    clean(WORKSPACE.s, WORKSPACE.arena - WORKSPACE.s);
  }
}

export class FusedSeals extends FusedPackets implements Seals {
  constructor(arena: Arena, kernel: FusedKernel) {
    super(arena, kernel);
  }

  seal(key: Uint32Array, offset: number, length: number, counter: number): void {
    if (this.isFull) this.run();
    this.add(key, offset, offset, offset, length, counter, offset + length);
  }

  run(): void {
    this.carryOut();
    this.restart();
  }
}

export class FusedOpens extends FusedPackets implements Opens {
  private readonly tags: number;
  private readonly places: OpenedPlaces;
  /** Where in the arena the tag that came with a packet is, by ticket. */
  private readonly expected: Int32Array = new Int32Array(SLOTS);

  constructor(arena: Arena, kernel: FusedKernel) {
    super(arena, kernel);
    this.tags = arena.reserve(SLOTS * TAG_BYTES);
    this.places = new OpenedPlaces(arena, SLOTS);
  }

  open(key: Uint32Array, offset: number, length: number, counter: number): number {
    if (this.places.begins) this.restart();
    const place = this.places.take(length + TAG_BYTES);
    if (place === -1) return -1;
    const ticket = this.places.last;
    this.expected[ticket] = offset + length;
    this.add(key, offset, place, offset, length, counter, this.tags + TAG_BYTES * ticket);
    return ticket;
  }

  run(): void {
    this.carryOut();
    this.places.close();
  }

  override wipe(): void {
    super.wipe();
    this.places.wipe();
  }

  result(ticket: number): number {
    const { arena, tags, expected } = this;
    const different = tagDifference(arena, tags + TAG_BYTES * ticket, expected[ticket] as number);
    return different ? -1 : this.places.at(ticket);
  }
}
