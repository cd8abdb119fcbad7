/** Published vectors for the handshake primitives of every suite. */
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import t from "tap";
import { Arena, fromHex, toHex } from "../../src/base/index.js";
import { createFastCrypto, createPlainCrypto } from "../../src/crypto/index.js";

const hex = (text: string): Uint8Array => fromHex(text.replace(/\s/g, "")) as Uint8Array;
const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const suite = createPlainCrypto(new Arena(1 << 20));

t.test("RFC 8439 §2.8.2: AEAD_CHACHA20_POLY1305", async t => {
  const key = hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
  const nonce = hex("070000004041424344454647");
  const associated = hex("50515253c0c1c2c3c4c5c6c7");
  const plaintext = ascii(
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
  );
  const sealed = suite.aeadSeal(key, nonce, plaintext, associated);
  t.equal(
    toHex(sealed),
    toHex(
      hex(`d31a8d34648e60db7b86afbc53ef7ec2 a4aded51296e08fea9e2b5a736ee62d6 3dbea45e8ca9671282fafb69da92728b
        1a71de0a9e060b2905d6a5b67ecd3b36 92ddbd7f2d778b8c9803aee328091b58 fab324e4fad675945585808b4831d7bc
        3ff4def08e4b7a9de576d26586cec64b 6116 1ae10b594f09e26a7e902ecbd0600691`),
    ),
  );
  t.same(suite.aeadOpen(key, nonce, sealed, associated), plaintext);
  sealed[3] = (sealed[3] as number) ^ 1;
  t.equal(suite.aeadOpen(key, nonce, sealed, associated), null);
  t.equal(suite.aeadOpen(key, nonce, sealed.subarray(0, 15), associated), null);
});

t.test("RFC 8439 §A.5: decryption with a 64-bit nonce", async t => {
  const key = hex("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0");
  const nonce = hex("000000000102030405060708");
  const associated = hex("f33388860000000000004e91");
  const sealed =
    hex(`64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26b0
    bdb7b73c321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c8559797a06ef4f0ef61
    c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523e
    af4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a0bb2316053fa76991955ebd63159434ecebb4e466dae5a10
    73a6727627097a1049e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29a6ad5cb4022b02709b
    eead9d67890cbb22392336fea1851f38`);
  const opened = suite.aeadOpen(key, nonce, sealed, associated);
  t.match(new TextDecoder().decode(opened ?? new Uint8Array()), /^Internet-Drafts are draft documents/);
});

t.test("draft-irtf-cfrg-xchacha-03 §A.3.1: AEAD_XCHACHA20_POLY1305", async t => {
  const key = hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
  const nonce = hex("404142434445464748494a4b4c4d4e4f5051525354555657");
  const associated = hex("50515253c0c1c2c3c4c5c6c7");
  const plaintext = ascii(
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
  );
  const sealed = suite.xaeadSeal(key, nonce, plaintext, associated);
  t.equal(toHex(sealed.subarray(0, 16)), "bd6d179d3e83d43b9576579493c0e939");
  t.equal(toHex(sealed.subarray(-16)), "c0875924c1c7987947deafd8780acf49");
  t.same(suite.xaeadOpen(key, nonce, sealed, associated), plaintext);
  sealed[0] = (sealed[0] as number) ^ 1;
  t.equal(suite.xaeadOpen(key, nonce, sealed, associated), null);
});

t.test("RFC 7748 §5.2 and §6.1: X25519", async t => {
  t.equal(
    toHex(
      suite.x25519(
        hex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"),
        hex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"),
      ) as Uint8Array,
    ),
    "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
  );
  t.equal(
    toHex(
      suite.x25519(
        hex("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d"),
        hex("e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493"),
      ) as Uint8Array,
    ),
    "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
    "the top bit of u is ignored",
  );
  const alice = hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
  const bob = hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
  t.equal(
    toHex(suite.x25519PublicKey(alice)),
    "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
  );
  const shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
  t.equal(toHex(suite.x25519(alice, suite.x25519PublicKey(bob)) as Uint8Array), shared);
  t.equal(toHex(suite.x25519(bob, suite.x25519PublicKey(alice)) as Uint8Array), shared);
});

t.test("RFC 7748 §6.1: a low-order point gives null", async t => {
  const key = hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
  const points = [
    "00".repeat(32),
    `01${"00".repeat(31)}`,
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    `ecff${"ff".repeat(29)}7f`,
  ];
  for (const point of points) t.equal(suite.x25519(key, hex(point)), null, point);
});

for (const suite of [createPlainCrypto(new Arena(1 << 20)), createFastCrypto(new Arena(1 << 20))]) {
  t.test(
    `RFC 7693 §B: BLAKE2s-256 of abc, and its self-test over keyed and short modes (§E): ${suite.name}`,
    async t => {
      t.equal(
        toHex(suite.blake2s([ascii("a"), ascii("bc")])),
        "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982",
      );
      // RFC 7693 appendix E: grand hash of unkeyed and keyed results.
      const sequence = (length: number, seed: number): Uint8Array => {
        let a = Math.imul(0xdead4bad, seed) >>> 0;
        let b = 1;
        return Uint8Array.from({ length }, () => {
          const next = (a + b) >>> 0;
          a = b;
          b = next;
          return next >>> 24;
        });
      };
      const results: Uint8Array[] = [];
      for (const bytes of [16, 20, 28, 32]) {
        for (const length of [0, 3, 64, 65, 255, 1024]) {
          const input = sequence(length, length);
          results.push(suite.blake2s([input], { bytes }));
          results.push(suite.blake2s([input], { bytes, key: sequence(bytes, bytes) }));
        }
      }
      t.equal(
        toHex(suite.blake2s(results)),
        "6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe",
      );
    },
  );
}

t.test("RFC 2104: HMAC-BLAKE2s from its definition", async t => {
  const key = sequenceBytes(32, 1);
  const pad = (value: number): Uint8Array =>
    Uint8Array.from({ length: 64 }, (_, i) => (i < 32 ? (key[i] as number) : 0) ^ value);
  const message = sequenceBytes(100, 9);
  const expected = suite.blake2s([pad(0x5c), suite.blake2s([pad(0x36), message])]);
  t.same(suite.hmac(key, [message.subarray(0, 40), message.subarray(40)]), expected);
});

t.test("the self-test's vector agrees with noble", async t => {
  const key = sequenceBytes(32, 0x80);
  const nonce = new Uint8Array(12);
  new DataView(nonce.buffer).setBigUint64(4, 0x100000007n, true);
  t.equal(
    toHex(chacha20poly1305(key, nonce).encrypt(sequenceBytes(47, 0))),
    "ceb1f12b8c50002d96fe5fad2942e0f78c002b988854fe8cd69d698d1f3947dc1b0d48f5554a6eeb884dfee41ebf24ae7e07e2a959aa71d243e549afb67e19",
  );
});

t.test("the fast suite works on this machine", async t => {
  t.match(createFastCrypto(new Arena(1 << 20)).name, /^fused-|^openssl-/);
});

function sequenceBytes(length: number, start: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => start + i);
}
