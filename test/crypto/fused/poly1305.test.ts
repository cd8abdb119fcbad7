/**
 * The fused kernel's Poly1305 by itself, with accumulators and keys that no packet would bring about in a lifetime: where
 * limbs are full, carries run through, and the last subtraction decides. BigInt is the oracle.
 */
import { randomBytes, randomInt } from "node:crypto";
import koffi from "koffi";
import t from "tap";
import { writeFinish, writeKey, writeTakeRest } from "../../../src/crypto/fused/poly1305.js";
import { BIAS, H0, H1, H2, LIST, NEXT, WAITING, WORKSPACE } from "../../../src/crypto/fused/workspace.js";
import { addCode } from "../../../src/machine/code.js";
import { lookAtProcessor } from "../../../src/machine/processor.js";
import {
  at,
  mov,
  Program,
  pop,
  push,
  R12,
  R13,
  R14,
  R15,
  RBP,
  RBX,
  RDI,
  RSI,
  ret,
  store,
} from "../../../src/machine/x64.js";

const P = (1n << 130n) - 5n;
const LOW = (1n << 64n) - 1n;
const FULL = (1n << 128n) - 1n;
const CLAMP = 0x0ffffffc0ffffffc0ffffffc0fffffffn;

const memory = new Uint8Array(16_384);
const view = new DataView(memory.buffer);
const base = Number(koffi.address(memory));
// Workspace; what goes in: where and how many bytes, the accumulator, which comes out behind; data; tag; what it is compared with.
const [WORK, IN, DATA, TAG, RECEIVED] = [1024, 4096, 8192, 12_288, 12_320];

/** (workspace + BIAS, in): takes r and s from the keystream, then the data, and writes the tag. */
function build(): (...values: number[]) => void {
  const saved = [RBX, RBP, R12, R13, R14, R15];
  const program = new Program().emit(...saved.map(push), mov(RBP, RDI), mov(LIST, RSI));
  writeKey(program);
  program
    .emit(mov(NEXT, at(LIST)), mov(WAITING, at(LIST, 8)))
    .emit(mov(H0, at(LIST, 16)), mov(H1, at(LIST, 24)), mov(H2, at(LIST, 32)))
    .call("take rest")
    .emit(store(at(LIST, 40), H0), store(at(LIST, 48), H1), store(at(LIST, 56), H2))
    .call("finish")
    .emit(...saved.toReversed().map(pop), ret);
  writeTakeRest(program);
  writeFinish(program);
  return addCode(program.link(), 2, "void");
}

function write128(offset: number, value: bigint): void {
  view.setBigUint64(offset, value & LOW, true);
  view.setBigUint64(offset + 8, value >> 64n, true);
}

const read64 = (offset: number): bigint => view.getBigUint64(offset, true);
const littleEndian = (bytes: Uint8Array): bigint =>
  bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);

interface Case {
  r: bigint;
  s: bigint;
  /** Accumulator, at most 2^130 + 2^64. */
  h: bigint;
  blocks: readonly bigint[];
  tail: Uint8Array;
  length: bigint;
  /** Bits of the tag that came in another way. */
  forged: bigint;
}

