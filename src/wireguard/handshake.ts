/**
 * The handshake with one peer (paper §5.4.2–§5.4.5): makes and reads initiation and response, and gives the
 * session's keys. Knows no endpoint, timer or index table.
 *
 * Both roles are independent here: an initiation of ours that is under way survives one that we answer, so
 * two peers that initiate at the same moment both end with working sessions.
 */
import type { CryptoSuite, Milliseconds, Random } from "../base/index.js";
import {
  IDENTIFIER,
  KEY_BYTES,
  MESSAGE_INITIATION,
  MESSAGE_RESPONSE,
  MIN_INITIATION_INTERVAL_MS,
  TAG_BYTES,
  TIMESTAMP_BYTES,
} from "./constants.js";
import {
  INITIATION_EPHEMERAL_AT,
  INITIATION_STATIC_AT,
  INITIATION_TIMESTAMP_AT,
  RESPONSE_EMPTY_AT,
  RESPONSE_EPHEMERAL_AT,
  RESPONSE_RECEIVER_AT,
  readInt32,
  SENDER_AT,
  writeInt32,
} from "./message.js";
import {
  generateKeyPair,
  type KeyPairBytes,
  readFirstPayload,
  readFirstStatic,
  readSecond,
  SymmetricState,
  writeFirst,
  writeSecond,
} from "./noise.js";
import { isLater } from "./tai64n.js";

const PROLOGUE: Uint8Array = new TextEncoder().encode(IDENTIFIER);
const EMPTY: Uint8Array = new Uint8Array(0);

/** Our static keys, and what computes with them. */
export interface Identity extends KeyPairBytes {
  readonly crypto: CryptoSuite;
  readonly random: Random;
}

/** An initiation that was opened as far as its sender's identity. */
export interface OpenedInitiation {
  readonly state: SymmetricState;
  readonly remoteStatic: Uint8Array;
  readonly remoteEphemeral: Uint8Array;
  readonly remoteIndex: number;
  readonly sealedTimestamp: Uint8Array;
}

/** Transport keys; whoever takes them wipes them. */
export interface SessionKeys {
  readonly sendKey: Uint8Array;
  readonly receiveKey: Uint8Array;
  readonly remoteIndex: number;
}

export type InitiationVerdict = "ok" | "forged" | "replayed" | "too-soon";

/** Who sent this initiation? Null when it was not made for us. */
export function openInitiation(identity: Identity, message: Uint8Array): OpenedInitiation | null {
  const state = SymmetricState.start(identity.crypto, PROLOGUE, identity.publicKey);
  const remoteEphemeral = message.slice(INITIATION_EPHEMERAL_AT, INITIATION_EPHEMERAL_AT + KEY_BYTES);
  const sealedStatic = message.slice(INITIATION_STATIC_AT, INITIATION_STATIC_AT + KEY_BYTES + TAG_BYTES);
  const remoteStatic = readFirstStatic(state, identity, remoteEphemeral, sealedStatic);
  if (remoteStatic === null) return null;
  return {
    state,
    remoteStatic,
    remoteEphemeral,
    remoteIndex: readInt32(message, SENDER_AT),
    sealedTimestamp: message.slice(
      INITIATION_TIMESTAMP_AT,
      INITIATION_TIMESTAMP_AT + TIMESTAMP_BYTES + TAG_BYTES,
    ),
  };
}

export class Handshake {
  /** When the initiation that is under way was sent; also limits how often we initiate. */
  sentAt: Milliseconds = Number.NEGATIVE_INFINITY;
  private readonly remoteStatic: Uint8Array;
  private readonly presharedKey: Uint8Array = new Uint8Array(KEY_BYTES);
  /** Shared secret of both static keys; null when the peer's is no real key. */
  private staticStatic: Uint8Array | null = null;
  private identity: Identity | null = null;
  private state: SymmetricState | null = null;
  private ephemeral: KeyPairBytes | null = null;
  private readonly greatestTimestamp: Uint8Array = new Uint8Array(TIMESTAMP_BYTES);
  private consumedAt: Milliseconds = Number.NEGATIVE_INFINITY;

  constructor(remoteStatic: Uint8Array) {
    this.remoteStatic = remoteStatic;
  }

  /** To be called again whenever our own key changes. */
  setIdentity(identity: Identity): void {
    this.abandon();
    this.staticStatic?.fill(0);
    this.staticStatic = null;
    this.identity = identity;
  }

  /** Made when first needed: thousands of peers are configured, and few of them call at once. */
  private sharedStatic(): Uint8Array | null {
    const { identity } = this;
    if (identity === null) return null;
    this.staticStatic ??= identity.crypto.x25519(identity.privateKey, this.remoteStatic);
    return this.staticStatic;
  }

