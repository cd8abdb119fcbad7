/**
 * Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s: the symmetric state and the two messages of the pattern.
 *
 * Owns the transcript hash and the chaining key, nothing of WireGuard's framing: prologue and payloads are
 * arguments, so that published Noise vectors apply. Follows the Noise specification (revision 34) §5 and §9,
 * and the paper's §5.4.2–§5.4.5, which spell out the same steps.
 *
 * ```
 *   <- s
 *   -> e, es, s, ss, payload
 *   <- e, ee, se, psk, payload
 * ```
 */
import type { CryptoSuite } from "../base/index.js";
import { CONSTRUCTION, KEY_BYTES } from "./constants.js";

const EMPTY: Uint8Array = new Uint8Array(0);
/** Every key of this pattern encrypts once, so the nonce is always 0. */
const NONCE: Uint8Array = new Uint8Array(12);
const BYTE_1: Uint8Array = Uint8Array.of(1);
const BYTE_2: Uint8Array = Uint8Array.of(2);
const BYTE_3: Uint8Array = Uint8Array.of(3);

export interface KeyPairBytes {
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
}

/** Noise §5.2. */
export class SymmetricState {
  private readonly crypto: CryptoSuite;
  private chainingKey: Uint8Array;
  private hash: Uint8Array;
  private key: Uint8Array = EMPTY;

  private constructor(crypto: CryptoSuite, chainingKey: Uint8Array, hash: Uint8Array) {
    this.crypto = crypto;
    this.chainingKey = chainingKey;
    this.hash = hash;
  }

  /** At the start of a handshake with the responder of that static key. */
  static start(crypto: CryptoSuite, prologue: Uint8Array, responderStatic: Uint8Array): SymmetricState {
    const name = crypto.blake2s([new TextEncoder().encode(CONSTRUCTION)]);
    const state = new SymmetricState(crypto, name, name.slice());
    state.mixHash(prologue);
    state.mixHash(responderStatic);
    return state;
  }

  /** A copy to try a message on that may turn out to be forged. */
  clone(): SymmetricState {
    const copy = new SymmetricState(this.crypto, this.chainingKey.slice(), this.hash.slice());
    copy.key = this.key.slice();
    return copy;
  }

  mixHash(data: Uint8Array): void {
    this.hash = this.crypto.blake2s([this.hash, data]);
  }

  /** KDF1 or KDF2: a new chaining key and, where a field is encrypted next, its key. */
  mixKey(input: Uint8Array, withKey: boolean): void {
    const secret = this.crypto.hmac(this.chainingKey, [input]);
    this.chainingKey.fill(0);
    this.chainingKey = this.crypto.hmac(secret, [BYTE_1]);
    if (withKey) this.setKey(this.crypto.hmac(secret, [this.chainingKey, BYTE_2]));
    secret.fill(0);
  }

  /** As `mixKey` with the shared secret of two keys; false when that is all zero. */
  mixSharedSecret(privateKey: Uint8Array, publicKey: Uint8Array, withKey: boolean): boolean {
    const secret = this.crypto.x25519(privateKey, publicKey);
    if (secret === null) return false;
    this.mixKey(secret, withKey);
    secret.fill(0);
    return true;
  }

  /** KDF3. */
  mixKeyAndHash(presharedKey: Uint8Array): void {
    const secret = this.crypto.hmac(this.chainingKey, [presharedKey]);
    this.chainingKey.fill(0);
    this.chainingKey = this.crypto.hmac(secret, [BYTE_1]);
    const toHash = this.crypto.hmac(secret, [this.chainingKey, BYTE_2]);
    this.setKey(this.crypto.hmac(secret, [toHash, BYTE_3]));
    this.mixHash(toHash);
    toHash.fill(0);
    secret.fill(0);
  }

  encryptAndHash(plaintext: Uint8Array): Uint8Array {
    const sealed = this.crypto.aeadSeal(this.key, NONCE, plaintext, this.hash);
    this.mixHash(sealed);
    return sealed;
  }

  decryptAndHash(sealed: Uint8Array): Uint8Array | null {
    const plaintext = this.crypto.aeadOpen(this.key, NONCE, sealed, this.hash);
    if (plaintext !== null) this.mixHash(sealed);
    return plaintext;
  }

