/** Poly1305 (RFC 8439 §2.5) in the integer unit, in radix 2^64: the part of the fused kernel that makes and compares tags. */

import {
  adc,
  adcValue,
  add,
  addValue,
  and,
  andValue,
  at,
  clear,
  cmov,
  cmpValue,
  type Instruction,
  imul,
  mov,
  mulx,
  neg,
  or,
  type Program,
  RAX,
  RBX,
  RCX,
  RDI,
  RDX,
  RSI,
  ret,
  shl,
  shlByRcx,
  shr,
  shrByRcx,
  store,
  subValue,
  test,
  xor,
} from "../../machine/index.js";
import { H0, H1, H2, NEXT, R_HIGH, R_LOW, WAITING, WORKSPACE, work } from "./workspace.js";

/**
 * h = h · r mod 2^130 − 5, but for a last subtraction. Uses RAX, RBX, RCX, RDX, RSI, RDI.
 *
 * Afterwards h < 2^130 + 2^66, so H2 ≤ 4; with the next block it is at most 6. r0 < 2^60 and s1 < 5/4 · 2^60: products with
 * H2 and sums of the upper halves stay below 2^63.
 */
function multiply(): Instruction[] {
  // r1 is a multiple of four, so that 2^128 · r1 ≡ 5/4 · r1: s1 = r1 + r1/4 takes its place in the lower products.
  return [
    mov(RDX, R_LOW),
    mulx(RBX, RAX, H0), //  h0 r0
    mulx(RDI, RSI, H1), //  h1 r0
    mov(RDX, R_HIGH),
    mulx(RCX, H0, H0), //   h0 r1
    add(RSI, H0),
    adc(RDI, RCX),
    mov(RDX, work(WORKSPACE.r1AndQuarter)),
    mulx(RCX, H0, H1), //   h1 s1
    add(H0, RAX),
    adc(RBX, RCX),
    imul(RDX, H2), //       h2 s1
    imul(H2, R_LOW), //     h2 r0
    add(RSI, RDX),
    adcValue(RDI, 0),
    mov(H1, RSI),
    add(H1, RBX),
    adc(H2, RDI),
    // What is above 2^130 comes back times five.
    mov(RAX, H2),
    mov(RCX, H2),
    andValue(H2, 3),
    shr(RAX, 2),
    andValue(RCX, -4),
    add(RCX, RAX),
    add(H0, RCX),
    adcValue(H1, 0),
    adcValue(H2, 0),
  ];
}

/** Takes in the 16 bytes at NEXT + `offset`. */
export function takeBlock(offset: number): Instruction[] {
  return [add(H0, at(NEXT, offset)), adc(H1, at(NEXT, offset + 8)), adcValue(H2, 1), ...multiply()];
}

/** Whole blocks that wait, without a cipher beside. */
export function writeTakeRest(program: Program): void {
  program
    .label("take rest", 32)
    .emit(subValue(WAITING, 16))
    .jumpIf("below", "rest taken")
    .label("next of rest")
    .emit(...takeBlock(0), addValue(NEXT, 16), subValue(WAITING, 16))
    .jumpIf("aboveOrEqual", "next of rest")
    .label("rest taken")
    .emit(addValue(WAITING, 16), ret);
}

/**
 * Takes in what is left of the packet, fewer than 16 bytes, and the lengths; writes the tag, and compares it with the one
 * behind the ciphertext: that may be the same place. Nothing without a packet.
 */
export function writeFinish(program: Program): void {
  program
    .label("finish", 32)
    .emit(mov(RAX, work(WORKSPACE.tag)), test(RAX, RAX))
    .jumpIf("equal", "finished")
    .emit(test(WAITING, WAITING))
    .jumpIf("equal", "lengths")
    // RFC 8439 §2.8: zeros to a multiple of 16. What lies behind the ciphertext is read, and shifted out.
    .emit(mov(RAX, at(NEXT)), mov(RDX, at(NEXT, 8)))
    .emit(mov(RCX, WAITING), shl(RCX, 3), neg(RCX), cmpValue(WAITING, 8))
    .jumpIf("above", "upper half")
    .emit(clear(RDX), shlByRcx(RAX), shrByRcx(RAX))
    .jump("last block")
    .label("upper half")
    .emit(shlByRcx(RDX), shrByRcx(RDX))
    .label("last block")
    .emit(add(H0, RAX), adc(H1, RDX), adcValue(H2, 1), ...multiply())
    .label("lengths")
    .emit(add(H1, work(WORKSPACE.length)), adcValue(H2, 1), ...multiply())
    // h mod 2^130 − 5: h + 5 if that is 2^130 or more.
    .emit(mov(RAX, H0), mov(RDX, H1), addValue(RAX, 5), adcValue(RDX, 0), adcValue(H2, 0), shr(H2, 2))
    .emit(cmov("notEqual", H0, RAX), cmov("notEqual", H1, RDX), mov(RAX, work(WORKSPACE.tag)))
    .emit(
      add(H0, work(WORKSPACE.s)),
      adc(H1, work(WORKSPACE.s + 8)),
      store(at(RAX), H0),
      store(at(RAX, 8), H1),
    )
    .emit(mov(RAX, work(WORKSPACE.received)), xor(H0, at(RAX)), xor(H1, at(RAX, 8)), or(H0, H1))
    .emit(or(H0, work(WORKSPACE.differences)), store(work(WORKSPACE.differences), H0))
    .label("finished")
    .emit(ret);
}

/** Block 0 makes the one-time key (RFC 8439 §2.6) of the packet at LIST. */
export function writeKey(program: Program): void {
  const [r, s] = [WORKSPACE.keystream, WORKSPACE.keystream + 16];
  program
    .emit(mov(R_LOW, work(r)), and(R_LOW, work(WORKSPACE.clamp)))
    .emit(mov(R_HIGH, work(r + 8)), and(R_HIGH, work(WORKSPACE.clamp + 8)))
    .emit(mov(RAX, R_HIGH), shr(RAX, 2), add(RAX, R_HIGH), store(work(WORKSPACE.r1AndQuarter), RAX))
    .emit(mov(RAX, work(s)), mov(RDX, work(s + 8)))
    .emit(store(work(WORKSPACE.s), RAX), store(work(WORKSPACE.s + 8), RDX))
    .emit(clear(H0), clear(H1), clear(H2));
}
