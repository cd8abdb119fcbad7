/** What the AEAD implementations share: how keys are made, and the one bounds check before any address. */
import { type AeadKey, type Arena, FIRST_PIECE_BYTES } from "../base/index.js";

export const KEY_BYTES = 32;
export const TAG_BYTES = 16;
export const NONCE_BYTES = 12;
/** "expand 32-byte k" (RFC 8439 §2.3). */
export const CHACHA20_CONSTANTS: readonly number[] = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574];

/** One way to compute the packet AEAD. */
export interface AeadBackend {
  /** "fused-avx512", "fused-avx2", "openssl-primitives", "openssl-evp" or "node". */
  readonly name: string;
  createKey(key: Uint8Array): AeadKey;
  /** These as in `CryptoSuite`. */
  runSeals(): void;
  runOpens(): void;
  opened(ticket: number): number;
  countOpened(ticket: number, most: number): number;
}

/** Packets in a batch: as many datagrams as one system call takes or gives. */
export const SLOTS = 64;

/** As `CryptoSuite.countOpened`, of what `opened` says by ticket. */
export function countRight(results: Int32Array, ticket: number, most: number): number {
  let count = 0;
  while (count < most && results[ticket + count] !== -1) count++;
  return count;
}

/** What packets were opened to, where that is done at once. */
export class Opened {
  private readonly results: Int32Array = new Int32Array(SLOTS);
  private count = 0;
  private closed = false;

  /** The ticket of the first of `count` packets that are about to be opened, or −1 when the batch has no room for all. */
  take(count: number): number {
    if (this.closed) this.count = 0;
    this.closed = false;
    if (this.count + count > SLOTS) return -1;
    this.count += count;
    return this.count - count;
  }

  set(ticket: number, result: number): void {
    this.results[ticket] = result;
  }

  get(ticket: number): number {
    return this.results[ticket] as number;
  }

  /** As `CryptoSuite.countOpened`. */
  countRight(ticket: number, most: number): number {
    return countRight(this.results, ticket, most);
  }

  close(): void {
    this.closed = true;
  }
}

/**
 * Throws RangeError unless [offset − head, offset + length + tail) lies within the arena.
 * @param head bytes before `offset` that will be touched as well
 * @param tail bytes after `offset` + `length` that will be: the tag at least
 */
export function checkRange(arena: Arena, offset: number, length: number, head: number, tail: number): void {
  if (
    (offset | 0) !== offset ||
    (length | 0) !== length ||
    offset < head ||
    length < 0 ||
    offset + length + tail > arena.size
  ) {
    throw new RangeError(`${length} bytes at ${offset} do not fit the arena of ${arena.size} bytes`);
  }
}

/** As `checkRange`, of 1 to 64 packets, each `stride` bytes after the one before. */
export function checkPackets(
  arena: Arena,
  count: number,
  offset: number,
  stride: number,
  length: number,
  head: number,
  tail: number,
): void {
  const isInteger = (count | 0) === count && (stride | 0) === stride;
  if (!(isInteger && count >= 1 && count <= SLOTS && length >= 0 && stride >= 0))
    throw new RangeError(`${count} packets of ${length} bytes, ${stride} bytes apart, cannot be`);
  checkRange(arena, offset, (count - 1) * stride + length, head, tail);
}

/** As `checkPackets`, of where their second pieces are, if they have any. */
export function checkRests(
  arena: Arena,
  count: number,
  rest: number,
  restStride: number,
  length: number,
  tail: number,
): void {
  if (length > FIRST_PIECE_BYTES)
    checkPackets(arena, count, rest, restStride, length - FIRST_PIECE_BYTES, 0, tail);
}

export function checkKey(key: Uint8Array): void {
  if (key.length !== KEY_BYTES) throw new RangeError(`key must have ${KEY_BYTES} bytes, got ${key.length}`);
}

/** The nonce of counter N: 32 zero bits, then N as 64 bits little endian (paper §5.4.6). */
export function writeNonce(words: Uint32Array, at: number, counter: number): void {
  words[at] = 0;
  words[at + 1] = counter;
  words[at + 2] = counter / 0x1_0000_0000;
}

/** Whether the 16 bytes at two places of the arena differ, in the same time wherever they do. */
export function tagDifference(arena: Arena, one: number, other: number): boolean {
  const { view } = arena;
  let difference = view.getInt32(one, true) ^ view.getInt32(other, true);
  difference |= view.getInt32(one + 4, true) ^ view.getInt32(other + 4, true);
  difference |= view.getInt32(one + 8, true) ^ view.getInt32(other + 8, true);
  difference |= view.getInt32(one + 12, true) ^ view.getInt32(other + 12, true);
  return difference !== 0;
}
