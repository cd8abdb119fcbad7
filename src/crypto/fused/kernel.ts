/**
 * Machine code for ChaCha20-Poly1305 (RFC 8439 §2.8, no associated data) over a batch of packets, for x86-64 with BMI2 and
 * AVX2 or AVX-512. OpenSSL runs the cipher and then the authenticator; here they run at once: eight ChaCha20 blocks in the
 * vector unit, and between their instructions, in the integer unit, Poly1305 of what the eight blocks before made
 * ciphertext. That may have been the packet before: the authenticator lags one stride behind the cipher.
 *
 * ```
 *   vector   │ p0: key, 0–447 │ p0: 448–959 │ p0: 960–… │ p1: key, 0–447 │ p1: 448–959 │ …
 *   integer  │                │ p0: 0–447   │ p0: –959  │ p0: 960–…, tag │ p1: 0–447   │ …
 * ```
 *
 * The order of instructions and the addresses that they touch depend on lengths alone, never on keys or data.
 *
 * Everything that the code works on lies in its workspace (`workspace.ts`) and in the packets of its list. It is a function
 * of (workspace + BIAS, list, entries): two addresses and a number, System V AMD64 ABI.
 */

import {
  add,
  addValue,
  clear,
  cmp,
  dec,
  type Instruction,
  mov,
  movLow,
  movValue,
  Program,
  pop,
  push,
  R12,
  R13,
  R14,
  R15,
  RAX,
  RBP,
  RBX,
  RCX,
  RDI,
  RDX,
  type Register,
  RSI,
  ret,
  shl,
  store,
  subValue,
  test,
  type Vectors,
} from "../../machine/index.js";
import { CHACHA20_AVX2 } from "./chacha20-avx2.js";
import { CHACHA20_AVX512 } from "./chacha20-avx512.js";
import type { Cipher } from "./cipher.js";
import { weave } from "./mix.js";
import { takeBlock, writeFinish, writeKey, writeTakeRest } from "./poly1305.js";
import {
  address,
  field,
  H0,
  H1,
  H2,
  LIST,
  NEXT,
  PACKET_BYTES,
  R_LOW,
  WAITING,
  WORKSPACE,
  work,
} from "./workspace.js";

const CIPHERS: Readonly<Record<Vectors, Cipher>> = { avx2: CHACHA20_AVX2, avx512: CHACHA20_AVX512 };

/** Makes the next eight blocks of keystream, and takes in all whole blocks that wait. */
function writeStride(program: Program, cipher: Cipher): void {
  const { wovenBlocks, load, doubleRound, finish } = cipher;
  const wovenBytes = 16 * wovenBlocks;
  program
    .label("stride", 32)
    .emit(...load())
    .emit(movValue(work(WORKSPACE.rounds), 10), subValue(WAITING, wovenBytes))
    .jumpIf("below", "alone")
    .label("woven", 32)
    .emit(...weave(doubleRound(), Array.from({ length: wovenBlocks }, (_, i) => takeBlock(16 * i)).flat()))
    .emit(addValue(NEXT, wovenBytes), dec(work(WORKSPACE.rounds)))
    .jumpIf("equal", "rounds done")
    .emit(subValue(WAITING, wovenBytes))
    .jumpIf("aboveOrEqual", "woven")
    .label("alone")
    .emit(addValue(WAITING, wovenBytes))
    .label("rounds", 32)
    .emit(...doubleRound(), dec(work(WORKSPACE.rounds)))
    .jumpIf("notEqual", "rounds")
    .label("rounds done")
    .emit(...finish())
    .jump("take rest");
}

/** A place and the one behind it, by their strides: neither goes beyond 2^32. */
const moveOn = (place: "source" | "tag", stride: "stride" | "tagStride"): Instruction[] => [
  mov(RAX, field(stride)),
  add(RAX, field(place)),
  store(field(place), RAX),
];

/** The whole: see the head of this file. */
export function fusedCode(vectors: Vectors): Uint8Array {
  const cipher = CIPHERS[vectors];
  const program = new Program();
  const saved: readonly Register[] = [RBX, RBP, R12, R13, R14, R15];
  program
    .emit(...saved.map(push), mov(RBP, RDI), mov(LIST, RSI))
    .emit(shl(RDX, Math.log2(PACKET_BYTES)), add(RDX, RSI), store(work(WORKSPACE.end), RDX))
    .emit(clear(WAITING), movValue(work(WORKSPACE.tag), 0), ...cipher.enter())
    .label("packet")
    .emit(...cipher.begin())
    .call("stride")
    .call("finish");
  writeKey(program);
  program
    .emit(...address(RAX, "tag"), store(work(WORKSPACE.tag), RAX))
    .emit(...address(RSI, "source"), ...address(RDI, "target"), ...address(NEXT, "source"), clear(WAITING))
    .emit(movLow(RCX, field("length")), store(work(WORKSPACE.length), RCX))
    .emit(mov(RAX, RSI), add(RAX, RCX), store(work(WORKSPACE.received), RAX));
  cipher.writeXor(program, true);
  program
    .label("xored")
    .emit(test(RCX, RCX))
    .jumpIf("equal", "packet done")
    .emit(store(work(WORKSPACE.left), RCX))
    .emit(store(work(WORKSPACE.source), RSI), store(work(WORKSPACE.target), RDI))
    .emit(...cipher.next())
    .call("stride")
    .emit(mov(RSI, work(WORKSPACE.source)), mov(RDI, work(WORKSPACE.target)), mov(RCX, work(WORKSPACE.left)));
  cipher.writeXor(program, false);
  program
    .jump("xored")
    .label("packet done")
    .emit(dec(field("count")))
    .jumpIf("equal", "entry done")
    .emit(...moveOn("source", "stride"), ...moveOn("tag", "tagStride"), addValue(field("counterLow"), 1))
    .jump("packet")
    .label("entry done")
    .emit(addValue(LIST, PACKET_BYTES), cmp(LIST, work(WORKSPACE.end)))
    .jumpIf("below", "packet")
    .call("take rest")
    .call("finish")
    .emit(
      ...cipher.leave(),
      ...[RCX, RDX, RSI, RDI, H0, H1, H2, R_LOW].map(clear),
      ...saved.toReversed().map(pop),
      ret,
    );
  writeStride(program, cipher);
  writeTakeRest(program);
  writeFinish(program);
  return program.link();
}
