/**
 * Ranges of one length at equal distances (`base/strided.ts`), all by one foreign call: text out of the datagrams of a batch,
 * headers into one and beside another. JavaScript takes 45 ns a range to call what copies, and 15 to compare a header.
 */
import koffi from "koffi";
import { type Arena, checkRanges, PlainStrided, type Strided } from "../base/index.js";
import { addCode, type NativeFunction } from "./code.js";
import { lookAtProcessor } from "./processor.js";
import {
  add,
  addValue,
  at,
  cmp,
  cmpValue,
  dec,
  type Instruction,
  lea,
  mov,
  Program,
  R8,
  R9,
  R10,
  R11,
  RAX,
  RCX,
  RDI,
  RDX,
  type Register,
  RSI,
  ret,
  subValue,
  vmovdqu,
  vmovdqu128,
  vmovdquStore,
  vmovdquStore128,
  vzeroall,
} from "./x64.js";

const VECTOR_BYTES = 32;
const HALF_VECTOR_BYTES = 16;
const WORD_BYTES = 8;
/** For fewer ranges a foreign call takes longer than it saves. */
const LEAST_RANGES = 3;
/** Vectors of a step through a long range. */
const STEP = [0, 1, 2, 3];
const STEP_BYTES: number = VECTOR_BYTES * STEP.length;

/**
 * Of (target, its stride, source, its stride, bytes of a range, ranges): addresses and numbers; at least HALF_VECTOR_BYTES and
 * one range. The last vector of a range, or half of one, overlaps with the one before it. Wants AVX.
 */
export function copyProgram(): Uint8Array {
  // System V AMD64 ABI §3.2.3.
  const [target, targetStride, source, sourceStride, bytes, count] = [RDI, RSI, RDX, RCX, R8, R9];
  // In the range at hand: from where, to where; and where what the last move takes begins.
  const [from, to, last] = [R11, RAX, R10];
  const beforeEnd = (register: Register, start: Register, by: number): Instruction[] => [
    lea(register, at(start, -by)),
    add(register, bytes),
  ];
  const nextRange = [add(target, targetStride), add(source, sourceStride), dec(count)];
  return new Program()
    .emit(cmpValue(bytes, VECTOR_BYTES))
    .jumpIf("below", "short range")
    .label("range", 32)
    .emit(mov(from, source), mov(to, target), ...beforeEnd(last, source, STEP_BYTES))
    .label("step")
    .emit(cmp(from, last))
    .jumpIf("aboveOrEqual", "rest")
    .emit(...STEP.map(i => vmovdqu(i, at(from, VECTOR_BYTES * i))))
    .emit(...STEP.map(i => vmovdquStore(at(to, VECTOR_BYTES * i), i)))
    .emit(addValue(from, STEP_BYTES), addValue(to, STEP_BYTES))
    .jump("step")
    .label("rest")
    .emit(addValue(last, STEP_BYTES - VECTOR_BYTES))
    .label("vector")
    .emit(cmp(from, last))
    .jumpIf("aboveOrEqual", "last vector")
    .emit(vmovdqu(0, at(from)), vmovdquStore(at(to), 0))
    .emit(addValue(from, VECTOR_BYTES), addValue(to, VECTOR_BYTES))
    .jump("vector")
    .label("last vector")
    .emit(vmovdqu(0, at(last)), ...beforeEnd(to, target, VECTOR_BYTES), vmovdquStore(at(to), 0))
    .emit(...nextRange)
    .jumpIf("notEqual", "range")
    .emit(vzeroall, ret)
    .label("short range", 32)
    .emit(...beforeEnd(last, source, HALF_VECTOR_BYTES), ...beforeEnd(to, target, HALF_VECTOR_BYTES))
    .emit(vmovdqu128(0, at(source)), vmovdqu128(1, at(last)))
    .emit(vmovdquStore128(at(target), 0), vmovdquStore128(at(to), 1), ...nextRange)
    .jumpIf("notEqual", "short range")
    .emit(vzeroall, ret)
    .link();
}

/**
 * Of (model, first range, stride, bytes of a range, ranges): addresses and numbers; at least WORD_BYTES and one range. Returns how
 * many ranges are left from the first on that is not as the model. A range's last word overlaps with the one before it.
 */