/** Null when right, else what came out. */
function wrong(
  run: (...values: number[]) => void,
  { r, s, h, blocks, tail, length, forged }: Case,
): string | null {
  write128(WORK + WORKSPACE.clamp, CLAMP);
  write128(WORK + WORKSPACE.keystream, r);
  write128(WORK + WORKSPACE.keystream + 16, s);
  view.setBigUint64(WORK + WORKSPACE.tag, BigInt(base + TAG), true);
  view.setBigUint64(WORK + WORKSPACE.length, length, true);
  view.setBigUint64(IN, BigInt(base + DATA), true);
  view.setBigUint64(IN + 8, BigInt(16 * blocks.length + tail.length), true);
  write128(IN + 16, h & FULL);
  view.setBigUint64(IN + 32, h >> 128n, true);
  for (const [i, block] of blocks.entries()) write128(DATA + 16 * i, block);
  memory.fill(0xff, DATA + 16 * blocks.length, DATA + 16 * blocks.length + 32);
  memory.set(tail, DATA + 16 * blocks.length);
  const take = (sum: bigint, block: bigint): bigint => ((sum + block + (1n << 128n)) * (r & CLAMP)) % P;
  const expected = blocks.reduce(take, h % P);
  const rest = tail.length === 0 ? expected : take(expected, littleEndian(tail));
  const expectedTag = (take(rest, length << 64n) + s) & FULL;
  view.setBigUint64(WORK + WORKSPACE.received, BigInt(base + RECEIVED), true);
  write128(RECEIVED, expectedTag ^ forged);
  view.setBigUint64(WORK + WORKSPACE.differences, 0n, true);
  run(base + WORK + BIAS, base + IN);
  const between = read64(IN + 40) | (read64(IN + 48) << 64n) | (read64(IN + 56) << 128n);
  const tag = read64(TAG) | (read64(TAG + 8) << 64n);
  const differences = (forged & LOW) | (forged >> 64n);
  const right = between % P === (blocks.length === 0 ? h % P : expected) && between >> 128n <= 4n;
  return right && tag === expectedTag && read64(WORK + WORKSPACE.differences) === differences
    ? null
    : `r ${r}, h ${h}, ${blocks.length} blocks: ${tag} for ${expectedTag}`;
}

const random = (bytes: number): bigint => littleEndian(randomBytes(bytes));
const pick = <T>(all: readonly T[]): T => all[randomInt(all.length)] as T;
const LIMBS = [0n, 1n, 4n, 5n, LOW, LOW - 1n, LOW - 4n, 1n << 63n, LOW - 0xffff_ffffn, 0x0ffffffc0fffffffn];
const limb = (): bigint => (randomInt(2) === 0 ? pick(LIMBS) : random(8));
const number128 = (): bigint => (limb() << 64n) | limb();

/** Of those that a multiplication can leave, the awkward ones. */
function accumulator(): bigint {
  return pick([
    () => (3n << 128n) | FULL,
    () => (1n << 130n) + random(8),
    () => (1n << 130n) + LOW,
    () => P - 1n + BigInt(randomInt(12)),
    () => (BigInt(randomInt(4)) << 128n) | number128(),
  ])();
}

t.test("full limbs, carries, the last subtraction", { skip: lookAtProcessor() === null }, async t => {
  const run = build();
  const failures: string[] = [];
  const check = (one: Case): void => {
    const failure = wrong(run, one);
    if (failure !== null) failures.push(failure);
  };
  const none = { blocks: [], tail: new Uint8Array(0), forged: 0n };
  for (let i = 0; i < 20_000; i++) {
    const blocks = Array.from({ length: randomInt(4) }, () => (randomInt(2) === 0 ? FULL : number128()));
    const tail = randomBytes(randomInt(3) === 0 ? randomInt(16) : 0);
    const r = randomInt(3) === 0 ? FULL : number128();
    const forged = pick([0n, 1n << BigInt(randomInt(128)), random(16)]);
    check({ r, s: number128(), h: accumulator(), blocks, tail, length: limb(), forged });
  }
  // With r = 1 the sum before the last subtraction can be chosen: around each value at which it turns.
  for (const turn of [0n, 1n << 128n, 1n << 129n, P, 1n << 130n, 2n * P]) {
    for (let delta = -40n; delta <= 40n; delta++) {
      for (const length of [0n, 1n, LOW]) {
        const h = turn + delta - (1n << 128n) - (length << 64n);
        if (h < 0n || h > (1n << 130n) + LOW) continue;
        for (const s of [0n, 1n, 5n, FULL]) check({ ...none, r: 1n, s, h, length });
      }
    }
  }
  for (let bytes = 0; bytes < 16; bytes++) {
    for (let i = 0; i < 100; i++) {
      check({
        r: random(16),
        s: random(16),
        h: random(16),
        blocks: [],
        tail: randomBytes(bytes),
        length: 0n,
        forged: 0n,
      });
    }
  }
  t.same(failures.slice(0, 5), []);
});
