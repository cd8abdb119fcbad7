/** The Noise core against cacophony's vector, and the WireGuard handshake against a step-by-step oracle. */
import { createHash, createHmac } from "node:crypto";
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { x25519 } from "@noble/curves/ed25519.js";
import { blake2s as nobleBlake2s } from "@noble/hashes/blake2.js";
import t from "tap";
import { Arena, type CryptoSuite, fromHex, toHex } from "../../src/base/index.js";
import { createPlainCrypto } from "../../src/crypto/index.js";
import {
  type KeyPairBytes,
  readFirstPayload,
  readFirstStatic,
  readSecond,
  SymmetricState,
  writeFirst,
  writeSecond,
} from "../../src/wireguard/noise.js";
import { encodeTimestamp, isLater, TimestampSource } from "../../src/wireguard/tai64n.js";
import { A_TO_B, pair } from "./world.js";

const hex = (text: string): Uint8Array => fromHex(text) as Uint8Array;
const crypto: CryptoSuite = createPlainCrypto(new Arena(1 << 16));

function keyPair(privateHex: string): KeyPairBytes {
  const privateKey = hex(privateHex);
  return { privateKey, publicKey: crypto.x25519PublicKey(privateKey) };
}

t.test("cacophony: Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s, all six messages", async t => {
  const prologue = hex("4a6f686e2047616c74");
  const psk = hex("54686973206973206d7920417573747269616e20706572737065637469766521");
  const initiator = keyPair("e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1");
  const initiatorEphemeral = keyPair("893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a");
  const responder = keyPair("4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893");
  const responderEphemeral = keyPair("bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b");
  t.equal(
    toHex(responder.publicKey),
    "31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62",
    "init_remote_static",
  );
  const messages: [string, string][] = [
    [
      "4c756477696720766f6e204d69736573",
      "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944001e21de9f98ddd8e2ad57527207feb56253c9c94a9e496782ecfcb2a75fbcaf1b52948cc48daefe660c62119ab5000980c84831215f2441eba616548e832985464cf17e51ee93109008399a21f7e13f",
    ],
    [
      "4d757272617920526f746862617264",
      "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843cb765f2caef0751b8f007572dab0322217755c0632f365717edbf34d33e87a",
    ],
    ["462e20412e20486179656b", "8153ca9833bc3c1b91a7e66e5f4d4f5b59bf9e64c2f20d15f0bba7"],
    ["4361726c204d656e676572", "07af0c9c86e1b4e80f36b04ff7688d51141af3debd0332f0a705ef"],
    [
      "4a65616e2d426170746973746520536179",
      "6ab1467c0448cc78394494abaaf23afce0e234315d6e2624dcbfa8a21c1c4d073d",
    ],
    [
      "457567656e2042f6686d20766f6e2042617765726b",
      "dfc346c0d2296ae6cf1acf6f12b8456a1dba228cf8d8b774aacf1c47fc53aa80ebc7a4c292",
    ],
  ];
  const [first, second, ...transport] = messages.map(
    ([payload, sealed]) => [hex(payload), hex(sealed)] as const,
  );
  if (first === undefined || second === undefined) throw new Error("vector");
  const staticStatic = crypto.x25519(initiator.privateKey, responder.publicKey) as Uint8Array;

  // Message 1.
  const atInitiator = SymmetricState.start(crypto, prologue, responder.publicKey);
  const fields = writeFirst(
    atInitiator,
    initiatorEphemeral,
    initiator.publicKey,
    responder.publicKey,
    staticStatic,
    first[0],
  );
  if (fields === null) throw new Error("writeFirst");
  t.equal(
    toHex(initiatorEphemeral.publicKey) + toHex(fields.sealedStatic) + toHex(fields.sealedPayload),
    toHex(first[1]),
  );
  const atResponder = SymmetricState.start(crypto, prologue, responder.publicKey);
  const remote = readFirstStatic(atResponder, responder, first[1].slice(0, 32), first[1].slice(32, 80));
  t.same(remote, initiator.publicKey);
  t.same(readFirstPayload(atResponder, staticStatic, first[1].slice(80)), first[0]);

  // Message 2.
  const sealed = writeSecond(
    atResponder,
    responderEphemeral,
    initiatorEphemeral.publicKey,
    initiator.publicKey,
    psk,
    second[0],
  ) as Uint8Array;
  t.equal(toHex(responderEphemeral.publicKey) + toHex(sealed), toHex(second[1]));
  const payload = readSecond(
    atInitiator,
    initiatorEphemeral.privateKey,
    initiator.privateKey,
    second[1].slice(0, 32),
    psk,
    second[1].slice(32),
  );
  t.same(payload, second[0]);
  const hash = "f5191b875290abcd41347ac3622d9679688a7e980229cb937ef748336cfde0e5";
  t.equal(toHex(atInitiator.handshakeHash()), hash);
  t.equal(toHex(atResponder.handshakeHash()), hash);

  // Messages 3 to 6, by the transport keys in turn.
  const keys = atInitiator.split();
  t.same(atResponder.split(), keys);
  for (const [i, [plain, ciphertext]] of transport.entries()) {
    const nonce = new Uint8Array(12);
    nonce[4] = i >> 1;
    t.equal(
      toHex(crypto.aeadSeal(keys[i & 1] as Uint8Array, nonce, plain, new Uint8Array(0))),
      toHex(ciphertext),
      `message ${i + 3}`,
    );
  }
});

