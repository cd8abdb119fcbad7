/**
 * Encodes instructions of AVX-512 (F and BW), in Intel's order: vectors of 512 bits, 32 of them.
 *
 * Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2 §2.7: EVEX prefixes, displacements that
 * count vectors, broadcast operands, masks. A test holds each encoder to the GNU assembler.
 */
import {
  high,
  type Instruction,
  MAP_0F,
  MAP_0F3A,
  MAP_0F38,
  type Memory,
  modrm,
  type Operand,
  P_66,
  P_F2,
  P_F3,
  type Register,
} from "./x64.js";

/** The 32-bit word there, in each word of a vector. */
export interface Broadcast {
  readonly each: Memory;
}

export const each = (memory: Memory): Broadcast => ({ each: memory });

const VECTOR_BYTES = 64;
const WORD_BYTES = 4;
/** The prefix's bits for vectors of 512 bits. */
const LENGTH_512 = 0x40;

interface Evex {
  map?: number;
  prefix?: number;
  wide?: boolean;
  opcode: number;
  /** Of a mask register, 0 for none; `zero`: what it leaves out becomes zero. */
  mask?: number;
  zero?: boolean;
  /** Bytes that a displacement counts, where they are not a vector's or a broadcast word's. */
  unit?: number;
}

/** @param second the operand between destination and last: 0 where there is none */
function evex(code: Evex, reg: number, second: number, last: Operand | Broadcast): Instruction {
  const { map = MAP_0F, prefix = P_66, wide = false, opcode, mask = 0, zero = false, unit } = code;
  const broadcast = typeof last === "object" && "each" in last;
  const operand = broadcast ? last.each : last;
  const upper = high(operand);
  const bit = (value: number, place: number): number => (value & 1) << place;
  return [
    0x62,
    // The registers' upper bits, all inverted: those of the operand are two where it is a register.
    bit(~reg >> 3, 7) | bit(~upper >> 1, 6) | bit(~upper, 5) | bit(~reg >> 4, 4) | map,
    bit(wide ? 1 : 0, 7) | ((~second & 15) << 3) | 4 | prefix,
    (zero ? 0x80 : 0) | LENGTH_512 | (broadcast ? 0x10 : 0) | bit(~second >> 4, 3) | mask,
    opcode,
    ...modrm(reg, operand, unit ?? (broadcast ? WORD_BYTES : VECTOR_BYTES)),
  ];
}

type Vector = (to: Register, first: Register, last: Operand | Broadcast) => Instruction;

const vector =
  (opcode: number, wide = false): Vector =>
  (to, first, last) =>
    evex({ opcode, wide }, to, first, last);

export const vpaddd: Vector = vector(0xfe);
export const vpxord: Vector = vector(0xef);
export const vpunpckldq: Vector = vector(0x62);
export const vpunpckhdq: Vector = vector(0x6a);
export const vpunpcklqdq: Vector = vector(0x6c, true);
export const vpunpckhqdq: Vector = vector(0x6d, true);

/** Rotates each word to the left, in place. */
export const vprold = (register: Register, by: number): Instruction => [
  ...evex({ opcode: 0x72 }, 1, register, register),
  by,
];

/** In each quarter: word i of the result is the one that bits 2 i and 2 i + 1 of `control` name. */
export const vpshufd = (to: Register, from: Register, control: number): Instruction => [
  ...evex({ opcode: 0x70 }, to, 0, from),
  control,
];

/** Quarters: the result's lower two are some of `first`, its upper two of `last`, as `control` names them. */
export const vshufi32x4 = (to: Register, first: Register, last: Register, control: number): Instruction => [
  ...evex({ map: MAP_0F3A, opcode: 0x43 }, to, first, last),
  control,
];

/** One word, in all words. */
export const vpbroadcastd = (to: Register, from: Memory): Instruction =>
  evex({ map: MAP_0F38, opcode: 0x58, unit: WORD_BYTES }, to, 0, from);
/** 128 bits, in all quarters. */
export const vbroadcasti32x4 = (to: Register, from: Memory): Instruction =>
  evex({ map: MAP_0F38, opcode: 0x5a, unit: VECTOR_BYTES / 4 }, to, 0, from);

export const vmovdqu32 = (to: Register, from: Operand): Instruction =>
  evex({ prefix: P_F3, opcode: 0x6f }, to, 0, from);
export const vmovdqu32Store = (to: Memory, from: Register): Instruction =>
  evex({ prefix: P_F3, opcode: 0x7f }, from, 0, to);

/** Bytes, of which only those in mask 1 are read or written; the others are zero. */
export const vmovdqu8Masked = (to: Register, from: Memory): Instruction =>
  evex({ prefix: P_F2, opcode: 0x6f, mask: 1, zero: true }, to, 0, from);
export const vmovdqu8MaskedStore = (to: Memory, from: Register): Instruction =>
  evex({ prefix: P_F2, opcode: 0x7f, mask: 1 }, from, 0, to);

/** Mask 1 is RAX. */
export const kmovqFromRax: Instruction = [0xc4, 0xe1, 0xfb, 0x92, 0xc8];
