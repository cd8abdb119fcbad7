/**
 * Sessions: the transport keys that one handshake gave, and the three places a peer keeps them in.
 *
 * ```
 *   next ──confirmed by data──► current ──replaced──► previous ──► wiped
 *   (we answered; we may        (used to send)        (still opens late
 *    not send with it yet)                             packets)
 * ```
 */
import type { AeadKey, Milliseconds } from "../base/index.js";
import { REJECT_AFTER_MESSAGES, REJECT_AFTER_TIME_MS } from "./constants.js";
import { ReplayWindow } from "./replay.js";

export class Keypair {
  readonly sendKey: AeadKey;
  readonly receiveKey: AeadKey;
  readonly localIndex: number;
  readonly remoteIndex: number;
  readonly isInitiator: boolean;
  readonly createdAt: Milliseconds;
  readonly replay: ReplayWindow = new ReplayWindow();
  /** Counter of the next packet that we send. */
  sendCounter = 0;

  constructor(
    sendKey: AeadKey,
    receiveKey: AeadKey,
    localIndex: number,
    remoteIndex: number,
    isInitiator: boolean,
    createdAt: Milliseconds,
  ) {
    this.sendKey = sendKey;
    this.receiveKey = receiveKey;
    this.localIndex = localIndex;
    this.remoteIndex = remoteIndex;
    this.isInitiator = isInitiator;
    this.createdAt = createdAt;
  }

  /** Paper §6.2: neither sends nor receives past REJECT_AFTER_TIME or REJECT_AFTER_MESSAGES. */
  canSend(now: Milliseconds): boolean {
    return now - this.createdAt < REJECT_AFTER_TIME_MS && this.sendCounter < REJECT_AFTER_MESSAGES;
  }

  canReceive(counter: number, now: Milliseconds): boolean {
    return now - this.createdAt < REJECT_AFTER_TIME_MS && counter < REJECT_AFTER_MESSAGES;
  }

  destroy(): void {
    this.sendKey.destroy();
    this.receiveKey.destroy();
  }
}

export class KeypairSlots {
  current: Keypair | null = null;
  previous: Keypair | null = null;
  next: Keypair | null = null;
  private readonly releaseIndex: (localIndex: number) => void;

  constructor(releaseIndex: (localIndex: number) => void) {
    this.releaseIndex = releaseIndex;
  }

  find(localIndex: number): Keypair | null {
    if (this.current !== null && this.current.localIndex === localIndex) return this.current;
    if (this.previous !== null && this.previous.localIndex === localIndex) return this.previous;
    if (this.next !== null && this.next.localIndex === localIndex) return this.next;
    return null;
  }

  /** We initiated and were answered: the peer has the keys already. */
  addInitiated(keypair: Keypair): void {
    this.discard(this.previous);
    if (this.next === null) {
      this.previous = this.current;
    } else {
      // Both sides initiated at once: the peer may use the session that we answered before it sees ours.
      this.discard(this.current);
      this.previous = this.next;
      this.next = null;
    }
    this.current = keypair;
  }

  /** We answered: the peer proves by its first packet that it has the keys. */
  addResponded(keypair: Keypair): void {
    this.discard(this.next);
    this.discard(this.previous);
    this.previous = null;
    this.next = keypair;
  }

  /** A packet came in under `next`. */
  confirm(): void {
    this.discard(this.previous);
    this.previous = this.current;
    this.current = this.next;
    this.next = null;
  }

  clear(): void {
    this.discard(this.current);
    this.discard(this.previous);
    this.discard(this.next);
    this.current = this.previous = this.next = null;
  }

  private discard(keypair: Keypair | null): void {
    if (keypair === null) return;
    this.releaseIndex(keypair.localIndex);
    keypair.destroy();
  }
}