  /** The transport keys: initiator to responder first. Ends the handshake. */
  split(): [Uint8Array, Uint8Array] {
    const secret = this.crypto.hmac(this.chainingKey, [EMPTY]);
    const first = this.crypto.hmac(secret, [BYTE_1]);
    const second = this.crypto.hmac(secret, [first, BYTE_2]);
    secret.fill(0);
    this.wipe();
    return [first, second];
  }

  /** Copy of the transcript hash, for channel binding and tests. */
  handshakeHash(): Uint8Array {
    return this.hash.slice();
  }

  wipe(): void {
    this.chainingKey.fill(0);
    this.hash.fill(0);
    this.key.fill(0);
  }

  private setKey(key: Uint8Array): void {
    this.key.fill(0);
    this.key = key;
  }
}

export function generateKeyPair(
  crypto: CryptoSuite,
  random: { fill(bytes: Uint8Array): void },
): KeyPairBytes {
  const privateKey = new Uint8Array(KEY_BYTES);
  random.fill(privateKey);
  clamp(privateKey);
  return { privateKey, publicKey: crypto.x25519PublicKey(privateKey) };
}

/** RFC 7748 §5, so that the stored key is the one that is used (and shown by `wg show`). */
export function clamp(privateKey: Uint8Array): void {
  privateKey[0] = (privateKey[0] as number) & 248;
  privateKey[31] = ((privateKey[31] as number) & 127) | 64;
}

/**
 * The initiator's first message: encrypted static key and payload.
 * Null when a shared secret is all zero: the responder's key is no real one.
 * @param staticStatic the shared secret of both static keys
 */
export function writeFirst(
  state: SymmetricState,
  ephemeral: KeyPairBytes,
  staticPublic: Uint8Array,
  responderStatic: Uint8Array,
  staticStatic: Uint8Array,
  payload: Uint8Array,
): { sealedStatic: Uint8Array; sealedPayload: Uint8Array } | null {
  state.mixHash(ephemeral.publicKey);
  state.mixKey(ephemeral.publicKey, false);
  if (!state.mixSharedSecret(ephemeral.privateKey, responderStatic, true)) return null;
  const sealedStatic = state.encryptAndHash(staticPublic);
  state.mixKey(staticStatic, true);
  return { sealedStatic, sealedPayload: state.encryptAndHash(payload) };
}

/** The responder's first half of reading it: who is it? Null when forged. */
export function readFirstStatic(
  state: SymmetricState,
  responder: KeyPairBytes,
  ephemeral: Uint8Array,
  sealedStatic: Uint8Array,
): Uint8Array | null {
  state.mixHash(ephemeral);
  state.mixKey(ephemeral, false);
  if (!state.mixSharedSecret(responder.privateKey, ephemeral, true)) return null;
  return state.decryptAndHash(sealedStatic);
}

/** The second half, with the shared secret of both static keys. */
export function readFirstPayload(
  state: SymmetricState,
  staticStatic: Uint8Array,
  sealedPayload: Uint8Array,
): Uint8Array | null {
  state.mixKey(staticStatic, true);
  return state.decryptAndHash(sealedPayload);
}

/** The responder's message: its encrypted payload, or null when the initiator's keys are no real ones. */
export function writeSecond(
  state: SymmetricState,
  ephemeral: KeyPairBytes,
  initiatorEphemeral: Uint8Array,
  initiatorStatic: Uint8Array,
  presharedKey: Uint8Array,
  payload: Uint8Array,
): Uint8Array | null {
  state.mixHash(ephemeral.publicKey);
  state.mixKey(ephemeral.publicKey, false);
  if (!state.mixSharedSecret(ephemeral.privateKey, initiatorEphemeral, false)) return null;
  if (!state.mixSharedSecret(ephemeral.privateKey, initiatorStatic, false)) return null;
  state.mixKeyAndHash(presharedKey);
  return state.encryptAndHash(payload);
}

/** Reads it at the initiator: the payload, or null when forged. */
export function readSecond(
  state: SymmetricState,
  ephemeralPrivate: Uint8Array,
  staticPrivate: Uint8Array,
  responderEphemeral: Uint8Array,
  presharedKey: Uint8Array,
  sealedPayload: Uint8Array,
): Uint8Array | null {
  state.mixHash(responderEphemeral);
  state.mixKey(responderEphemeral, false);
  if (!state.mixSharedSecret(ephemeralPrivate, responderEphemeral, false)) return null;
  if (!state.mixSharedSecret(staticPrivate, responderEphemeral, false)) return null;
  state.mixKeyAndHash(presharedKey);
  return state.decryptAndHash(sealedPayload);
}
