/**
 * ChaCha20 (RFC 8439 §2.3) with vectors of 512 bits, a register for each row of the state: four blocks one behind the other,
 * and two such groups. Sixteen blocks side by side, a register for each word, take a quarter fewer cycles per block, but a
 * packet of the usual size has no use for eight of its second sixteen.
 */
import { FIRST_PIECE_BYTES } from "../../base/index.js";
import {
  add,
  addValue,
  at,
  avx512,
  bzhiByRcx,
  clear,
  cmpValue,
  type Instruction,
  lea,
  movValue,
  type Program,
  RAX,
  RCX,
  RDI,
  type Register,
  RSI,
  subValue,
  vzeroall,
} from "../../machine/index.js";
import type { Cipher } from "./cipher.js";
import { mix } from "./mix.js";
import { AVX512_ROW, AVX512_STATE } from "./state.js";
import { address, BLOCK_BYTES, BLOCKS, field, WAITING, WORKSPACE, work } from "./workspace.js";

const {
  kmovqFromRax,
  vbroadcasti32x4,
  vmovdqu8Masked,
  vmovdqu8MaskedStore,
  vmovdqu32,
  vmovdqu32Store,
  vpaddd,
  vprold,
  vpshufd,
  vpxord,
  vshufi32x4,
} = avx512;

type Rows = readonly [a: Register, b: Register, c: Register, d: Register];

const VECTOR_BYTES = 64;
/** After `makeBlocks`, register i is block i of the stride, on which the text counts. */
const GROUPS: readonly Rows[] = [
  [0, 1, 2, 3],
  [4, 5, 6, 7],
];
/** Rows before the rounds: the first three are the same for both groups and all packets under a key. */
const COMMON: readonly Register[] = [16, 17, 18];
const LAST: readonly Register[] = [19, 20];
const SPARE: Rows = [24, 25, 26, 27];
/** A block of which only a part is needed, and that part of the text. */
const [PART, TEXT] = [28, 29];

/**
 * Of two groups that are mixed, how many instructions the second one is behind. In step, their rotations would fall together,
 * for which there is one unit: 40 cycles a double round; seven behind, 36; two units allow 30.
 */
const LAG = 7;

/** RFC 8439 §2.1, of all columns. */
function columnRound([a, b, c, d]: Rows): Instruction[] {
  const half = (byFirst: number, bySecond: number): Instruction[] => [
    vpaddd(a, a, b),
    vpxord(d, d, a),
    vprold(d, byFirst),
    vpaddd(c, c, d),
    vpxord(b, b, c),
    vprold(b, bySecond),
  ];
  return [...half(16, 12), ...half(8, 7)];
}

/** Rows b, c and d move by so many words: diagonals become columns, or columns diagonals. */
function turn([, b, c, d]: Rows, byB: number, byD: number): Instruction[] {
  /** Word i of the result is the one that bits 2 i and 2 i + 1 name. */
  const control = (by: number): number =>
    [0, 1, 2, 3].reduce((bits, i) => bits | (((i + by) & 3) << (2 * i)), 0);
  return [vpshufd(b, b, control(byB)), vpshufd(c, c, control(2)), vpshufd(d, d, control(byD))];
}

function doubleRound(): Instruction[] {
  const of = (rows: Rows): Instruction[] => [
    ...columnRound(rows),
    ...turn(rows, 1, 3),
    ...columnRound(rows),
    ...turn(rows, 3, 1),
  ];
  return mix(GROUPS.map(of), LAG);
}

/** Quarter i of register j becomes quarter j of register i, which then is a block. */
function makeBlocks([a, b, c, d]: Rows): Instruction[] {
  const [s, t, u, v] = SPARE;
  // Quarters 0 and 2 of both, and quarters 1 and 3.
  const [even, odd] = [0x88, 0xdd];
  return [
    vshufi32x4(s, a, b, even),
    vshufi32x4(t, a, b, odd),
    vshufi32x4(u, c, d, even),
    vshufi32x4(v, c, d, odd),
    vshufi32x4(a, s, u, even),
    vshufi32x4(b, t, v, even),
    vshufi32x4(c, s, u, odd),
    vshufi32x4(d, t, v, odd),
  ];
}

/** RSI and RDI over so many bytes. */
const advance = (bytes: number): Instruction[] =>
  bytes === 0 ? [] : [RSI, RDI].map(register => lea(register, at(register, bytes)));

/** As `Cipher.writeXor`: block by block, and of the last one what a mask leaves. */
function writeXor(program: Program, first: boolean): void {
  const name = first ? "first" : "next";
  const parts: (() => void)[] = [];
  /** Of the text in this stride; and what RSI and RDI have not been moved over of it. */
  let [taken, offset] = [0, 0];
  for (let block = first ? 1 : 0; block < BLOCKS; block++) {
    const [part, before, behind] = [`${name} part ${block}`, taken, offset];
    parts.push(() => {
      program
        .label(part)
        .emit(vmovdqu32(PART, block), ...advance(behind), subValue(RCX, before), addValue(WAITING, before))
        .jump(`${name} part`);
    });
    taken += BLOCK_BYTES;
    program
      .emit(cmpValue(RCX, taken))
      .jumpIf("below", part)
      .emit(vpxord(block, block, at(RSI, offset)), vmovdqu32Store(at(RDI, offset), block));
    offset += BLOCK_BYTES;
    if (first && taken === FIRST_PIECE_BYTES) {
      program.emit(...address(RSI, "rest"), addValue(RDI, offset));
      offset = 0;
    }
  }
  program.emit(...advance(offset), addValue(WAITING, taken), subValue(RCX, taken)).jump(`${name} done`);
  for (const write of parts) write();
  program
    .label(`${name} part`)
    .emit(movValue(RAX, -1), bzhiByRcx(RAX, RAX), kmovqFromRax, vmovdqu8Masked(TEXT, at(RSI)))
    .emit(vpxord(PART, PART, TEXT), vmovdqu8MaskedStore(at(RDI), PART), add(WAITING, RCX), clear(RCX))
    .label(`${name} done`);
}

const beforeRounds = (group: number): readonly Register[] => [...COMMON, LAST[group] as Register];

export const CHACHA20_AVX512: Cipher = {
  wovenBlocks: 3,
  enter: () => COMMON.map((row, i) => vbroadcasti32x4(row, work(AVX512_STATE.rows + AVX512_ROW * i))),
  begin: () =>
    LAST.flatMap((row, group) => [
      vbroadcasti32x4(row, field("nonce")),
      vpaddd(row, row, work(AVX512_STATE.blocks + VECTOR_BYTES * group)),
    ]),
  next: () => LAST.map(row => vpaddd(row, row, work(AVX512_STATE.eight))),
  load: () =>
    GROUPS.flatMap((rows, group) =>
      beforeRounds(group).map((from, i) => vmovdqu32(rows[i] as Register, from)),
    ),
  doubleRound,
  finish: () => [
    ...GROUPS.flatMap((rows, group) => [
      ...beforeRounds(group).map((row, i) => vpaddd(rows[i] as Register, rows[i] as Register, row)),
      ...makeBlocks(rows),
    ]),
    vmovdqu32Store(work(WORKSPACE.keystream), 0),
  ],
  writeXor,
  // What is above the lower sixteen, vzeroall leaves.
  leave: () => [...Array.from({ length: 16 }, (_, i) => vpxord(16 + i, 16 + i, 16 + i)), vzeroall],
};
