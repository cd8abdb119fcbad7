/** What this processor and system can run: CPUID leaves 1 and 7, and XCR0 (Intel's manual, volume 1 §14.7.1). */
import { addCode } from "../machine-code.js";
import {
  andValue,
  clear,
  cmpValue,
  cpuid,
  mov,
  movValue,
  Program,
  pop,
  push,
  R8,
  RAX,
  RBX,
  RCX,
  ret,
  xgetbv,
} from "./x64.js";

// Leaf 1, ECX.
const OSXSAVE = 1 << 27;
// XCR0: the system keeps the vector registers' lower and upper halves.
const SSE_AND_AVX_STATE = 0b110;
// Leaf 7, EBX.
const AVX2 = 1 << 5;
const BMI2 = 1 << 8;
const AVX512F = 1 << 16;

/** Leaf 7's EBX when the system keeps AVX's registers, else 0. */
export function featureProgram(): Uint8Array {
  return new Program()
    .emit(push(RBX), clear(R8))
    .emit(movValue(RAX, 0), cpuid, cmpValue(RAX, 7))
    .jumpIf("below", "done")
    .emit(movValue(RAX, 1), cpuid, andValue(RCX, OSXSAVE))
    .jumpIf("equal", "done")
    .emit(clear(RCX), xgetbv, andValue(RAX, SSE_AND_AVX_STATE), cmpValue(RAX, SSE_AND_AVX_STATE))
    .jumpIf("notEqual", "done")
    .emit(movValue(RAX, 7), clear(RCX), cpuid, mov(R8, RBX))
    .label("done")
    .emit(mov(RAX, R8), pop(RBX), ret)
    .link();
}

export interface Processor {
  /** The fused kernel runs here. */
  fused: boolean;
  /** OpenSSL has routines for vectors of 512 bits. */
  avx512: boolean;
}

export function lookAtProcessor(): Processor {
  const features = process.arch === "x64" ? ask() : 0;
  return { fused: (features & AVX2) !== 0 && (features & BMI2) !== 0, avx512: (features & AVX512F) !== 0 };
}

/** 0 where no code may be added to the process. */
function ask(): number {
  try {
    return addCode(featureProgram(), 0, "int")();
  } catch {
    return 0;
  }
}
