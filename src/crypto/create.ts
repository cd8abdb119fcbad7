/** Puts suites together from an AEAD backend and the handshake primitives, and decides which one is used. */
import type { AeadKey, Arena, CryptoSuite } from "../base/index.js";
import { equalConstantTime } from "../base/index.js";
import { lookAtProcessor } from "../machine/index.js";
import type { AeadBackend } from "./aead.js";
import { createFusedAead, createPrimitivesAead } from "./batched-aead.js";
import { callRunner } from "./call-runner.js";
import { createEvpAead } from "./evp-aead.js";
import { createEvpMac, type KeyedHash } from "./evp-mac.js";
import * as handshake from "./handshake.js";
import { createNodeAead } from "./node-aead.js";
import { selfTest } from "./self-test.js";
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
 * Packet AEAD by machine code of our own or OpenSSL of this process. Throws when none of that works here. The
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

/** In this order: the first that works. Where a processor has AVX-512, code for AVX2 works as well. */
function createFastest(arena: Arena): CryptoChoice {
  const reasons = new Set<string>();
  let backend: AeadBackend | null = null;
  const attempt = (create: () => AeadBackend): void => {
    if (backend !== null) return;
    try {
      const created = create();
      selfTest(arena, created);
      backend = created;
    } catch (error) {
      reasons.add((error as Error).message);
    }
  };
  const vectors = lookAtProcessor();
  if (vectors === "avx512") attempt(() => createFusedAead(arena, "avx512"));
  if (vectors !== null) attempt(() => createFusedAead(arena, "avx2"));
  attempt(() => createPrimitivesAead(arena, callRunner()));
  attempt(() => createPrimitivesAead(arena, null));
  attempt(() => createEvpAead(arena));
  const fallbackReason = reasons.size === 0 ? null : [...reasons].join("; ");
  if (backend === null) throw new Error(fallbackReason ?? "no AEAD");
  return { suite: new Suite(backend, createKeyedHash(arena)), fallbackReason };
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
  readonly countOpened: (ticket: number, most: number) => number;
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
    this.countOpened = backend.countOpened;
    this.keyedHash = keyedHash;
  }

  blake2s(parts: readonly Uint8Array[], options: { key?: Uint8Array; bytes?: number } = {}): Uint8Array {
    const { key, bytes } = options;
    const fast = key === undefined ? null : (this.keyedHash?.(key, parts, bytes ?? 32) ?? null);
    return fast ?? handshake.blake2s(parts, options);
  }
}
