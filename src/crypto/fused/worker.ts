/** The packets of a batch as the fused kernel's list, and its workspace, in the arena. */
import koffi from "koffi";
import type { Arena } from "../../base/index.js";
import { KEY_BYTES, TAG_BYTES } from "../aead.js";
import { SLOTS, TAG_SPACE_BYTES, type Worker } from "../batch.js";
import { addCode, type NativeFunction } from "../machine-code.js";
import { fusedCode } from "./kernel.js";
import { BIAS, BLOCKS, PACKET, PACKET_BYTES, ROW, STRIDE_BYTES, WORKSPACE } from "./workspace.js";

/** "expand 32-byte k" (RFC 8439 §2.3). */
const CONSTANTS = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574];
/** RFC 8439 §2.5. */
const CLAMP = [0x0fffffff, 0x0ffffffc, 0x0ffffffc, 0x0ffffffc];
const ROW_WORDS: number = ROW / 4;
const KEY_ROW = 4;
/** The nonce's first word: WireGuard's begin with 32 zero bits (paper §5.4.6). */
const ZERO_ROW = 13;

let kernel: NativeFunction<void> | null = null;

/** (workspace + BIAS, list, packets): two addresses, and at least one packet. Throws where no code may be added. */
function loadKernel(): NativeFunction<void> {
  kernel ??= addCode(fusedCode(), 3, "void");
  return kernel;
}

export class FusedWorker implements Worker {
  readonly head: number = 0;
  /** The tag. Until it is written, up to 15 bytes of it are overwritten with others. */
  readonly tail: number = TAG_BYTES;
  private readonly arena: Arena;
  private readonly kernel: NativeFunction<void>;
  private readonly base: number;
  private readonly workspace: number;
  private readonly list: number;
  private readonly tags: number | null;

  /**
   * Throws where no code may be added to the process. The processor must be one that `lookAtProcessor` calls fit.
   * @param tags where opening puts tags; null to seal, where they go behind the packets
   */
  constructor(arena: Arena, tags: number | null) {
    this.arena = arena;
    this.kernel = loadKernel();
    this.base = Number(koffi.address(arena.u8));
    this.workspace = arena.reserve(WORKSPACE.bytes);
    this.list = arena.reserve(SLOTS * PACKET_BYTES);
    this.tags = tags;
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
    this.fillRow(ZERO_ROW, 0);
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

  load(key: Uint32Array): void {
    for (let i = 0; i < KEY_BYTES / 4; i++) this.fillRow(KEY_ROW + i, key[i] as number);
  }

  add(slot: number, offset: number, target: number, length: number, counter: number, rest: number): void {
    const { u32 } = this.arena;
    const first = (this.list + PACKET_BYTES * slot) >> 2;
    const { tags } = this;
    u32[first + PACKET.source] = offset;
    u32[first + PACKET.rest] = rest;
    u32[first + PACKET.target] = target;
    u32[first + PACKET.ciphertext] = tags === null ? target : offset;
    u32[first + PACKET.length] = length;
    u32[first + PACKET.counterLow] = counter;
    u32[first + PACKET.counterHigh] = counter / 0x1_0000_0000;
    u32[first + PACKET.tag] = tags === null ? offset + length : tags + TAG_SPACE_BYTES * slot;
  }

  run(first: number, count: number): void {
    const { base, workspace, list } = this;
    this.kernel(base + workspace + BIAS, base + list + PACKET_BYTES * first, count);
  }

  forget(): void {
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
