/**
 * MACs and cookies (paper §5.3, §5.4.4, §5.4.7): a responder under load answers a handshake message with a
 * cookie instead of work, and works only for those who show that they got it at the address they claim.
 */
import { type CryptoSuite, equalConstantTime, type Milliseconds, NEVER, type Random } from "../base/index.js";
import {
  COOKIE_BYTES,
  COOKIE_SECRET_MAX_AGE_MS,
  LABEL_COOKIE,
  LABEL_MAC1,
  MESSAGE_COOKIE,
} from "./constants.js";
import {
  COOKIE_NONCE_AT,
  COOKIE_RECEIVER_AT,
  COOKIE_SEALED_AT,
  MAC_BYTES,
  MACS_BYTES,
  readInt32,
  SENDER_AT,
  writeInt32,
} from "./message.js";

const SECRET_BYTES = 32;
const NONCE_BYTES = 24;
const ZERO_MAC: Uint8Array = new Uint8Array(MAC_BYTES);

function macKey(crypto: CryptoSuite, label: string, publicKey: Uint8Array): Uint8Array {
  return crypto.blake2s([new TextEncoder().encode(label), publicKey]);
}

function mac(crypto: CryptoSuite, key: Uint8Array, parts: readonly Uint8Array[]): Uint8Array {
  return crypto.blake2s(parts, { key, bytes: MAC_BYTES });
}

/** Checks the MACs of messages to us, and makes cookies. */
export class CookieChecker {
  private readonly crypto: CryptoSuite;
  private readonly random: Random;
  private readonly mac1Key: Uint8Array;
  private readonly cookieKey: Uint8Array;
  private readonly secret: Uint8Array = new Uint8Array(SECRET_BYTES);
  private secretSince: Milliseconds = -NEVER;

  constructor(crypto: CryptoSuite, random: Random, publicKey: Uint8Array) {
    this.crypto = crypto;
    this.random = random;
    this.mac1Key = macKey(crypto, LABEL_MAC1, publicKey);
    this.cookieKey = macKey(crypto, LABEL_COOKIE, publicKey);
  }

  /** The sender knows our public key. */
  checkMac1(message: Uint8Array): boolean {
    const at = message.length - MACS_BYTES;
    const expected = mac(this.crypto, this.mac1Key, [message.subarray(0, at)]);
    return equalConstantTime(expected, message.subarray(at, at + MAC_BYTES));
  }

  /** The sender got our cookie at `source`. @param source address and port bytes */
  checkMac2(message: Uint8Array, source: Uint8Array, now: Milliseconds): boolean {
    const at = message.length - MAC_BYTES;
    const claimed = message.subarray(at);
    if (equalConstantTime(claimed, ZERO_MAC)) return false;
    if (now - this.secretSince >= COOKIE_SECRET_MAX_AGE_MS) return false;
    const cookie = mac(this.crypto, this.secret, [source]);
    return equalConstantTime(mac(this.crypto, cookie, [message.subarray(0, at)]), claimed);
  }

  /** Writes the cookie reply to `message` into `reply` (64 bytes). */
  writeReply(reply: Uint8Array, message: Uint8Array, source: Uint8Array, now: Milliseconds): void {
    if (now - this.secretSince >= COOKIE_SECRET_MAX_AGE_MS) {
      this.random.fill(this.secret);
      this.secretSince = now;
    }
    const nonce = new Uint8Array(NONCE_BYTES);
    this.random.fill(nonce);
    const cookie = mac(this.crypto, this.secret, [source]);
    const at = message.length - MACS_BYTES;
    writeInt32(reply, 0, MESSAGE_COOKIE);
    writeInt32(reply, COOKIE_RECEIVER_AT, readInt32(message, SENDER_AT));
    reply.set(nonce, COOKIE_NONCE_AT);
    const mac1 = message.subarray(at, at + MAC_BYTES);
    reply.set(this.crypto.xaeadSeal(this.cookieKey, nonce, cookie, mac1), COOKIE_SEALED_AT);
  }
}

/** Puts the MACs on messages to one peer, and keeps the cookie that it sent. */
export class CookieKeeper {
  private readonly crypto: CryptoSuite;
  private readonly mac1Key: Uint8Array;
  private readonly cookieKey: Uint8Array;
  private readonly lastMac1: Uint8Array = new Uint8Array(MAC_BYTES);
  private hasLastMac1 = false;
  private cookie: Uint8Array | null = null;
  private cookieSince: Milliseconds = 0;

  constructor(crypto: CryptoSuite, peerPublicKey: Uint8Array) {
    this.crypto = crypto;
    this.mac1Key = macKey(crypto, LABEL_MAC1, peerPublicKey);
    this.cookieKey = macKey(crypto, LABEL_COOKIE, peerPublicKey);
  }

  /** Fills the last 32 bytes of a handshake message that is complete otherwise. */
  addMacs(message: Uint8Array, now: Milliseconds): void {
    const at = message.length - MACS_BYTES;
    const mac1 = mac(this.crypto, this.mac1Key, [message.subarray(0, at)]);
    message.set(mac1, at);
    this.lastMac1.set(mac1);
    this.hasLastMac1 = true;
    if (this.cookie !== null && now - this.cookieSince >= COOKIE_SECRET_MAX_AGE_MS) this.cookie = null;
    message.set(
      this.cookie === null ? ZERO_MAC : mac(this.crypto, this.cookie, [message.subarray(0, at + MAC_BYTES)]),
      at + MAC_BYTES,
    );
  }

  /** Keeps the cookie of a reply; false when it does not answer our last message or is forged. */
  consumeReply(reply: Uint8Array, now: Milliseconds): boolean {
    if (!this.hasLastMac1 || reply.length !== COOKIE_BYTES) return false;
    const nonce = reply.subarray(COOKIE_NONCE_AT, COOKIE_NONCE_AT + NONCE_BYTES);
    const sealed = reply.subarray(COOKIE_SEALED_AT);
    const cookie = this.crypto.xaeadOpen(this.cookieKey, nonce, sealed, this.lastMac1);
    if (cookie === null) return false;
    this.cookie = cookie;
    this.cookieSince = now;
    this.hasLastMac1 = false;
    return true;
  }
}
