/** ChaCha20 (RFC 8439 §2.3) with vectors of 256 bits, a register for each word of the state: eight blocks side by side. */
import { FIRST_PIECE_BYTES } from "../../base/index.js";
import {
  add,
  addValue,
  at,
  cmov,
  cmp,
  cmpValue,
  type Instruction,
  lea,
  type Memory,
  movValue,
  type Program,
  RAX,
  RBX,
  RCX,
  RDI,
  type Register,
  RSI,
  sub,
  subValue,
  vextracti128Store,
  vmovdqu,
  vmovdqu128,
  vmovdquStore,
  vmovdquStore128,
  vpaddd,
  vpbroadcastd,
  vpshufb,
  vpslld,
  vpsrld,
  vpunpckhdq,
  vpunpckhqdq,
  vpunpckldq,
  vpunpcklqdq,
  vpxor,
  vpxor128,
  vzeroall,
} from "../../machine/index.js";
import type { Cipher } from "./cipher.js";
import { mix } from "./mix.js";
import { AVX2_STATE, AVX2_WORD } from "./state.js";
import { address, BLOCK_BYTES, field, STRIDE_BYTES, WAITING, WORKSPACE, work } from "./workspace.js";

const stateRow = (word: number): Memory => work(AVX2_STATE.words + AVX2_WORD * word);
const spillRow = (i: 0 | 1): Memory => work(AVX2_STATE.spill + AVX2_WORD * i);
const COUNTERS: Memory = stateRow(12);

/** Rows a, b and d by column have a register each; of c two have, and two are in `spill`. */
const A: Four = [0, 1, 2, 3];
const B: Four = [4, 5, 6, 7];
const D: Four = [12, 13, 14, 15];
/** These take turns as registers of two rows of c and as spare ones. */
const LOW: Pair = [8, 9];
const HIGH: Pair = [10, 11];
type Four = readonly [Register, Register, Register, Register];
type Pair = readonly [Register, Register];

/**
 * Of two quarter rounds that are mixed, how many instructions the second one is behind. In step, their shifts and shuffles
 * would fall together, for which a Zen has one unit and two.
 */
const LAG = 5;

/** RFC 8439 §2.1. */
function quarterRound([a, b, c, d]: Four, spare: Register): Instruction[] {
  const half = (byBytes: Memory, byBits: number): Instruction[] => [
    vpaddd(a, a, b),
    vpxor(d, d, a),
    vpshufb(d, d, byBytes),
    vpaddd(c, c, d),
    vpxor(b, b, c),
    vpslld(spare, b, byBits),
    vpsrld(b, b, 32 - byBits),
    // No bit is in both. A Zen does not add where it shifts.
    vpaddd(b, b, spare),
  ];
  return [...half(work(AVX2_STATE.rotate16), 12), ...half(work(AVX2_STATE.rotate8), 7)];
}

/** Quarter rounds of two columns or diagonals: the first one's rows by column, and the registers of c. */
function twoQuarters(a: number, b: number, c: Pair, d: number, spare: Pair): Instruction[] {
  const rows = (i: 0 | 1): Four => [A[(a + i) & 3], B[(b + i) & 3], c[i], D[(d + i) & 3]] as Four;
  return mix([quarterRound(rows(0), spare[0]), quarterRound(rows(1), spare[1])], LAG);
}

/** The two rows of c in `from` and the two in `spill` change places. */
function exchange(from: Pair, to: Pair): Instruction[] {
  return [
    vmovdqu(to[0], spillRow(0)),
    vmovdqu(to[1], spillRow(1)),
    vmovdquStore(spillRow(0), from[0]),
    vmovdquStore(spillRow(1), from[1]),
  ];
}

/** Each row as it is before the rounds. */
function loadState(): Instruction[] {
  const columns = [0, 1, 2, 3] as const;
  return [
    ...columns.map(i => vmovdqu(A[i], stateRow(i))),
    ...columns.map(i => vmovdqu(B[i], stateRow(4 + i))),
    ...LOW.map((register, i) => vmovdqu(register, stateRow(10 + i))),
    ...LOW.map((register, i) => vmovdquStore(spillRow(i as 0 | 1), register)),
    ...LOW.map((register, i) => vmovdqu(register, stateRow(8 + i))),
    ...columns.map(i => vmovdqu(D[i], stateRow(12 + i))),
  ];
}

/** A column and a diagonal round. Begins and ends with c0 and c1 in LOW, and c2 and c3 in `spill`. */
function doubleRound(): Instruction[] {
  return [
    ...twoQuarters(0, 0, LOW, 0, HIGH),
    ...exchange(LOW, HIGH),
    ...twoQuarters(2, 2, HIGH, 2, LOW),
    ...twoQuarters(0, 1, HIGH, 3, LOW),
    ...exchange(HIGH, LOW),
    ...twoQuarters(2, 3, LOW, 1, HIGH),
  ];
}

