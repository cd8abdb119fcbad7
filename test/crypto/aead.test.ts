/** The packet AEADs against each other, alone and in batches, their bounds checks, and the choice between them. */
import { createCipheriv, randomBytes, randomInt } from "node:crypto";
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import t from "tap";
import { Arena, FIRST_PIECE_BYTES } from "../../src/base/index.js";
import type { AeadBackend } from "../../src/crypto/aead.js";
import { createFusedAead, createPrimitivesAead } from "../../src/crypto/batched-aead.js";
import { CallList, routine } from "../../src/crypto/call-list.js";
import { type CallRunner, callRunner } from "../../src/crypto/call-runner.js";
import { createEvpAead } from "../../src/crypto/evp-aead.js";
import { createCrypto, createPlainCrypto } from "../../src/crypto/index.js";
import { createNodeAead } from "../../src/crypto/node-aead.js";
import { selfTest } from "../../src/crypto/self-test.js";
import { lookAtProcessor } from "../../src/machine/processor.js";

const ARENA_BYTES = 1 << 21;
const arena = new Arena(ARENA_BYTES);
/** Null where there is no code for the processor. */
const runner: CallRunner | null = ["x64", "arm64"].includes(process.arch) ? callRunner() : null;
const backends: readonly AeadBackend[] = [
  ...(lookAtProcessor() === "avx512" ? [createFusedAead(arena, "avx512")] : []),
  ...(lookAtProcessor() === null ? [] : [createFusedAead(arena, "avx2")]),
  ...(runner === null ? [] : [createPrimitivesAead(arena, runner)]),
  { ...createPrimitivesAead(arena, null), name: "openssl-primitives, call by call" },
  createEvpAead(arena),
  createNodeAead(arena),
];
const area = arena.reserve(1 << 18);
/** For the second pieces of packets. */
const pieces = arena.reserve(1 << 18);

type Key = ReturnType<AeadBackend["createKey"]>;

function sealOne(backend: AeadBackend, key: Key, offset: number, length: number, counter: number): void {
  key.seal(offset, length, counter);
  backend.runSeals();
}

/** Arena offset of the plaintext, or −1. */
function openOne(backend: AeadBackend, key: Key, offset: number, length: number, counter: number): number {
  const ticket = key.open(offset, length, counter);
  backend.runOpens();
  return backend.opened(ticket);
}

t.test("all backends agree over random lengths, offsets and counters, and touch nothing else", async t => {
  let checked = 0;
  for (let round = 0; round < 1500; round++) {
    const key = randomBytes(32);
    const length = round < 300 ? round : randomInt(round % 20 === 0 ? 60_000 : 2000);
    const counter = round % 3 === 0 ? round : randomInt(2 ** 48 - 1) * (round % 3 === 1 ? 1 : 31);
    const at = area + 64 + randomInt(64);
    const plaintext = randomBytes(length);
    const surroundings = randomBytes(length + 64 + 64 + 64);
    const nonce = new Uint8Array(12);
    new DataView(nonce.buffer).setBigUint64(4, BigInt(counter), true);
    const expected = chacha20poly1305(key, nonce).encrypt(plaintext);
    for (const backend of backends) {
      const aead = backend.createKey(key);
      arena.u8.set(surroundings, at - 64);
      arena.u8.set(plaintext, at);
      sealOne(backend, aead, at, length, counter);
      const sealed = Buffer.from(arena.u8.subarray(at, at + length + 16));
      const before = Buffer.from(arena.u8.subarray(at - 64, at));
      const after = Buffer.from(arena.u8.subarray(at + length + 16, at + length + 128));
      const opened = openOne(backend, aead, at, length, counter);
      const same =
        sealed.equals(expected) &&
        before.equals(surroundings.subarray(0, 64)) &&
        after.equals(surroundings.subarray(64 + length + 16)) &&
        opened !== -1 &&
        plaintext.equals(arena.u8.subarray(opened, opened + length)) &&
        surroundings.subarray(0, 64).equals(arena.u8.subarray(at - 64, at));
      if (same) checked++;
      else t.fail(`${backend.name}: length ${length}, counter ${counter}, offset ${at}`);
      aead.destroy();
    }
  }
  t.equal(checked, 1500 * backends.length);
});

