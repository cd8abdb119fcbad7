/**
 * Encodes the x86-64 instructions that our code is made of: integers, BMI2 and AVX2,
 * operands in Intel's order (destination first), 64-bit unless a name says otherwise. What is not used is not there.
 *
 * Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2: REX prefixes §2.2.1, ModR/M and SIB §2.1.5, VEX
 * §2.3.5. A test holds each encoder to the GNU assembler.
 */

/** The bytes of one instruction. */
export type Instruction = readonly number[];

/** A general-purpose register's or a vector register's number. */
export type Register = number;

/** What lies `offset` bytes from where `base` points to. */
export interface Memory {
  readonly base: Register;
  readonly offset: number;
}

export type Operand = Register | Memory;

export const RAX = 0;
export const RCX = 1;
export const RDX = 2;
export const RBX = 3;
export const RSP = 4;
export const RBP = 5;
export const RSI = 6;
export const RDI = 7;
export const R8 = 8;
export const R9 = 9;
export const R10 = 10;
export const R11 = 11;
export const R12 = 12;
export const R13 = 13;
export const R14 = 14;
export const R15 = 15;

export const at = (base: Register, offset = 0): Memory => ({ base, offset });

/** Conditions, as jumps and conditional moves name them. */
export const CONDITIONS = { below: 2, aboveOrEqual: 3, equal: 4, notEqual: 5, above: 7 } as const;
export type Condition = keyof typeof CONDITIONS;

const int32 = (value: number): number[] => [0, 8, 16, 24].map(shift => (value >>> shift) & 255);
const fitsByte = (value: number): boolean => value >= -128 && value < 128;

/**
 * ModR/M, and what of SIB and displacement the operand needs.
 * @param scale what a displacement of one byte counts
 */
export function modrm(reg: number, operand: Operand, scale = 1): number[] {
  const field = (reg & 7) << 3;
  if (typeof operand === "number") return [0xc0 | field | (operand & 7)];
  const { base, offset } = operand;
  const low = base & 7;
  const sib = low === RSP ? [0x24] : [];
  if (offset === 0 && low !== RBP) return [field | low, ...sib];
  const scaled = offset / scale;
  if (Number.isInteger(scaled) && fitsByte(scaled)) return [0x40 | field | low, ...sib, scaled & 255];
  return [0x80 | field | low, ...sib, ...int32(offset)];
}

export const high = (operand: Operand): number => (typeof operand === "number" ? operand : operand.base) >> 3;

function integer(opcode: readonly number[], reg: number, operand: Operand, wide = true): Instruction {
  const rex = 0x40 | (wide ? 8 : 0) | ((reg >> 3) << 2) | high(operand);
  return [...(rex === 0x40 ? [] : [rex]), ...opcode, ...modrm(reg, operand)];
}

/** Opcode maps and the prefixes that VEX stands for. */
export const MAP_0F = 1;
export const MAP_0F38 = 2;
export const MAP_0F3A = 3;
const P_NONE = 0;
export const P_66 = 1;
export const P_F3 = 2;
export const P_F2 = 3;

interface Vex {
  map?: number;
  prefix?: number;
  /** 256 bits. */
  long?: boolean;
  wide?: boolean;
  opcode: number;
}

/** @param second the operand between destination and last: 0 where there is none */
function vex(code: Vex, reg: number, second: number, operand: Operand): Instruction {
  const { map = MAP_0F, prefix = P_66, long = true, wide = false, opcode } = code;
  const last = ((~second & 15) << 3) | (long ? 4 : 0) | prefix;
  const reach = (reg >> 3) ^ 1;
  const start =
    map === MAP_0F && !wide && high(operand) === 0
      ? [0xc5, (reach << 7) | last]
      : [0xc4, (reach << 7) | 0x40 | ((high(operand) ^ 1) << 5) | map, (wide ? 0x80 : 0) | last];
  return [...start, opcode, ...modrm(reg, operand)];
}

