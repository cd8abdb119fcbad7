import type { Arena, CryptoSuite } from "../base/index.js";

export interface CryptoChoice {
  suite: CryptoSuite;
  /** Why the fast suite is not used; null when it is, or was not asked for. */
  fallbackReason: string | null;
}

export interface CryptoOptions {
  /** Default "fast". */
  prefer?: "fast" | "plain";
}

/** The AEAD through OpenSSL's EVP of this process. Throws when that is not possible here. */
export function createFastCrypto(_arena: Arena): CryptoSuite {
  throw new Error("not built yet");
}

/** The AEAD through node:crypto. */
export function createPlainCrypto(_arena: Arena): CryptoSuite {
  throw new Error("not built yet");
}

/** The fast suite when it works and passes its self-test, else the plain one. */
export function createCrypto(_arena: Arena, _options: CryptoOptions = {}): CryptoChoice {
  throw new Error("not built yet");
}