/** The result, with the state from before the rounds added, into the keystream. */
function writeKeystream(): Instruction[] {
  return [
    ...writeWords(A, 0, HIGH),
    ...writeWords(B, 4, HIGH),
    ...writeWords(D, 12, HIGH),
    // Rows of a are free by now.
    vmovdqu(A[0], spillRow(0)),
    vmovdqu(A[1], spillRow(1)),
    ...writeWords([...LOW, A[0], A[1]], 8, HIGH),
  ];
}

/** Four rows of it, words `word` to `word` + 3 of each block, block by block. */
function writeWords(rows: Four, word: number, spare: Pair): Instruction[] {
  const [a, b, c, d] = rows;
  const [s, t] = spare;
  const place = (block: number): Memory => work(WORKSPACE.keystream + BLOCK_BYTES * block + 4 * word);
  return [
    ...rows.map((row, i) => vpaddd(row, row, stateRow(word + i))),
    // 4 × 4 words, in both halves of the registers.
    vpunpckldq(s, a, b),
    vpunpckhdq(t, a, b),
    vpunpckldq(a, c, d),
    vpunpckhdq(b, c, d),
    vpunpcklqdq(c, s, a),
    vpunpckhqdq(d, s, a),
    vpunpcklqdq(s, t, b),
    vpunpckhqdq(t, t, b),
    ...[c, d, s, t].flatMap((row, block) => [
      vmovdquStore128(place(block), row),
      vextracti128Store(place(block + 4), row),
    ]),
  ];
}

/** XORs the first piece, two vectors long, of a packet that has so much. */
function writeFirstPiece(program: Program): void {
  program.emit(cmpValue(RCX, FIRST_PIECE_BYTES)).jumpIf("below", "first xor");
  for (const offset of [0, 32]) {
    program.emit(vmovdqu(0, at(RSI, offset)), vpxor(0, 0, at(RBX, offset)), vmovdquStore(at(RDI, offset), 0));
  }
  program
    .emit(...address(RSI, "rest"))
    .emit(...[RDI, RBX, WAITING].map(register => addValue(register, FIRST_PIECE_BYTES)))
    .emit(...[RAX, RCX].map(register => subValue(register, FIRST_PIECE_BYTES)));
}

/** As `Cipher.writeXor`: with the keystream from RBX on, of which there are RAX bytes. */
function writeXor(program: Program, first: boolean): void {
  const name = first ? "first" : "next";
  const skipped = first ? BLOCK_BYTES : 0;
  const advance = (bytes: number): Instruction[] =>
    [RSI, RDI, RBX].map(register => addValue(register, bytes));
  program.emit(lea(RBX, work(WORKSPACE.keystream + skipped)), movValue(RAX, STRIDE_BYTES - skipped));
  if (first) writeFirstPiece(program);
  program
    .label(`${name} xor`)
    .emit(cmp(RCX, RAX), cmov("below", RAX, RCX), add(WAITING, RAX), sub(RCX, RAX))
    .emit(subValue(RAX, 32))
    .jumpIf("below", `${name} tail`)
    .label(`${name} xor 32`, 16)
    .emit(
      vmovdqu(0, at(RSI)),
      vpxor(0, 0, at(RBX)),
      vmovdquStore(at(RDI), 0),
      ...advance(32),
      subValue(RAX, 32),
    )
    .jumpIf("aboveOrEqual", `${name} xor 32`)
    .label(`${name} tail`)
    .emit(addValue(RAX, 32))
    .jumpIf("equal", `${name} done`)
    // Up to 15 bytes too many: of the tag's place, where the tag is written later, or of what is free behind the target.
    .label(`${name} xor 16`)
    .emit(vmovdqu128(0, at(RSI)), vpxor128(0, 0, at(RBX)), vmovdquStore128(at(RDI), 0), ...advance(16))
    .emit(subValue(RAX, 16))
    .jumpIf("above", `${name} xor 16`)
    .label(`${name} done`);
}

export const CHACHA20_AVX2: Cipher = {
  wovenBlocks: 4,
  enter: () => [],
  begin: () => [
    vmovdqu(0, work(AVX2_STATE.firstCounters)),
    vmovdquStore(COUNTERS, 0),
    vpbroadcastd(0, field("counterLow")),
    vmovdquStore(stateRow(14), 0),
    vpbroadcastd(0, field("counterHigh")),
    vmovdquStore(stateRow(15), 0),
  ],
  next: () => [vmovdqu(0, COUNTERS), vpaddd(0, 0, work(AVX2_STATE.eight)), vmovdquStore(COUNTERS, 0)],
  load: loadState,
  doubleRound,
  finish: writeKeystream,
  writeXor,
  leave: () => [vzeroall],
};
