/** Where the fused kernel has what: its workspace, the packets of its list, and the registers that last. */
import { at, type Memory, R8, R9, R10, R11, R12, R13, R14, R15, RBP, type Register } from "./x64.js";

/** Bytes of eight equal words. */
export const ROW = 32;
export const BLOCKS = 8;
export const BLOCK_BYTES = 64;
export const STRIDE_BYTES: number = BLOCKS * BLOCK_BYTES;

/** Where in the workspace things are, in bytes. What ChaCha20's rounds read comes first, within reach of a one-byte offset. */
export const WORKSPACE = {
  /** For vpshufb: how bytes move when each word is rotated by 16 and by 8 bits. */
  rotate16: 0,
  rotate8: 32,
  /** Two of the sixteen state rows, of which fourteen and two spare ones fit the registers. */
  spill: 64,
  /** ChaCha20's state before its rounds: word i of all eight blocks, for each i. Constants, key, counter, nonce. */
  state: 128,
  /** Counters of a packet's first eight blocks, and what is added to them for the next eight. */
  firstCounters: 640,
  eight: 672,
  keystream: 704,
  /** RFC 8439 §2.5: the bits of r that count. */
  clamp: 1216,
  /** From here on numbers of 64 bits: s of the key, r1 + r1/4, address of the arena. */
  s: 1232,
  r1AndQuarter: 1248,
  arena: 1256,
  // Of the packet at hand: where its tag goes (0: there was none yet), bytes in all and not yet encrypted, from and to
  // where; end of the list; double rounds to go.
  tag: 1264,
  length: 1272,
  left: 1280,
  source: 1288,
  target: 1296,
  end: 1304,
  rounds: 1312,
  bytes: 1344,
} as const;

/** What is added to the workspace's address when the code is called. */
export const BIAS = 128;

/** A packet of the list, in words of 32 bits; places are bytes from the arena's beginning. */
export const PACKET = {
  source: 0,
  /** The same where packets are sealed. */
  target: 1,
  length: 2,
  counterLow: 3,
  counterHigh: 4,
  tag: 5,
  /** Where the second piece is taken from. */
  rest: 6,
  /** The target where packets are sealed, else the source. */
  ciphertext: 7,
  words: 8,
} as const;

export const PACKET_BYTES: number = 4 * PACKET.words;

/** Poly1305's accumulator in radix 2^64. */
export const H0: Register = R8;
export const H1: Register = R9;
export const H2: Register = R10;
/** Its r. */
export const R_LOW: Register = R11;
export const R_HIGH: Register = R12;
/** What is to be taken in next, and how many bytes of it wait. */
export const NEXT: Register = R13;
export const WAITING: Register = R15;
/** The packet at hand. */
export const LIST: Register = R14;

export const work = (place: number): Memory => at(RBP, place - BIAS);
export const stateRow = (word: number): Memory => work(WORKSPACE.state + ROW * word);
export const spillRow = (i: 0 | 1): Memory => work(WORKSPACE.spill + ROW * i);
export const field = (name: Exclude<keyof typeof PACKET, "words">): Memory => at(LIST, 4 * PACKET[name]);