t.test("paper §5.4.2–§5.4.5: a device's messages, opened by an oracle written from the paper", async t => {
  const { world, a, b, atA } = pair({ presharedKey: new Uint8Array(32).fill(0x33) });
  a.send(atA, A_TO_B);
  world.advance(50);
  const [initiation, response, data] = world.log.map(d => d.bytes) as [Uint8Array, Uint8Array, Uint8Array];

  const HASH = (...parts: Uint8Array[]): Buffer => {
    const h = createHash("blake2s256");
    for (const part of parts) h.update(part);
    return h.digest();
  };
  const HMAC = (key: Uint8Array, ...parts: Uint8Array[]): Buffer => {
    const h = createHmac("blake2s256", key);
    for (const part of parts) h.update(part);
    return h.digest();
  };
  const KDF = (n: number, key: Uint8Array, input: Uint8Array): Buffer[] => {
    const t0 = HMAC(key, input);
    const out: Buffer[] = [];
    for (let i = 1; i <= n; i++) out.push(HMAC(t0, ...(i === 1 ? [] : [out[i - 2] as Buffer]), Buffer.of(i)));
    return out;
  };
  const AEAD_OPEN = (
    key: Uint8Array,
    counter: number,
    text: Uint8Array,
    associated: Uint8Array,
  ): Uint8Array => {
    const nonce = new Uint8Array(12);
    nonce[4] = counter;
    return chacha20poly1305(key, nonce, associated).decrypt(text);
  };
  const ascii = (text: string): Buffer => Buffer.from(text, "latin1");
  const DH = (privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array =>
    x25519.getSharedSecret(privateKey, publicKey);

  // The responder's view of the initiation.
  let C: Uint8Array = HASH(ascii("Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"));
  let H: Uint8Array = HASH(HASH(C, ascii("WireGuard v1 zx2c4 Jason@zx2c4.com")), b.publicKey);
  const ephemeral = initiation.subarray(8, 40);
  H = HASH(H, ephemeral);
  C = KDF(1, C, ephemeral)[0] as Buffer;
  let [c, k] = KDF(2, C, DH(b.device.privateKey, ephemeral)) as [Buffer, Buffer];
  t.same(AEAD_OPEN(k, 0, initiation.subarray(40, 88), H), a.publicKey);
  H = HASH(H, initiation.subarray(40, 88));
  [c, k] = KDF(2, c, DH(b.device.privateKey, a.publicKey)) as [Buffer, Buffer];
  const timestamp = AEAD_OPEN(k, 0, initiation.subarray(88, 116), H);
  t.equal(toHex(timestamp), toHex(encodeTimestamp(1_767_225_600, 0)));
  H = HASH(H, initiation.subarray(88, 116));
  const mac1 = nobleBlake2s(initiation.subarray(0, 116), {
    key: HASH(ascii("mac1----"), b.publicKey),
    dkLen: 16,
  });
  t.same(initiation.subarray(116, 132), mac1);
  t.same(initiation.subarray(132), new Uint8Array(16));
  const mac1Response = nobleBlake2s(response.subarray(0, 60), {
    key: HASH(ascii("mac1----"), a.publicKey),
    dkLen: 16,
  });
  t.same(response.subarray(60, 76), mac1Response);
  t.same(response.subarray(8, 12), initiation.subarray(4, 8), "receiver index");
  t.same(data.subarray(4, 8), response.subarray(4, 8), "receiver index");
  t.same(data.subarray(8, 16), new Uint8Array(8), "first counter");
  t.ok(c.length === 32 && H.length === 32);
});

t.test("TAI64N: labels, whitening, order", async t => {
  t.equal(toHex(encodeTimestamp(0, 0)), "400000000000000a00000000");
  t.equal(toHex(encodeTimestamp(1_767_225_600, 5)), "400000006955b90a00000005");
  t.ok(isLater(encodeTimestamp(5, 0), encodeTimestamp(4, 999_999_999)));
  t.ok(isLater(encodeTimestamp(5, 2), encodeTimestamp(5, 1)));
  t.notOk(isLater(encodeTimestamp(5, 1), encodeTimestamp(5, 1)));
  t.notOk(isLater(encodeTimestamp(255, 0), encodeTimestamp(256, 0)));
  let clock = 1000.5;
  const source = new TimestampSource(() => clock);
  let last = source.next();
  for (let i = 0; i < 500; i++) {
    if (i === 100) clock = -5;
    if (i === 200) clock = 50_000;
    const next = source.next();
    const whitened = (new DataView(next.buffer).getUint32(8) & 0xffffff) === 0;
    if (!isLater(next, last) || !whitened) t.fail(`${toHex(last)} then ${toHex(next)}`);
    last = next;
  }
});
