/** What this processor and system can run: CPUID leaves 1 and 7, and XCR0 (Intel's manual, volume 1 §14.7.1 and §15.2). */
import { addCode } from "./code.js";
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
  R9,
  RAX,
  RBX,
  RCX,
  ret,
  xgetbv,
} from "./x64.js";

// Leaf 1, ECX.
const OSXSAVE = 1 << 27;
// XCR0: which registers the system keeps: the vectors' lower and upper halves; masks, and what vectors have of AVX-512.
const XCR0_AVX = 0b110;
const XCR0_AVX512 = 0b1110_0110;
// Leaf 7, EBX.
const AVX2 = 1 << 5;
const BMI2 = 1 << 8;
const AVX512F = 1 << 16;
const AVX512BW = 1 << 30;
const AVX512: number = AVX512F | AVX512BW;

/** Leaf 7's EBX; 0 when the system does not keep AVX's registers, and without F and BW of AVX-512 when it does not keep theirs. */
export function featureProgram(): Uint8Array {
  return new Program()
    .emit(push(RBX), clear(R8))
    .emit(movValue(RAX, 0), cpuid, cmpValue(RAX, 7))
    .jumpIf("below", "done")
    .emit(movValue(RAX, 1), cpuid, andValue(RCX, OSXSAVE))
    .jumpIf("equal", "done")
    .emit(clear(RCX), xgetbv, mov(R9, RAX), andValue(RAX, XCR0_AVX), cmpValue(RAX, XCR0_AVX))
    .jumpIf("notEqual", "done")
    .emit(movValue(RAX, 7), clear(RCX), cpuid, mov(R8, RBX))
    .emit(andValue(R9, XCR0_AVX512), cmpValue(R9, XCR0_AVX512))
    .jumpIf("equal", "done")
    .emit(andValue(R8, ~AVX512))
    .label("done")
    .emit(mov(RAX, R8), pop(RBX), ret)
    .link();
}

/** Of 256 and of 512 bits. */
export type Vectors = "avx2" | "avx512";

let known: number | null = null;

/** The largest vectors that our code can use here, some of which wants BMI2 and AVX2 in any case; null: none. */
export function lookAtProcessor(): Vectors | null {
  known ??= process.arch === "x64" ? ask() : 0;
  const features = known;
  const has = (wanted: number): boolean => (features & wanted) === wanted;
  if (!has(BMI2 | AVX2)) return null;
  return has(AVX512) ? "avx512" : "avx2";
}

/** 0 where no code may be added to the process. */
function ask(): number {
  try {
    return addCode(featureProgram(), 0, "int")();
  } catch {
    return 0;
  }
}
