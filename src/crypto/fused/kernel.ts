/**
 * Machine code for ChaCha20-Poly1305 (RFC 8439 §2.8, no associated data) over a batch of packets, for x86-64 with AVX2
 * and BMI2. OpenSSL runs the cipher and then the authenticator; here they run at once: eight ChaCha20 blocks in the
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
 * of (workspace + BIAS, list, packets): two addresses and a number, System V AMD64 ABI.
 */
import { FIRST_PIECE_BYTES } from "../../base/index.js";
import { doubleRound, loadState, writeKeystream } from "./chacha20.js";
import { takeBlock, writeFinish, writeKey, writeTakeRest } from "./poly1305.js";
import {
  BLOCK_BYTES,
  field,
  LIST,
  NEXT,
  PACKET_BYTES,
  R_LOW,
  STRIDE_BYTES,
  stateRow,
  WAITING,
  WORKSPACE,
  work,
} from "./workspace.js";
import {
  add,
  addValue,
  at,
  clear,
  cmov,
  cmp,
  cmpValue,
  dec,
  type Instruction,
  lea,
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
  sub,
  subValue,
  vmovdqu,
  vmovdqu128,
  vmovdquStore,
  vmovdquStore128,
  vpaddd,
  vpbroadcastd,
  vpxor,
  vpxor128,
  vzeroall,
} from "./x64.js";

/** Blocks of the authenticator in a double round: ten times four are more than the 32 of a stride. */
const WOVEN_BLOCKS = 4;
const WOVEN_BYTES: number = 16 * WOVEN_BLOCKS;

/** The instructions of both, each in its order, evenly mixed. */
function weave(one: readonly Instruction[], other: readonly Instruction[]): Instruction[] {
  const out: Instruction[] = [];
  let [i, j] = [0, 0];
  while (i < one.length || j < other.length) {
    const first = j === other.length || (i < one.length && i * other.length <= j * one.length);
    out.push((first ? one[i++] : other[j++]) as Instruction);
  }
  return out;
}

/** Makes the keystream of the eight blocks that `state` says, and takes in all whole blocks that wait. */
function writeStride(program: Program): void {
  program
    .label("stride", 32)
    .emit(...loadState())
    .emit(movValue(work(WORKSPACE.rounds), 10), subValue(WAITING, WOVEN_BYTES))
    .jumpIf("below", "alone")
    .label("woven", 32)
    .emit(...weave(doubleRound(), Array.from({ length: WOVEN_BLOCKS }, (_, i) => takeBlock(16 * i)).flat()))
    .emit(addValue(NEXT, WOVEN_BYTES), dec(work(WORKSPACE.rounds)))
    .jumpIf("equal", "rounds done")
    .emit(subValue(WAITING, WOVEN_BYTES))
    .jumpIf("aboveOrEqual", "woven")
    .label("alone")
    .emit(addValue(WAITING, WOVEN_BYTES))
    .label("rounds", 32)
    .emit(...doubleRound(), dec(work(WORKSPACE.rounds)))
    .jumpIf("notEqual", "rounds")
    .label("rounds done")
    .emit(...writeKeystream())
    .jump("take rest");
}

/** XORs the first piece, two vectors long, of a packet that has so much. */
function writeXorFirstPiece(program: Program): void {
  program.emit(cmpValue(RCX, FIRST_PIECE_BYTES)).jumpIf("below", "xor");
  for (const offset of [0, 32]) {
    program.emit(vmovdqu(0, at(RSI, offset)), vpxor(0, 0, at(RBX, offset)), vmovdquStore(at(RDI, offset), 0));
  }
  program
    .emit(...address(RSI, "rest"))
    .emit(...[RDI, RBX, WAITING].map(register => addValue(register, FIRST_PIECE_BYTES)))
    .emit(...[RAX, RCX].map(register => subValue(register, FIRST_PIECE_BYTES)));
}

