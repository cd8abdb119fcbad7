/** What the keys of all backends have in common: how one packet is several alike, and what is checked before any address. */
import { type AeadKey, type Arena, FIRST_PIECE_BYTES, joinPieces } from "../base/index.js";
import { checkPackets, checkRests, type Opened, TAG_BYTES } from "./aead.js";

export abstract class PacketKey implements AeadKey {
  protected readonly arena: Arena;
  /** Bytes before and behind a packet that are touched as well. */
  private readonly head: number;
  private readonly tail: number;
  private alive = true;

  constructor(arena: Arena, head: number, tail: number) {
    this.arena = arena;
    this.head = head;
    this.tail = tail;
  }

  /** These two as in `AeadKey`, of a key that is there and packets that are within the arena. */
  protected abstract sealChecked(
    count: number,
    offset: number,
    stride: number,
    length: number,
    counter: number,
    rest: number,
    restStride: number,
  ): void;
  protected abstract openChecked(
    count: number,
    offset: number,
    stride: number,
    length: number,
    counter: number,
  ): number;
  /** Does what was asked for, and wipes the key. */
  protected abstract wipe(): void;

  seal(offset: number, length: number, counter: number, rest: number = offset + FIRST_PIECE_BYTES): void {
    this.sealAlike(1, offset, 0, length, counter, rest, 0);
  }

  open(offset: number, length: number, counter: number): number {
    return this.openAlike(1, offset, 0, length, counter);
  }

  sealAlike(
    count: number,
    offset: number,
    stride: number,
    length: number,
    counter: number,
    rest: number,
    restStride: number,
  ): void {
    this.check(count, offset, stride, length);
    checkRests(this.arena, count, rest, restStride, length, this.tail);
    this.sealChecked(count, offset, stride, length, counter, rest, restStride);
  }

  openAlike(count: number, offset: number, stride: number, length: number, counter: number): number {
    this.check(count, offset, stride, length);
    return this.openChecked(count, offset, stride, length, counter);
  }

  destroy(): void {
    if (!this.alive) return;
    this.alive = false;
    this.wipe();
  }

  private check(count: number, offset: number, stride: number, length: number): void {
    if (!this.alive) throw new TypeError("the AEAD key was destroyed");
    checkPackets(this.arena, count, offset, stride, length, this.head, this.tail);
  }
}

/** A key whose packets are worked on at once, one by one. */
export abstract class SinglePacketKey extends PacketKey {
  private readonly opened: Opened;

  constructor(arena: Arena, opened: Opened) {
    super(arena, 0, TAG_BYTES);
    this.opened = opened;
  }

  /** Of a packet in one piece. */
  protected abstract sealNow(offset: number, length: number, counter: number): void;
  /** As `CryptoSuite.opened`. */
  protected abstract openNow(offset: number, length: number, counter: number): number;

  protected sealChecked(
    count: number,
    offset: number,
    stride: number,
    length: number,
    counter: number,
    rest: number,
    restStride: number,
  ): void {
    for (let i = 0; i < count; i++) {
      joinPieces(this.arena, offset + i * stride, length, rest + i * restStride);
      this.sealNow(offset + i * stride, length, counter + i);
    }
  }

  protected openChecked(
    count: number,
    offset: number,
    stride: number,
    length: number,
    counter: number,
  ): number {
    const ticket = this.opened.take(count);
    if (ticket === -1) return -1;
    for (let i = 0; i < count; i++)
      this.opened.set(ticket + i, this.openNow(offset + i * stride, length, counter + i));
    return ticket;
  }
}
