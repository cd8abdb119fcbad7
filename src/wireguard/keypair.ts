/**
 * Sessions: the transport keys that one handshake gave, and the three places a peer keeps them in.
 *
 * ```
 *   next ──confirmed by data──► current ──replaced──► previous ──► wiped
 *   (we answered; we may        (used to send)        (still opens late
 *    not send with it yet)                             packets)
 * ```
 */
import { type AeadKey, type Arena, FIRST_PIECE_BYTES, joinPieces, type Milliseconds } from "../base/index.js";
import {
  MESSAGE_TRANSPORT,
  PADDING_BYTES,
  REJECT_AFTER_MESSAGES,
  REJECT_AFTER_TIME_MS,
  REPLAY_WINDOW,
  TAG_BYTES,
  TRANSPORT_HEADER_BYTES,
} from "./constants.js";
import { TRANSPORT_COUNTER_AT, TRANSPORT_RECEIVER_AT } from "./message.js";
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

  /**
   * Makes a transport message of the inner packet at `offset`, in place, from 16 bytes before it; returns its
   * length. 31 bytes behind the packet must be free.
   * @param rest as for `AeadKey.seal`
   */
  seal(arena: Arena, offset: number, length: number, mtu: number, rest: number): number {
    const { u8 } = arena;
    const padded = paddedLength(length, mtu);
    // Padding lies behind the packet, which then has to be in one piece.
    if (padded > length) joinPieces(arena, offset, length, rest);
    for (let at = offset + length; at < offset + padded; at++) u8[at] = 0;
    const counter = this.sendCounter++;
    this.writeHeaders(arena, 1, offset, 0, counter);
    this.sendKey.seal(offset, padded, counter, padded > length ? offset + FIRST_PIECE_BYTES : rest);
    return TRANSPORT_HEADER_BYTES + padded + TAG_BYTES;
  }

  /** As `Device.sealAlike`: none where packets need padding. */
  sealAlike(
    arena: Arena,
    count: number,
    offset: number,
    stride: number,
    length: number,
    mtu: number,
    rest: number,
    restStride: number,
  ): number {
    if (paddedLength(length, mtu) !== length) return 0;
    const counter = this.sendCounter;
    this.sendCounter += count;
    this.writeHeaders(arena, count, offset, stride, counter);
    this.sendKey.sealAlike(count, offset, stride, length, counter, rest, restStride);
    return count;
  }

  /** Of the packets whose inner ones are at `offset`, and each `stride` bytes on. */
  private writeHeaders(arena: Arena, count: number, offset: number, stride: number, counter: number): void {
    const { view } = arena;
    const { remoteIndex } = this;
    // Counters are no small numbers to V8, their halves are.
    let low = counter | 0;
    let high = Math.floor(counter / 0x1_0000_0000) | 0;
    let start = offset - TRANSPORT_HEADER_BYTES;
    for (let i = 0; i < count; i++, start += stride) {
      view.setInt32(start, MESSAGE_TRANSPORT, true);
      view.setInt32(start + TRANSPORT_RECEIVER_AT, remoteIndex, true);
      view.setInt32(start + TRANSPORT_COUNTER_AT, low, true);
      view.setInt32(start + TRANSPORT_COUNTER_AT + 4, high, true);
      low = (low + 1) | 0;
      if (low === 0) high++;
    }
  }

  destroy(): void {
    this.sendKey.destroy();
    this.receiveKey.destroy();
  }
}

/** Paper §5.4.6: padded with zeros to 16 bytes; but never past the MTU, where it would only fragment. */
function paddedLength(length: number, mtu: number): number {
  const padded = (length + PADDING_BYTES - 1) & -PADDING_BYTES;
  return padded > mtu ? Math.max(length, mtu) : padded;
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

  /**
   * Something came in under `keypair`. The window of the replay filter goes on over the change of keys: what was sent
   * under the old one is as late as what has fallen out of the window, once the new one alone has filled it. So nothing
   * can be held back long enough to meet a TCP sequence number that has come round.
   */
  outgrow(keypair: Keypair): void {
    if (keypair !== this.current || keypair.replay.greatest <= REPLAY_WINDOW) return;
    this.discard(this.previous);
    this.previous = null;
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
