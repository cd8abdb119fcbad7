/** Where the fused kernel has what: its workspace, the packets of its list, and the registers that last. */
import {
  add,
  at,
  type Instruction,
  type Memory,
  movLow,
  R8,
  R9,
  R10,
  R11,
  R12,
  R13,
  R14,
  R15,
  RBP,
  type Register,
} from "../../machine/index.js";

export const BLOCKS = 8;
export const BLOCK_BYTES = 64;
export const STRIDE_BYTES: number = BLOCKS * BLOCK_BYTES;

/** Where in the workspace things are, in bytes. */
export const WORKSPACE = {
  /** ChaCha20's: see `state.ts`. Its beginning is within reach of a one-byte offset. */
  state: 0,
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
  /** What lies behind the packet's ciphertext. */
  received: 1320,
  /** All bits in which tags, as they were made, differ from those: of all packets since it was zero. 64 bits. */
  differences: 1328,
  bytes: 1344,
} as const;

/** What is added to the workspace's address when the code is called. */
export const BIAS = 128;

/**
 * Packets of one length, an entry of the list, in words of 32 bits, of which those without a name stay zero. Places are bytes from
 * the arena's beginning, of the first packet; the code moves them on to the next, in pairs, by the strides.
 */
export const PACKET = {
  /** The state's last row: block 0, and the nonce, of which the first word is 0 (WireGuard's paper §5.4.6). */
  nonce: 0,
  counterLow: 2,
  counterHigh: 3,
  /** And of the ciphertext: packets are sealed in place. */
  source: 4,
  /** The same where packets are sealed. */
  target: 5,
  tag: 6,
  /** Where the second piece is taken from. */
  rest: 7,
  length: 8,
  /** Of packets, 64 bits. */
  count: 10,
  stride: 12,
  targetStride: 13,
  tagStride: 14,
  restStride: 15,
  /** A power of two. */
  words: 16,
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
export const field = (name: Exclude<keyof typeof PACKET, "words">): Memory => at(LIST, 4 * PACKET[name]);

/** Where in memory something of the packet at LIST is. */
export const address = (register: Register, name: "source" | "target" | "tag" | "rest"): Instruction[] => [
  movLow(register, field(name)),
  add(register, work(WORKSPACE.arena)),
];
