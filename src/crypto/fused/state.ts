/** ChaCha20's state (RFC 8439 §2.3) at the beginning of the workspace, as each kind of vector reads it. */
import type { Arena } from "../../base/index.js";
import type { Vectors } from "../../machine/index.js";
import { CHACHA20_CONSTANTS } from "../aead.js";
import { BLOCKS } from "./workspace.js";

/** A register for each word of the state, eight blocks side by side. What the rounds read comes first. */
export const AVX2_STATE = {
  /** For vpshufb: how bytes move when each word is rotated by 16 and by 8 bits. */
  rotate16: 0,
  rotate8: 32,
  /** Two of the sixteen words' rows, of which fourteen and two spare ones fit the registers. */
  spill: 64,
  /** Word i of all eight blocks, for each i. Constants, key, counter, nonce. */
  words: 128,
  /** Counters of a packet's first eight blocks, and what is added to them for the next eight. */
  firstCounters: 640,
  eight: 672,
} as const;

/** Bytes of eight equal words. */
export const AVX2_WORD = 32;

/** A register for each row of the state, four blocks one behind the other. */
export const AVX512_STATE = {
  /** Three rows: constants and key. */
  rows: 0,
  /** For the first word of each block's last row: which block of the stride it is, and how many a stride has. */
  blocks: 64,
  eight: 192,
} as const;

export const AVX512_ROW = 16;

/** Both for the workspace at arena byte `workspace`. */
export interface StateLayout {
  /** What never changes. */
  prepare(arena: Arena, workspace: number): void;
  /** @param key eight words */
  loadKey(arena: Arena, workspace: number, key: Uint32Array): void;
}

function fillWord(arena: Arena, workspace: number, word: number, value: number): void {
  const first = (workspace + AVX2_STATE.words + AVX2_WORD * word) >> 2;
  arena.u32.fill(value, first, first + BLOCKS);
}

export const STATE_LAYOUTS: Readonly<Record<Vectors, StateLayout>> = {
  avx2: {
    prepare(arena, workspace) {
      const { u8, u32 } = arena;
      for (let byte = 0; byte < AVX2_WORD; byte++) {
        const word = byte & ~3;
        u8[workspace + AVX2_STATE.rotate16 + byte] = (word + ((byte + 2) & 3)) & 15;
        u8[workspace + AVX2_STATE.rotate8 + byte] = (word + ((byte + 3) & 3)) & 15;
      }
      for (const [word, value] of CHACHA20_CONSTANTS.entries()) fillWord(arena, workspace, word, value);
      for (let block = 0; block < BLOCKS; block++) {
        u32[((workspace + AVX2_STATE.firstCounters) >> 2) + block] = block;
        u32[((workspace + AVX2_STATE.eight) >> 2) + block] = BLOCKS;
      }
    },
    loadKey(arena, workspace, key) {
      for (let i = 0; i < key.length; i++) fillWord(arena, workspace, 4 + i, key[i] as number);
    },
  },

  avx512: {
    prepare({ u32 }, workspace) {
      u32.set(CHACHA20_CONSTANTS, (workspace + AVX512_STATE.rows) >> 2);
      for (let block = 0; block < BLOCKS; block++) {
        u32[(workspace + AVX512_STATE.blocks + AVX512_ROW * block) >> 2] = block;
      }
      for (let i = 0; i < 4; i++) u32[(workspace + AVX512_STATE.eight + AVX512_ROW * i) >> 2] = BLOCKS;
    },
    loadKey({ u32 }, workspace, key) {
      u32.set(key, (workspace + AVX512_STATE.rows + AVX512_ROW) >> 2);
    },
  },
};
