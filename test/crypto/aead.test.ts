/** The three packet AEADs against each other, their bounds checks, and the choice between them. */
import { randomBytes, randomInt } from "node:crypto";
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import t from "tap";
import { Arena } from "../../src/base/index.js";
import type { AeadBackend } from "../../src/crypto/aead.js";
import { selfTest } from "../../src/crypto/create.js";
import { createEvpAead } from "../../src/crypto/evp-aead.js";
import { createCrypto, createPlainCrypto } from "../../src/crypto/index.js";
import { createNodeAead } from "../../src/crypto/node-aead.js";
import { createPrimitivesAead } from "../../src/crypto/primitives-aead.js";

const arena = new Arena(1 << 20);
const backends: readonly AeadBackend[] = [
  createPrimitivesAead(arena),
  createEvpAead(arena),
  createNodeAead(arena),
];
const area = arena.reserve(1 << 18);

t.test("all backends agree over random lengths, offsets and counters, and touch nothing else", async t => {
  let checked = 0;
  for (let round = 0; round < 1500; round++) {
    const key = randomBytes(32);
    const length = round < 300 ? round : randomInt(2000);
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
      aead.seal(at, length, counter);
      const sealed = Buffer.from(arena.u8.subarray(at, at + length + 16));
      const before = Buffer.from(arena.u8.subarray(at - 64, at));
      const after = Buffer.from(arena.u8.subarray(at + length + 16, at + length + 128));
      const opened = aead.open(at, length, counter);
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
  t.equal(checked, 1500 * 3);
});

for (const backend of backends) {
  t.test(`${backend.name}: any changed bit, another counter or another key is refused`, async t => {
    const at = area + 128;
    const aead = backend.createKey(randomBytes(32));
    const other = backend.createKey(randomBytes(32));
    const sealed = (length: number): Uint8Array => {
      arena.u8.set(randomBytes(length), at);
      aead.seal(at, length, 5);
      return arena.u8.slice(at, at + length + 16);
    };
    for (const length of [0, 1, 16, 33, 100]) {
      const datagram = sealed(length);
      for (let bit = 0; bit < (length + 16) * 8; bit++) {
        arena.u8.set(datagram, at);
        arena.u8[at + (bit >> 3)] = (arena.u8[at + (bit >> 3)] as number) ^ (1 << (bit & 7));
        if (aead.open(at, length, 5) !== -1) t.fail(`bit ${bit} of ${length} bytes`);
      }
      arena.u8.set(datagram, at);
      t.equal(aead.open(at, length, 6), -1);
      arena.u8.set(datagram, at);
      t.equal(other.open(at, length, 5), -1);
      arena.u8.set(datagram, at);
      t.not(aead.open(at, length, 5), -1);
    }
  });

  t.test(`${backend.name}: ranges outside the arena throw, and so does a destroyed key`, async t => {
    const aead = backend.createKey(randomBytes(32));
    const bad: [number, number][] = [
      [-1, 16],
      [1 << 20, 0],
      [(1 << 20) - 31, 16],
      [area, 1 << 20],
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
    aead.seal((1 << 20) - 48, 16, 0);
    aead.destroy();
    aead.destroy();
    t.throws(() => aead.seal(area, 16, 0), TypeError);
    t.throws(() => aead.open(area, 16, 0), TypeError);
    t.throws(() => backend.createKey(new Uint8Array(31)), RangeError);
  });
}

t.test("the self-test catches a backend that is wrong", async t => {
  const good = createNodeAead(arena);
  const broken = (change: Partial<ReturnType<AeadBackend["createKey"]>>): AeadBackend => ({
    name: "broken",
    createKey: key => {
      const inner = good.createKey(key);
      return {
        seal: (offset, length, counter) => inner.seal(offset, length, counter),
        open: (offset, length, counter) => inner.open(offset, length, counter),
        destroy: () => inner.destroy(),
        ...change,
      };
    },
  });
  selfTest(arena, good);
  t.throws(() => selfTest(arena, broken({ seal: () => {} })), /wrong ciphertext/);
  t.throws(() => selfTest(arena, broken({ open: () => 0 })), /took a wrong tag/);
  t.throws(() => selfTest(arena, broken({ open: () => -1 })), /wrong plaintext/);
});

t.test(
  "createCrypto picks the fast suite, the plain one on request, and the plain one with a reason",
  async t => {
    const fast = createCrypto(new Arena(1 << 20));
    t.match(fast.suite.name, /^openssl-/);
    t.equal(createCrypto(arena, { prefer: "plain" }).suite.name, createPlainCrypto(arena).name);
    // An arena without room for the scratch stands for any failure of the fast ways.
    const fallback = createCrypto(new Arena(64));
    t.equal(fallback.suite.name, "node");
    t.match(fallback.fallbackReason, /no room/);
  },
);