for (const backend of backends) {
  t.test(`${backend.name}: any changed bit, another counter or another key is refused`, async t => {
    const at = area + 128;
    const aead = backend.createKey(randomBytes(32));
    const other = backend.createKey(randomBytes(32));
    const sealed = (length: number): Uint8Array => {
      arena.u8.set(randomBytes(length), at);
      sealOne(backend, aead, at, length, 5);
      return arena.u8.slice(at, at + length + 16);
    };
    for (const length of [0, 1, 16, 33, 100]) {
      const datagram = sealed(length);
      for (let bit = 0; bit < (length + 16) * 8; bit++) {
        arena.u8.set(datagram, at);
        arena.u8[at + (bit >> 3)] = (arena.u8[at + (bit >> 3)] as number) ^ (1 << (bit & 7));
        if (openOne(backend, aead, at, length, 5) !== -1) t.fail(`bit ${bit} of ${length} bytes`);
      }
      arena.u8.set(datagram, at);
      t.equal(openOne(backend, aead, at, length, 6), -1);
      arena.u8.set(datagram, at);
      t.equal(openOne(backend, other, at, length, 5), -1);
      arena.u8.set(datagram, at);
      t.not(openOne(backend, aead, at, length, 5), -1);
    }
  });

  t.test(`${backend.name}: ranges outside the arena throw, and so does a destroyed key`, async t => {
    const aead = backend.createKey(randomBytes(32));
    const bad: [number, number][] = [
      [-1, 16],
      [ARENA_BYTES, 0],
      [ARENA_BYTES - 31, 16],
      [area, ARENA_BYTES],
      [area, -1],
      [area + 0.5, 16],
      [Number.NaN, 16],
      [area, Number.NaN],
      [area, 2 ** 32],
      [2 ** 32 + area, 16],
    ];
    for (const [offset, length] of bad) {
      t.throws(() => aead.seal(offset, length, 0), RangeError);
      t.throws(() => aead.open(offset, length, 0), RangeError);
    }
    sealOne(backend, aead, ARENA_BYTES - 48, 16, 0);
    aead.destroy();
    aead.destroy();
    t.throws(() => aead.seal(area, 16, 0), TypeError);
    t.throws(() => aead.open(area, 16, 0), TypeError);
    t.throws(() => backend.createKey(new Uint8Array(31)), RangeError);
  });
}

