/** Puts suites together from an AEAD backend and the handshake primitives, and decides which one is used. */
import type { AeadKey, Arena, CryptoSuite } from "../base/index.js";
import { equalConstantTime, fromHex } from "../base/index.js";
import { type AeadBackend, TAG_BYTES } from "./aead.js";
import { callRunner } from "./call-runner.js";
import { createEvpAead } from "./evp-aead.js";
import { createEvpMac, type KeyedHash } from "./evp-mac.js";
import * as handshake from "./handshake.js";
import { createNodeAead } from "./node-aead.js";
import { createPrimitivesAead } from "./primitives-aead.js";
import { x25519, x25519PublicKey } from "./x25519.js";

export interface CryptoChoice {
  suite: CryptoSuite;
  /** Why a faster suite is not used; null when the fastest is, or the plain one was asked for. */
  fallbackReason: string | null;
}

export interface CryptoOptions {
  /** Default "fast". */
  prefer?: "fast" | "plain";
}

/**
 * Packet AEAD by OpenSSL of this process, called directly. Throws when neither way in works here. The
 * packets that it is given must keep off the first 64 and the last 16 bytes of the arena.
 */
export function createFastCrypto(arena: Arena): CryptoSuite {
  return createFastest(arena).suite;
}

/** Packet AEAD by node:crypto. */
export function createPlainCrypto(arena: Arena): CryptoSuite {
  return new Suite(createNodeAead(arena));
}

/** The fast suite when it works and passes its self-test, else the plain one. */
export function createCrypto(arena: Arena, options: CryptoOptions = {}): CryptoChoice {
  if (options.prefer === "plain") return { suite: createPlainCrypto(arena), fallbackReason: null };
  try {
    return createFastest(arena);
  } catch (error) {
    return { suite: createPlainCrypto(arena), fallbackReason: (error as Error).message };
  }
}

function createFastest(arena: Arena): CryptoChoice {
  const reasons: string[] = [];
  const ways = [
    () => createPrimitivesAead(arena, callRunner()),
    () => createPrimitivesAead(arena, null),
    () => createEvpAead(arena),
  ];
  for (const create of ways) {
    try {
      const backend = create();
      selfTest(arena, backend);
      const suite = new Suite(backend, createKeyedHash(arena));
      return { suite, fallbackReason: reasons.length === 0 ? null : reasons.join("; ") };
    } catch (error) {
      reasons.push((error as Error).message);
    }
  }
  throw new Error(reasons.join("; "));
}

/** Null where OpenSSL lacks it or computes something else than @noble/hashes, which is used then. */
function createKeyedHash(arena: Arena): KeyedHash | null {
  const key = new Uint8Array(32).fill(5);
  const parts = [Uint8Array.of(1, 2), new Uint8Array(100).fill(7)];
  try {
    const keyedHash = createEvpMac(arena);
    const result = keyedHash(key, parts, 16);
    const expected = handshake.blake2s(parts, { key, bytes: 16 });
    return result !== null && equalConstantTime(result, expected) ? keyedHash : null;
  } catch {
    return null;
  }
}

class Suite implements CryptoSuite {
  readonly name: string;
  readonly createAeadKey: (key: Uint8Array) => AeadKey;
  readonly runSeals: () => void;
  readonly runOpens: () => void;
  readonly opened: (ticket: number) => number;
  readonly aeadSeal: CryptoSuite["aeadSeal"] = handshake.aeadSeal;
  readonly aeadOpen: CryptoSuite["aeadOpen"] = handshake.aeadOpen;
  readonly xaeadSeal: CryptoSuite["xaeadSeal"] = handshake.xaeadSeal;
  readonly xaeadOpen: CryptoSuite["xaeadOpen"] = handshake.xaeadOpen;
  readonly x25519: CryptoSuite["x25519"] = x25519;
  readonly x25519PublicKey: CryptoSuite["x25519PublicKey"] = x25519PublicKey;
  readonly hmac: CryptoSuite["hmac"] = handshake.hmac;

  private readonly keyedHash: KeyedHash | null;

  constructor(backend: AeadBackend, keyedHash: KeyedHash | null = null) {
    this.name = backend.name;
    this.createAeadKey = key => backend.createKey(key);
    this.runSeals = backend.runSeals;
    this.runOpens = backend.runOpens;
    this.opened = backend.opened;
    this.keyedHash = keyedHash;
  }

  blake2s(parts: readonly Uint8Array[], options: { key?: Uint8Array; bytes?: number } = {}): Uint8Array {
    const { key, bytes } = options;
    const fast = key === undefined ? null : (this.keyedHash?.(key, parts, bytes ?? 32) ?? null);
    return fast ?? handshake.blake2s(parts, options);
  }
}

/** Key 80…9f, counter 2^32 + 7, plaintext 00…2e: tag and ciphertext computed by node:crypto and by noble. */
const TEST_SEALED =
  "ceb1f12b8c50002d96fe5fad2942e0f78c002b988854fe8cd69d698d1f3947dc1b0d48f5554a6eeb884dfee41ebf24ae7e07e2a959aa71d243e549afb67e19";
const TEST_COUNTER = 0x1_0000_0007;
const TEST_BYTES = 47;

/**
 * Throws unless the backend gives the known ciphertext, leaves the bytes around it alone, opens it again
 * and, in the same batch, refuses it once a bit is changed.
 */
export function selfTest(arena: Arena, backend: AeadBackend): void {
  const guard = 0xa5;
  const at = arena.reserve(512) + 128;
  const changed = at + 256;
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
    u8.set(expected, changed);
    u8[changed + TEST_BYTES + TAG_BYTES - 1] = (expected.at(-1) as number) ^ 0x80;
    const refused = key.open(changed, TEST_BYTES, TEST_COUNTER);
    const taken = key.open(at, TEST_BYTES, TEST_COUNTER);
    backend.runOpens();
    if (backend.opened(refused) !== -1) throw new Error(`${backend.name}: took a wrong tag`);
    const opened = backend.opened(taken);
    if (opened === -1 || !u8.subarray(opened, opened + TEST_BYTES).every((b, i) => b === i)) {
      throw new Error(`${backend.name}: wrong plaintext`);
    }
  } finally {
    key.destroy();
  }
}
