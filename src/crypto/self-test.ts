/** What a start proves of an AEAD backend before packets are trusted to it. */
import { type AeadKey, type Arena, FIRST_PIECE_BYTES, fromHex } from "../base/index.js";
import { type AeadBackend, KEY_BYTES, TAG_BYTES } from "./aead.js";
import { createNodeAead } from "./node-aead.js";

/** Key 80…9f, counter 2^32 + 7, plaintext 00…2e: tag and ciphertext computed by node:crypto and by noble. */
const TEST_SEALED =
  "ceb1f12b8c50002d96fe5fad2942e0f78c002b988854fe8cd69d698d1f3947dc1b0d48f5554a6eeb884dfee41ebf24ae7e07e2a959aa71d243e549afb67e19";
const TEST_COUNTER = 0x1_0000_0007;
const TEST_BYTES = 47;

/**
 * Throws unless the backend passes both tests. The arena space that they take is not given back.
 */
export function selfTest(arena: Arena, backend: AeadBackend): void {
  testVector(arena, backend);
  testBatch(arena, backend);
}

/**
 * Throws unless the backend gives the known ciphertext, leaves the bytes around it alone, opens it again
 * and, in the same batch, refuses it once a bit is changed.
 */
function testVector(arena: Arena, backend: AeadBackend): void {
  const guard = 0xa5;
  const at = arena.reserve(768) + 128;
  const changed = [at + 256, at + 512];
  const { u8 } = arena;
  u8.fill(guard, at - 128, at + 128);
  for (let i = 0; i < TEST_BYTES; i++) u8[at + i] = i;
  const expected = fromHex(TEST_SEALED) as Uint8Array;
  const key = backend.createKey(Uint8Array.from({ length: 32 }, (_, i) => 0x80 + i));
  try {
    key.seal(at, TEST_BYTES, TEST_COUNTER);
    backend.runSeals();
    const around = (b: number, i: number): boolean =>
      b === (i < 128 || i >= 128 + expected.length ? guard : expected[i - 128]);
    if (!u8.subarray(at - 128, at + 128).every(around)) {
      throw new Error(`${backend.name}: wrong ciphertext`);
    }
    // In each half of the tag.
    for (const [i, where] of [TEST_BYTES, TEST_BYTES + TAG_BYTES - 1].entries()) {
      const copy = changed[i] as number;
      u8.set(expected, copy);
      u8[copy + where] = (expected[where] as number) ^ 0x80;
    }
    const open = (offset: number): number => key.open(offset, TEST_BYTES, TEST_COUNTER);
    for (const offset of changed) {
      const refused = open(offset);
      backend.runOpens();
      if (backend.opened(refused) !== -1) throw new Error(`${backend.name}: took a wrong tag`);
    }
    const [before, taken, after] = [open(changed[0] as number), open(at), open(changed[1] as number)];
    backend.runOpens();
    if (backend.opened(before) !== -1 || backend.opened(after) !== -1)
      throw new Error(`${backend.name}: took a wrong tag in a batch`);
    const opened = backend.opened(taken);
    if (opened === -1 || !u8.subarray(opened, opened + TEST_BYTES).every((b, i) => b === i)) {
      throw new Error(`${backend.name}: wrong plaintext`);
    }
  } finally {
    key.destroy();
  }
}

/** One of each kind that a routine may treat in its own way: none, part of a block, of a vector, of a stride, several. */
const BATCH_LENGTHS = [1420, 0, 449, 13, 976, 64];
const BATCH_SPACE = 1536;

/**
 * Throws unless a batch is sealed as node:crypto seals it, byte by byte with all that is around, and opened as it opens it.
 * Every other packet is in two pieces.
 */
function testBatch(arena: Arena, backend: AeadBackend): void {
  const { u8 } = arena;
  const bytes = BATCH_LENGTHS.length * BATCH_SPACE;
  const [ours, theirs, rest] = [arena.reserve(bytes), arena.reserve(bytes), arena.reserve(BATCH_SPACE)];
  const text = Uint8Array.from({ length: bytes }, (_, i) => i * 7 + (i >> 8));
  for (const start of [ours, theirs]) u8.set(text, start);
  u8.set(text.subarray(1, BATCH_SPACE), rest);
  const node = createNodeAead(arena);
  const keyBytes = Uint8Array.from({ length: KEY_BYTES }, (_, i) => 0xf0 + 5 * i);
  const [key, nodeKey] = [backend.createKey(keyBytes), node.createKey(keyBytes)];
  const seal = (one: AeadKey, start: number): void => {
    for (const [i, length] of BATCH_LENGTHS.entries()) {
      const offset = start + i * BATCH_SPACE + 64;
      one.seal(offset, length, 0xffff_fffe + i, i % 2 === 0 ? rest : offset + FIRST_PIECE_BYTES);
    }
  };
  const open = (one: AeadKey, start: number): number[] =>
    BATCH_LENGTHS.map((length, i) => one.open(start + i * BATCH_SPACE + 64, length, 0xffff_fffe + i));
  const same = (first: number, second: number, length: number): boolean =>
    Buffer.compare(u8.subarray(first, first + length), u8.subarray(second, second + length)) === 0;
  try {
    seal(key, ours);
    backend.runSeals();
    seal(nodeKey, theirs);
    if (!same(ours, theirs, bytes)) throw new Error(`${backend.name}: wrong ciphertext in a batch`);
    const tickets = open(key, ours);
    backend.runOpens();
    for (const [i, ticket] of open(nodeKey, theirs).entries()) {
      const [opened, expected] = [backend.opened(tickets[i] as number), node.opened(ticket)];
      if (opened === -1 || !same(opened, expected, BATCH_LENGTHS[i] as number)) {
        throw new Error(`${backend.name}: wrong plaintext in a batch`);
      }
    }
  } finally {
    key.destroy();
    nodeKey.destroy();
  }
}
