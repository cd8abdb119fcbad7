/** ChaCha20 (RFC 8439 §2.3) in the vector unit, eight blocks side by side: the part of the fused kernel that encrypts. */
import { BLOCK_BYTES, spillRow, stateRow, WORKSPACE, work } from "./workspace.js";
import {
  type Instruction,
  type Memory,
  type Register,
  vextracti128Store,
  vmovdqu,
  vmovdquStore,
  vmovdquStore128,
  vpaddd,
  vpshufb,
  vpslld,
  vpsrld,
  vpunpckhdq,
  vpunpckhqdq,
  vpunpckldq,
  vpunpcklqdq,
  vpxor,
} from "./x64.js";

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
  return [...half(work(WORKSPACE.rotate16), 12), ...half(work(WORKSPACE.rotate8), 7)];
}

/** Quarter rounds of two columns or diagonals: the first one's rows by column, and the registers of c. */
function twoQuarters(a: number, b: number, c: Pair, d: number, spare: Pair): Instruction[] {
  const rows = (i: 0 | 1): Four => [A[(a + i) & 3], B[(b + i) & 3], c[i], D[(d + i) & 3]] as Four;
  const [first, second] = [quarterRound(rows(0), spare[0]), quarterRound(rows(1), spare[1])];
  const mixed: Instruction[] = [];
  for (let i = 0; i < first.length + LAG; i++) {
    if (i < first.length) mixed.push(first[i] as Instruction);
    if (i >= LAG) mixed.push(second[i - LAG] as Instruction);
  }
  return mixed;
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
export function loadState(): Instruction[] {
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
export function doubleRound(): Instruction[] {
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
export function writeKeystream(): Instruction[] {
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