for (const backend of backends) {
  t.test(`${backend.name}: batches of datagrams one behind the other, some of them forged`, async t => {
    for (let round = 0; round < 60; round++) {
      const keys = [backend.createKey(randomBytes(32)), backend.createKey(randomBytes(32))] as const;
      const datagrams: {
        at: number;
        plaintext: Buffer;
        key: Key;
        counter: number;
        forged: boolean;
        rest: number;
      }[] = [];
      let elsewhere = pieces;
      const usual = 1 + randomInt(1500);
      let at = area + 64;
      // A batch that fits one system call, and one that is too much for it.
      for (let i = 0; i < (round % 2 === 0 ? 44 : 100); i++) {
        const length = round % 3 === 0 ? usual : randomInt(1500);
        const key = keys[round % 5 === 0 ? randomInt(2) : 0] as Key;
        const plaintext = randomBytes(length);
        const gathered = length > FIRST_PIECE_BYTES && randomInt(2) === 0;
        const rest = gathered ? elsewhere + randomInt(64) : at + FIRST_PIECE_BYTES;
        datagrams.push({ at, plaintext, key, counter: i, forged: randomInt(4) === 0, rest });
        arena.u8.set(randomBytes(16), at - 16);
        arena.u8.set(plaintext.subarray(0, FIRST_PIECE_BYTES), at);
        arena.u8.set(plaintext.subarray(FIRST_PIECE_BYTES), rest);
        elsewhere += length + 64;
        at += length + 32;
      }
      const headers = datagrams.map(({ at }) => arena.u8.slice(at - 16, at));
      for (const { at, plaintext, key, counter, rest } of datagrams)
        key.seal(at, plaintext.length, counter, rest);
      backend.runSeals();
      for (const { at, plaintext, rest } of datagrams) {
        const tail = plaintext.subarray(FIRST_PIECE_BYTES);
        const stays =
          rest === at + FIRST_PIECE_BYTES || tail.equals(arena.u8.subarray(rest, rest + tail.length));
        if (!stays) t.fail("a piece that was only read has changed");
      }
      for (const { at, plaintext, forged } of datagrams) {
        const bit = 8 * at + randomInt(8 * (plaintext.length + 16));
        if (forged) arena.u8[bit >> 3] = (arena.u8[bit >> 3] as number) ^ (1 << (bit & 7));
      }
      t.ok(
        headers.every(
          (header, i) =>
            Buffer.compare(header, arena.u8.subarray(datagrams[i]!.at - 16, datagrams[i]!.at)) === 0,
        ),
      );
      let wrong = 0;
      for (let next = 0; next < datagrams.length; ) {
        const batch: [number, (typeof datagrams)[0]][] = [];
        for (; next < datagrams.length; next++) {
          const datagram = datagrams[next] as (typeof datagrams)[0];
          const ticket = datagram.key.open(datagram.at, datagram.plaintext.length, datagram.counter);
          if (ticket === -1) break;
          batch.push([ticket, datagram]);
        }
        if (batch.length === 0) throw new Error("an empty batch is full");
        // A key that goes first does what it was asked for.
        if (next === datagrams.length) for (const key of keys) key.destroy();
        backend.runOpens();
        for (const [ticket, { plaintext, forged }] of batch) {
          const opened = backend.opened(ticket);
          const right =
            opened !== -1 && plaintext.equals(arena.u8.subarray(opened, opened + plaintext.length));
          if (right === forged || (opened === -1) !== forged) wrong++;
        }
      }
      t.equal(wrong, 0, `round ${round}`);
    }
  });

  t.test(
    `${backend.name}: the longest datagram, and a seal whose key is destroyed before it is run`,
    async t => {
      const bytes = randomBytes(32);
      const plaintext = randomBytes(65_535);
      const [aead, other] = [backend.createKey(bytes), backend.createKey(bytes)];
      const at = area + 64;
      arena.u8.set(plaintext, at);
      aead.seal(at, plaintext.length, 9);
      aead.destroy();
      backend.runSeals();
      const opened = openOne(backend, other, at, plaintext.length, 9);
      t.ok(opened !== -1 && plaintext.equals(arena.u8.subarray(opened, opened + plaintext.length)));
    },
  );
}

for (const backend of backends) {
  t.test(
    `${backend.name}: a verdict stands when the datagram's bytes are used for something else`,
    async t => {
      const aead = backend.createKey(randomBytes(32));
      const at = area + 64;
      sealOne(backend, aead, at, 100, 1);
      const ticket = aead.open(at, 100, 1);
      backend.runOpens();
      arena.u8.fill(0, at, at + 116);
      t.not(backend.opened(ticket), -1);
    },
  );
}