const arithmetic =
  (opcode: number) =>
  (to: Register, operand: Operand): Instruction =>
    integer([opcode], to, operand);

const immediate =
  (extension: number) =>
  (to: Operand, value: number): Instruction =>
    fitsByte(value)
      ? [...integer([0x83], extension, to), value & 255]
      : [...integer([0x81], extension, to), ...int32(value)];

export const add: (to: Register, operand: Operand) => Instruction = arithmetic(0x03);
export const adc: (to: Register, operand: Operand) => Instruction = arithmetic(0x13);
export const and: (to: Register, operand: Operand) => Instruction = arithmetic(0x23);
export const or: (to: Register, operand: Operand) => Instruction = arithmetic(0x0b);
export const xor: (to: Register, operand: Operand) => Instruction = arithmetic(0x33);
export const sub: (to: Register, operand: Operand) => Instruction = arithmetic(0x2b);
export const cmp: (to: Register, operand: Operand) => Instruction = arithmetic(0x3b);
export const mov: (to: Register, operand: Operand) => Instruction = arithmetic(0x8b);
export const lea: (to: Register, operand: Memory) => Instruction = arithmetic(0x8d);
/** @param value signed, 32 bits */
export const addValue: (to: Operand, value: number) => Instruction = immediate(0);
export const adcValue: (to: Operand, value: number) => Instruction = immediate(2);
export const andValue: (to: Operand, value: number) => Instruction = immediate(4);
export const subValue: (to: Operand, value: number) => Instruction = immediate(5);
export const cmpValue: (to: Operand, value: number) => Instruction = immediate(7);

export const store = (to: Memory, from: Register): Instruction => integer([0x89], from, to);
/** @param value signed, 32 bits, extended to 64 */
export const movValue = (to: Operand, value: number): Instruction => [
  ...integer([0xc7], 0, to),
  ...int32(value),
];
/** 32 bits; the register's others become zero. */
export const movLow = (to: Register, from: Operand): Instruction => integer([0x8b], to, from, false);
/** The register becomes zero. */
export const clear = (to: Register): Instruction => integer([0x33], to, to, false);
export const imul = (to: Register, operand: Operand): Instruction => integer([0x0f, 0xaf], to, operand);
export const cmov = (condition: Condition, to: Register, operand: Operand): Instruction =>
  integer([0x0f, 0x40 | CONDITIONS[condition]], to, operand);
export const test = (one: Register, other: Register): Instruction => integer([0x85], other, one);
export const neg = (to: Register): Instruction => integer([0xf7], 3, to);
export const dec = (to: Operand): Instruction => integer([0xff], 1, to);
export const shl = (to: Register, bits: number): Instruction => [...integer([0xc1], 4, to), bits];
export const shr = (to: Register, bits: number): Instruction => [...integer([0xc1], 5, to), bits];
/** By as many bits as RCX says, modulo 64. */
export const shlByRcx = (to: Register): Instruction => integer([0xd3], 4, to);
export const shrByRcx = (to: Register): Instruction => integer([0xd3], 5, to);
export const push = (from: Register): Instruction => [...(from > 7 ? [0x41] : []), 0x50 | (from & 7)];
export const pop = (to: Register): Instruction => [...(to > 7 ? [0x41] : []), 0x58 | (to & 7)];
export const ret: Instruction = [0xc3];

/** The bits from RCX's, modulo 256, on become zero (BMI2). */
export const bzhiByRcx = (to: Register, from: Operand): Instruction =>
  vex({ map: MAP_0F38, prefix: P_NONE, long: false, wide: true, opcode: 0xf5 }, to, RCX, from);

/** 128-bit product of RDX and `operand`; leaves the flags alone (BMI2). */
export const mulx = (upper: Register, lower: Register, operand: Operand): Instruction =>
  vex({ map: MAP_0F38, prefix: P_F2, long: false, wide: true, opcode: 0xf6 }, upper, lower, operand);

const vector =
  (opcode: number, map?: number) =>
  (to: Register, first: Register, operand: Operand): Instruction =>
    vex({ opcode, ...(map === undefined ? {} : { map }) }, to, first, operand);