  setPresharedKey(key: Uint8Array): void {
    this.presharedKey.set(key);
  }

  getPresharedKey(): Uint8Array {
    return this.presharedKey;
  }

  /** Whether an initiation of ours waits for its response. */
  get isUnderWay(): boolean {
    return this.state !== null;
  }

  /** Fills the initiation but its MACs; false when the peer's key is no real one. */
  writeInitiation(
    identity: Identity,
    message: Uint8Array,
    localIndex: number,
    timestamp: Uint8Array,
    now: Milliseconds,
  ): boolean {
    this.abandon();
    const staticStatic = this.sharedStatic();
    if (staticStatic === null) return false;
    const state = SymmetricState.start(identity.crypto, PROLOGUE, this.remoteStatic);
    const ephemeral = generateKeyPair(identity.crypto, identity.random);
    const fields = writeFirst(
      state,
      ephemeral,
      identity.publicKey,
      this.remoteStatic,
      staticStatic,
      timestamp,
    );
    if (fields === null) return false;
    writeInt32(message, 0, MESSAGE_INITIATION);
    writeInt32(message, SENDER_AT, localIndex);
    message.set(ephemeral.publicKey, INITIATION_EPHEMERAL_AT);
    message.set(fields.sealedStatic, INITIATION_STATIC_AT);
    message.set(fields.sealedPayload, INITIATION_TIMESTAMP_AT);
    this.state = state;
    this.ephemeral = ephemeral;
    this.sentAt = now;
    return true;
  }

  /** Finishes reading an initiation of this peer: only a newer timestamp than any before will do. */
  consumeInitiation(opened: OpenedInitiation, now: Milliseconds): InitiationVerdict {
    const staticStatic = this.sharedStatic();
    if (staticStatic === null) return "forged";
    const timestamp = readFirstPayload(opened.state, staticStatic, opened.sealedTimestamp);
    if (timestamp === null) return "forged";
    if (!isLater(timestamp, this.greatestTimestamp)) return "replayed";
    if (now - this.consumedAt < MIN_INITIATION_INTERVAL_MS) return "too-soon";
    this.greatestTimestamp.set(timestamp);
    this.consumedAt = now;
    return "ok";
  }

  /** Fills the response but its MACs, and gives the session; null when the peer's keys are no real ones. */
  writeResponse(
    identity: Identity,
    message: Uint8Array,
    opened: OpenedInitiation,
    localIndex: number,
  ): SessionKeys | null {
    const { state, remoteIndex } = opened;
    const ephemeral = generateKeyPair(identity.crypto, identity.random);
    const empty = writeSecond(
      state,
      ephemeral,
      opened.remoteEphemeral,
      this.remoteStatic,
      this.presharedKey,
      EMPTY,
    );
    ephemeral.privateKey.fill(0);
    if (empty === null) return null;
    writeInt32(message, 0, MESSAGE_RESPONSE);
    writeInt32(message, SENDER_AT, localIndex);
    writeInt32(message, RESPONSE_RECEIVER_AT, remoteIndex);
    message.set(ephemeral.publicKey, RESPONSE_EPHEMERAL_AT);
    message.set(empty, RESPONSE_EMPTY_AT);
    const [receiveKey, sendKey] = state.split();
    return { sendKey, receiveKey, remoteIndex };
  }

  /** The session, when the message answers the initiation under way; null when forged or late. */
  consumeResponse(identity: Identity, message: Uint8Array): SessionKeys | null {
    if (this.state === null || this.ephemeral === null) return null;
    const state = this.state.clone();
    const remoteEphemeral = message.slice(RESPONSE_EPHEMERAL_AT, RESPONSE_EPHEMERAL_AT + KEY_BYTES);
    const empty = message.slice(RESPONSE_EMPTY_AT, RESPONSE_EMPTY_AT + TAG_BYTES);
    const payload = readSecond(
      state,
      this.ephemeral.privateKey,
      identity.privateKey,
      remoteEphemeral,
      this.presharedKey,
      empty,
    );
    if (payload === null) {
      state.wipe();
      return null;
    }
    const [sendKey, receiveKey] = state.split();
    this.abandon();
    return { sendKey, receiveKey, remoteIndex: readInt32(message, SENDER_AT) };
  }

  /** Wipes what belongs to the initiation under way. */
  abandon(): void {
    this.state?.wipe();
    this.ephemeral?.privateKey.fill(0);
    this.state = null;
    this.ephemeral = null;
  }

  /** Wipes everything; the peer is gone. */
  wipe(): void {
    this.abandon();
    this.staticStatic?.fill(0);
    this.staticStatic = null;
    this.presharedKey.fill(0);
  }
}
