/**
 * Encodes instructions of AVX-512 (F and BW), in Intel's order: vectors of 512 bits, 32 of them.
 *
 * Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2 §2.7: EVEX prefixes, displacements that
 * count vectors, masks. A test holds each encoder to the GNU assembler.
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

const VECTOR_BYTES = 64;
/** The prefix's bits for vectors of 512 bits. */
const LENGTH_512 = 0x40;

interface Evex {
  map?: number;
  prefix?: number;
  opcode: number;
  /** Of a mask register, 0 for none; `zero`: what it leaves out becomes zero. */
  mask?: number;
  zero?: boolean;
  /** Bytes that a displacement counts, where they are not a vector's. */
  unit?: number;
}

/** @param second the operand between destination and last: 0 where there is none */
function evex(code: Evex, reg: number, second: number, last: Operand): Instruction {
  const { map = MAP_0F, prefix = P_66, opcode, mask = 0, zero = false, unit = VECTOR_BYTES } = code;
  const upper = high(last);
  const bit = (value: number, place: number): number => (value & 1) << place;
  return [
    0x62,
    // The registers' upper bits, all inverted: those of the operand are two where it is a register.
    bit(~reg >> 3, 7) | bit(~upper >> 1, 6) | bit(~upper, 5) | bit(~reg >> 4, 4) | map,
    ((~second & 15) << 3) | 4 | prefix,
    (zero ? 0x80 : 0) | LENGTH_512 | bit(~second >> 4, 3) | mask,
    opcode,
    ...modrm(reg, last, unit),
  ];
}

type Vector = (to: Register, first: Register, last: Operand) => Instruction;

const vector =
  (opcode: number): Vector =>
  (to, first, last) =>
    evex({ opcode }, to, first, last);

export const vpaddd: Vector = vector(0xfe);
export const vpxord: Vector = vector(0xef);

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