type Vector = (to: Register, first: Register, operand: Operand) => Instruction;

// AVX2, 256 bits.
export const vpaddd: Vector = vector(0xfe);
export const vpxor: Vector = vector(0xef);
export const vpshufb: Vector = vector(0x00, MAP_0F38);
export const vpunpckldq: Vector = vector(0x62);
export const vpunpckhdq: Vector = vector(0x6a);
export const vpunpcklqdq: Vector = vector(0x6c);
export const vpunpckhqdq: Vector = vector(0x6d);
export const vpslld = (to: Register, from: Register, bits: number): Instruction => [
  ...vex({ opcode: 0x72 }, 6, to, from),
  bits,
];
export const vpsrld = (to: Register, from: Register, bits: number): Instruction => [
  ...vex({ opcode: 0x72 }, 2, to, from),
  bits,
];
export const vmovdqu = (to: Register, from: Memory): Instruction =>
  vex({ prefix: P_F3, opcode: 0x6f }, to, 0, from);
export const vmovdquStore = (to: Memory, from: Register): Instruction =>
  vex({ prefix: P_F3, opcode: 0x7f }, from, 0, to);
export const vpbroadcastd = (to: Register, from: Memory): Instruction =>
  vex({ map: MAP_0F38, opcode: 0x58 }, to, 0, from);
/** Bits 128 to 255. */
export const vextracti128Store = (to: Memory, from: Register): Instruction => [
  ...vex({ map: MAP_0F3A, opcode: 0x39 }, from, 0, to),
  1,
];
export const vzeroall: Instruction = [...vex({ prefix: P_NONE, opcode: 0x77 }, 0, 0, 0).slice(0, 3)];

// The lower 128 bits alone.
export const vpxor128: Vector = (to, first, operand) =>
  vex({ long: false, opcode: 0xef }, to, first, operand);
export const vmovdqu128 = (to: Register, from: Memory): Instruction =>
  vex({ prefix: P_F3, long: false, opcode: 0x6f }, to, 0, from);
export const vmovdquStore128 = (to: Memory, from: Register): Instruction =>
  vex({ prefix: P_F3, long: false, opcode: 0x7f }, from, 0, to);

// What asks the processor what it can do.
export const cpuid: Instruction = [0x0f, 0xa2];
export const xgetbv: Instruction = [0x0f, 0x01, 0xd0];

/** Instructions one after the other, with jumps between them. */
export class Program {
  private readonly bytes: number[] = [];
  private readonly labels: Map<string, number> = new Map();
  private readonly jumps: { end: number; label: string }[] = [];

  emit(...instructions: readonly Instruction[]): this {
    for (const instruction of instructions) for (const byte of instruction) this.bytes.push(byte);
    return this;
  }

  /** What follows is `name`, on a multiple of `alignment`. */
  label(name: string, alignment = 1): this {
    while (this.bytes.length % alignment !== 0) this.bytes.push(0x90);
    this.labels.set(name, this.bytes.length);
    return this;
  }

  jump(label: string): this {
    return this.branch([0xe9], label);
  }

  jumpIf(condition: Condition, label: string): this {
    return this.branch([0x0f, 0x80 | CONDITIONS[condition]], label);
  }

  call(label: string): this {
    return this.branch([0xe8], label);
  }

  private branch(opcode: readonly number[], label: string): this {
    this.bytes.push(...opcode, 0, 0, 0, 0);
    this.jumps.push({ end: this.bytes.length, label });
    return this;
  }

  /** The code; TypeError when a jump leads nowhere. */
  link(): Uint8Array {
    const code = Uint8Array.from(this.bytes);
    const view = new DataView(code.buffer);
    for (const { end, label } of this.jumps) {
      const target = this.labels.get(label);
      if (target === undefined) throw new TypeError(`no label ${label}`);
      view.setInt32(end - 4, target - end, true);
    }
    return code;
  }
}