/** XORs the packet's next bytes with the keystream from RBX on, of which there are RAX, and lets them wait, too. */
function writeXor(program: Program): void {
  const advance = (bytes: number): Instruction[] =>
    [RSI, RDI, RBX].map(register => addValue(register, bytes));
  program
    .label("xor")
    .emit(cmp(RCX, RAX), cmov("below", RAX, RCX), add(WAITING, RAX), sub(RCX, RAX))
    .emit(store(work(WORKSPACE.left), RCX), subValue(RAX, 32))
    .jumpIf("below", "xor tail")
    .label("xor 32", 16)
    .emit(
      vmovdqu(0, at(RSI)),
      vpxor(0, 0, at(RBX)),
      vmovdquStore(at(RDI), 0),
      ...advance(32),
      subValue(RAX, 32),
    )
    .jumpIf("aboveOrEqual", "xor 32")
    .label("xor tail")
    .emit(addValue(RAX, 32))
    .jumpIf("equal", "xored")
    // Up to 15 bytes too many: of the tag's place, where the tag is written later, or of what is free behind the target.
    .label("xor 16")
    .emit(vmovdqu128(0, at(RSI)), vpxor128(0, 0, at(RBX)), vmovdquStore128(at(RDI), 0), ...advance(16))
    .emit(subValue(RAX, 16))
    .jumpIf("above", "xor 16")
    .label("xored");
}

/** Where in memory something of the packet at LIST is. */
function address(
  register: Register,
  name: "source" | "target" | "tag" | "rest" | "ciphertext",
): Instruction[] {
  return [movLow(register, field(name)), add(register, work(WORKSPACE.arena))];
}

/** The whole: see the head of this file. */
export function fusedCode(): Uint8Array {
  const program = new Program();
  const saved: readonly Register[] = [RBX, RBP, R12, R13, R14, R15];
  const counters = stateRow(12);
  program
    .emit(...saved.map(push), mov(RBP, RDI), mov(LIST, RSI))
    .emit(shl(RDX, Math.log2(PACKET_BYTES)), add(RDX, RSI), store(work(WORKSPACE.end), RDX))
    .emit(clear(WAITING), movValue(work(WORKSPACE.tag), 0))
    .label("packet")
    .emit(vmovdqu(0, work(WORKSPACE.firstCounters)), vmovdquStore(counters, 0))
    .emit(vpbroadcastd(0, field("counterLow")), vmovdquStore(stateRow(14), 0))
    .emit(vpbroadcastd(0, field("counterHigh")), vmovdquStore(stateRow(15), 0))
    .call("stride")
    .call("finish");
  writeKey(program);
  program
    .emit(...address(RAX, "tag"), store(work(WORKSPACE.tag), RAX))
    .emit(
      ...address(RSI, "source"),
      ...address(RDI, "target"),
      ...address(NEXT, "ciphertext"),
      clear(WAITING),
    )
    .emit(movLow(RCX, field("length")), store(work(WORKSPACE.length), RCX))
    .emit(lea(RBX, work(WORKSPACE.keystream + BLOCK_BYTES)), movValue(RAX, STRIDE_BYTES - BLOCK_BYTES));
  writeXorFirstPiece(program);
  writeXor(program);
  program
    .emit(cmpValue(work(WORKSPACE.left), 0))
    .jumpIf("equal", "packet done")
    .emit(store(work(WORKSPACE.source), RSI), store(work(WORKSPACE.target), RDI))
    .emit(vmovdqu(0, counters), vpaddd(0, 0, work(WORKSPACE.eight)), vmovdquStore(counters, 0))
    .call("stride")
    .emit(mov(RSI, work(WORKSPACE.source)), mov(RDI, work(WORKSPACE.target)), mov(RCX, work(WORKSPACE.left)))
    .emit(lea(RBX, work(WORKSPACE.keystream)), movValue(RAX, STRIDE_BYTES))
    .jump("xor")
    .label("packet done")
    .emit(addValue(LIST, PACKET_BYTES), cmp(LIST, work(WORKSPACE.end)))
    .jumpIf("below", "packet")
    .call("take rest")
    .call("finish")
    .emit(vzeroall, clear(R_LOW), ...saved.toReversed().map(pop), ret);
  writeStride(program);
  writeTakeRest(program);
  writeFinish(program);
  return program.link();
}