export function compareProgram(): Uint8Array {
  const [model, range, stride, lastWord, count] = [RDI, RSI, RDX, RCX, R8];
  const [inModel, inRange, last, word] = [R9, R10, R11, RAX];
  return new Program()
    .emit(subValue(lastWord, WORD_BYTES))
    .label("range", 32)
    .emit(mov(inModel, model), mov(inRange, range), mov(last, range), add(last, lastWord))
    .label("word")
    .emit(cmp(inRange, last))
    .jumpIf("aboveOrEqual", "last word")
    .emit(mov(word, at(inModel)), cmp(word, at(inRange)))
    .jumpIf("notEqual", "done")
    .emit(addValue(inModel, WORD_BYTES), addValue(inRange, WORD_BYTES))
    .jump("word")
    .label("last word")
    .emit(mov(inModel, model), add(inModel, lastWord), mov(word, at(inModel)), cmp(word, at(last)))
    .jumpIf("notEqual", "done")
    .emit(add(range, stride), dec(count))
    .jumpIf("notEqual", "range")
    .label("done")
    .emit(mov(RAX, count), ret)
    .link();
}

/** For the proof: one length for each way through the code. */
const PROOF_BYTES = [16, 31, 32, 100, 200];
const PROOF_STRIDE = 256;

interface Routines {
  readonly copy: NativeFunction<void>;
  readonly compare: NativeFunction<number>;
}

let routines: Routines | null = null;

class NativeStrided implements Strided {
  private readonly arena: Arena;
  private readonly base: number;
  private readonly routines: Routines;
  /** For ranges that are too few or too short. */
  private readonly plain: PlainStrided;

  constructor(arena: Arena, routines: Routines) {
    this.arena = arena;
    this.base = Number(koffi.address(arena.u8));
    this.routines = routines;
    this.plain = new PlainStrided(arena);
  }

  copy(
    target: number,
    targetStride: number,
    source: number,
    sourceStride: number,
    bytes: number,
    count: number,
  ): void {
    const { arena, base } = this;
    if (count < LEAST_RANGES || bytes < HALF_VECTOR_BYTES) {
      this.plain.copy(target, targetStride, source, sourceStride, bytes, count);
      return;
    }
    checkRanges(arena, target, targetStride, bytes, count);
    checkRanges(arena, source, sourceStride, bytes, count);
    this.routines.copy(base + target, targetStride, base + source, sourceStride, bytes, count);
  }

  countEqual(model: number, at: number, stride: number, bytes: number, count: number): number {
    const { arena, base } = this;
    if (count < LEAST_RANGES || bytes < WORD_BYTES)
      return this.plain.countEqual(model, at, stride, bytes, count);
    checkRanges(arena, model, 0, bytes, 1);
    checkRanges(arena, at, stride, bytes, count);
    return count - this.routines.compare(base + model, base + at, stride, bytes, count);
  }
}

/** Each start proves it: ranges of some lengths, byte by byte with what lies behind them. */
function works(arena: Arena, strided: Strided): boolean {
  const { u8 } = arena;
  const count = 3;
  const [source, target] = [arena.reserve(count * PROOF_STRIDE), arena.reserve(count * PROOF_STRIDE)];
  for (let i = 0; i < count * PROOF_STRIDE; i++) u8[source + i] = i ^ (i >> 8);
  return PROOF_BYTES.every(bytes => {
    u8.fill(0, target, target + count * PROOF_STRIDE);
    strided.copy(target, PROOF_STRIDE, source, PROOF_STRIDE, bytes, count);
    for (let i = 0; i < count * PROOF_STRIDE; i++)
      if (u8[target + i] !== (i % PROOF_STRIDE < bytes ? u8[source + i] : 0)) return false;
    const differs = strided.countEqual(target, target, PROOF_STRIDE, bytes, count) === 1;
    strided.copy(target, PROOF_STRIDE, source, 0, bytes, count);
    return differs && strided.countEqual(source, target, PROOF_STRIDE, bytes, count) === count;
  });
}

/** The arena's `strided` is machine code from here on: where there is any for the processor, it may be added, and it works. */
export function useNativeStrided(arena: Arena): void {
  if (lookAtProcessor() === null) return;
  try {
    routines ??= { copy: addCode(copyProgram(), 6, "void"), compare: addCode(compareProgram(), 5, "int") };
  } catch {
    return;
  }
  const native = new NativeStrided(arena, routines);
  if (works(arena, native)) arena.strided = native;
}
