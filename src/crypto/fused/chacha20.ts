/** ChaCha20 (RFC 8439 §2.3) in the vector unit, eight blocks side by side: the part of the fused kernel that encrypts. */
import { BLOCK_BYTES, spillRow, stateRow, WORKSPACE, work } from "./workspace.js";
import {
  type Instruction,
  type Memory,
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

/** Registers of the rows a, b and d; of c there are two and two spare ones, which take turns. */
const A = [0, 1, 2, 3];
const B = [4, 5, 6, 7];
const D = [12, 13, 14, 15];
type Rows = readonly [number, number, number, number];
type Pair = readonly [number, number];

/** Two quarter rounds (RFC 8439 §2.1), in step. */
function quarterRounds(quarters: readonly [Rows, Rows], spare: Pair): Instruction[] {
  const out: Instruction[] = [];
  const both = (one: (rows: Rows, i: 0 | 1) => Instruction): void => {
    out.push(one(quarters[0], 0), one(quarters[1], 1));
  };
  const rotateBytes = (mask: Memory): void => both(([, , , d]) => vpshufb(d, d, mask));
  const rotate = (bits: number): void => {
    both(([, b], i) => vpslld(spare[i], b, bits));
    both(([, b]) => vpsrld(b, b, 32 - bits));
    // An addition, as no bit is in both: on some processors it has more units to run on than an OR.
    both(([, b], i) => vpaddd(b, b, spare[i]));
  };
  for (const [mask, bits] of [
    [work(WORKSPACE.rotate16), 12],
    [work(WORKSPACE.rotate8), 7],
  ] as const) {
    both(([a, b]) => vpaddd(a, a, b));
    both(([a, , , d]) => vpxor(d, d, a));
    rotateBytes(mask);
    both(([, , c, d]) => vpaddd(c, c, d));
    both(([, b, c]) => vpxor(b, b, c));
    rotate(bits);
  }
  return out;
}

/** A column and a diagonal round. Begins and ends with rows c0, c1 in registers 8, 9, and c2, c3 in `spill`. */
export function doubleRound(): Instruction[] {
  const [one, two]: readonly Pair[] = [
    [8, 9],
    [10, 11],
  ] as const;
  const rows = (a: number, b: number, c: number, d: number): Rows => [A[a], B[b], c, D[d]] as unknown as Rows;
  const exchange = (from: Pair, to: Pair): Instruction[] => [
    vmovdqu(to[0], spillRow(0)),
    vmovdqu(to[1], spillRow(1)),
    vmovdquStore(spillRow(0), from[0]),
    vmovdquStore(spillRow(1), from[1]),
  ];
  const [low, high] = [one as Pair, two as Pair];
  return [
    ...quarterRounds([rows(0, 0, low[0], 0), rows(1, 1, low[1], 1)], high),
    ...exchange(low, high),
    ...quarterRounds([rows(2, 2, high[0], 2), rows(3, 3, high[1], 3)], low),
    ...quarterRounds([rows(0, 1, high[0], 3), rows(1, 2, high[1], 0)], low),
    ...exchange(high, low),
    ...quarterRounds([rows(2, 3, low[0], 1), rows(3, 0, low[1], 2)], high),
  ];
}

/** Four rows of the result, words `word` to `word` + 3 of each block, into the keystream block by block. */
export function writeWords(rows: Rows, word: number, spare: Pair): Instruction[] {
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