for (const backend of backends) {
  t.test(`${backend.name}: packets alike are sealed and opened as one by one`, async t => {
    const node = createNodeAead(arena);
    for (let round = 0; round < 120; round++) {
      const bytes = randomBytes(32);
      const [key, single] = [backend.createKey(bytes), node.createKey(bytes)];
      const length = round < 4 ? round * 32 : randomInt(1430);
      const count = 1 + randomInt(length === 0 ? 64 : Math.min(64, Math.floor(65_536 / (length + 32))));
      const stride = length + 16 + 4 * randomInt(5);
      const counter = [0, 2 ** 32 - 3, 2 ** 48][round % 3] as number;
      const at = area + 64;
      const total = (count - 1) * stride + length + 16;
      arena.u8.set(randomBytes(total), at);
      // Second pieces follow one another, elsewhere.
      const [rest, restStride] = [pieces + randomInt(16), Math.max(0, length - 24)];
      arena.u8.set(randomBytes(count * 1430), rest);
      const before = arena.u8.slice(at, at + total);
      key.sealAlike(count, at, stride, length, counter, rest, restStride);
      backend.runSeals();
      const sealed = arena.u8.slice(at, at + total);
      arena.u8.set(before, at);
      for (let i = 0; i < count; i++)
        single.seal(at + i * stride, length, counter + i, rest + i * restStride);
      const expected = arena.u8.slice(at, at + total);
      t.equal(Buffer.compare(sealed, expected), 0, `round ${round}`);
      const forged = randomInt(2 * count);
      if (forged < count) {
        const i = at + forged * stride + randomInt(length + 16);
        arena.u8[i] = (arena.u8[i] as number) ^ 16;
      }
      const ticket = key.openAlike(count, at, stride, length, counter);
      t.not(ticket, -1, "an empty batch has room for what a system call gives");
      backend.runOpens();
      const offsets = Array.from({ length: count }, (_, i) => backend.opened(ticket + i));
      const wrong = offsets.indexOf(-1);
      t.equal(backend.countOpened(ticket, count), wrong === -1 ? count : wrong);
      if (wrong !== -1) t.equal(backend.countOpened(ticket + wrong, count - wrong), 0);
      const opened = offsets.map(offset => Buffer.from(arena.u8.slice(offset, offset + length)));
      arena.u8.set(sealed, at);
      for (let i = 0; i < count; i++) {
        const plain = node.opened(single.open(at + i * stride, length, counter + i));
        const right = Buffer.compare(opened[i] as Buffer, arena.u8.subarray(plain, plain + length)) === 0;
        if (i === forged ? offsets[i] !== -1 : offsets[i] === -1 || !right)
          t.fail(`round ${round}, packet ${i}`);
        if (i % 60 === 59) node.runOpens();
      }
      node.runOpens();
      key.destroy();
      t.throws(() => key.sealAlike(1, at, 0, length, 0, rest, 0), TypeError);
      t.throws(() => key.openAlike(1, at, 0, length, 0), TypeError);
    }
  });

  t.test(`${backend.name}: each bit of a tag counts, wherever in a batch`, async t => {
    const [key, other] = [backend.createKey(randomBytes(32)), backend.createKey(randomBytes(32))];
    const at = area + 64;
    key.sealAlike(3, at, 256, 100, 0, pieces, 0);
    other.seal(at + 768, 100, 0);
    backend.runSeals();
    const sealed = arena.u8.slice(at, at + 1024);
    for (let bit = 0; bit < 128; bit++) {
      arena.u8.set(sealed, at);
      const forged = bit % 4;
      const byte = at + 256 * forged + 100 + (bit >> 3);
      arena.u8[byte] = (arena.u8[byte] as number) ^ (1 << (bit & 7));
      const ticket = key.openAlike(3, at, 256, 100, 0);
      const last = other.open(at + 768, 100, 0);
      backend.runOpens();
      const wrong = [ticket, ticket + 1, ticket + 2, last].map(one => backend.opened(one) === -1);
      t.same(
        wrong,
        [0, 1, 2, 3].map(i => i === forged),
        `bit ${bit}`,
      );
      t.equal(backend.countOpened(ticket, 3), Math.min(forged, 3));
    }
    key.destroy();
    other.destroy();
  });

  t.test(`${backend.name}: packets alike that would leave the arena`, async t => {
    const key = backend.createKey(randomBytes(32));
    const at = area + 64;
    for (const count of [0, 65, -1, 1.5, Number.NaN]) {
      t.throws(() => key.sealAlike(count, at, 1500, 1000, 0, pieces, 1000), RangeError);
      t.throws(() => key.openAlike(count, at, 1500, 1000, 0), RangeError);
    }
    for (const [count, stride, restStride] of [
      [2, ARENA_BYTES, 0],
      [2, 0, ARENA_BYTES],
      [3, -64, 0],
      [3, 0, -64],
      [3, 1500.5, 0],
      [3, 0, 0.5],
      [3, Number.NaN, 0],
      [64, 2 ** 31, 0],
    ] as const) {
      t.throws(() => key.sealAlike(count, at, stride, 1000, 0, pieces, restStride), RangeError);
      if (restStride === 0) t.throws(() => key.openAlike(count, at, stride, 1000, 0), RangeError);
    }
    key.destroy();
  });
}

const repeated = (word: Uint8Array): Buffer => Buffer.concat([word, word]);

for (const backend of backends.filter(({ name }) => name !== "node" && name !== "openssl-evp")) {
  t.test(`${backend.name}: nothing of a key is in the arena once it is destroyed`, async t => {
    const key = randomBytes(32);
    const aead = backend.createKey(key);
    const at = area + 64;
    for (let i = 0; i < 3; i++) aead.seal(at + 512 * i, 300, 7);
    backend.runSeals();
    const tickets = [0, 1, 2].map(i => aead.open(at + 512 * i, 300, 7));
    backend.runOpens();
    t.ok(tickets.every(ticket => backend.opened(ticket) !== -1));
    const nonce = Buffer.alloc(16);
    nonce.writeUInt32LE(7, 8);
    const keystream = createCipheriv("chacha20", key, nonce).update(Buffer.alloc(512));
    const r = Buffer.from(keystream.subarray(0, 16));
    for (const i of [3, 7, 11, 15]) r[i] = (r[i] as number) & 15;
    for (const i of [4, 8, 12]) r[i] = (r[i] as number) & 252;
    const secrets = [
      ...[0, 8, 16, 24].map(i => key.subarray(i, i + 8)),
      // As rows of equal words.
      ...[0, 4, 8, 12, 16, 20, 24, 28].map(i => repeated(key.subarray(i, i + 4))),
      ...[r.subarray(0, 8), r.subarray(8, 16), keystream.subarray(0, 8), keystream.subarray(16, 24)],
    ];
    const left = (): number => secrets.filter(secret => Buffer.from(arena.buffer).includes(secret)).length;
    t.not(left(), 0, "the search finds what is there");
    aead.destroy();
    t.equal(left(), 0);
  });
}

t.test("the self-test catches a backend that is wrong", async t => {
  const good = createNodeAead(arena);
  const none = { seal: () => {}, open: () => 0, sealAlike: () => {}, openAlike: () => 0, destroy: () => {} };
  for (const backend of backends) selfTest(arena, backend);
  t.throws(() => selfTest(arena, { ...good, createKey: () => none }), /wrong ciphertext/);
  t.throws(() => selfTest(arena, { ...good, opened: () => 0 }), /took a wrong tag/);
  t.throws(() => selfTest(arena, { ...good, opened: () => -1 }), /wrong plaintext/);
  const long = (bytes: Uint8Array): Key => {
    const key = good.createKey(bytes);
    const seal = (offset: number, length: number, counter: number): void => {
      key.seal(offset, length, counter);
      if (length > 1000) arena.u8[offset + 960] = (arena.u8[offset + 960] as number) ^ 1;
    };
    return { ...none, seal, open: (...args) => key.open(...args), destroy: () => key.destroy() };
  };
  t.throws(() => selfTest(arena, { ...good, createKey: long }), /wrong ciphertext in a batch/);
});

t.test(
  "a list of calls: each gets five arguments of 64 bits, in order",
  { skip: runner === null },
  async t => {
    for (const way of [runner, null]) {
      const at = arena.reserve(256);
      const list = new CallList(arena, 3, way);
      arena.u8.fill(0, at, at + 256);
      list.lay(0, routine("memset"), [at], 0x11, 64);
      list.lay(1, routine("memcpy"), [at + 128], [at], 32);
      list.lay(2, routine("memset"), [at + 8], 0x22, 8);
      list.run(0, 1);
      t.equal(arena.u8[at + 128], 0, "only as many as asked for");
      list.setNumber(1, 2, 48);
      list.setAddress(2, 0, at + 132);
      list.run(1, 2);
      const expected = new Uint8Array(256).fill(0x11, 0, 64).fill(0x11, 128, 176).fill(0x22, 132, 140);
      t.same(arena.u8.slice(at, at + 256), expected);
    }
    t.throws(() => routine("no_such_routine"));
  },
);

t.test(
  "createCrypto picks the fast suite, the plain one on request, and the plain one with a reason",
  async t => {
    const fast = createCrypto(new Arena(1 << 20));
    t.match(fast.suite.name, /^fused-|^openssl-/);
    t.equal(fast.fallbackReason, null);
    t.equal(createCrypto(arena, { prefer: "plain" }).suite.name, createPlainCrypto(arena).name);
    // An arena without room for the scratch stands for any failure of the fast ways.
    const fallback = createCrypto(new Arena(64));
    t.equal(fallback.suite.name, "node");
    t.match(fallback.fallbackReason, /no room/);
  },
);
