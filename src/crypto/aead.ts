/** What the AEAD implementations share: how keys are made, and the one bounds check before any address. */
import type { AeadKey, Arena } from "../base/index.js";

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
}

const TICKETS = 64;

/** What packets were opened to, where that is done at once. */
export class Opened {
  private readonly results: Int32Array = new Int32Array(TICKETS);
  private count = 0;
  private closed = false;

  /** The ticket of the packet that is about to be opened, or −1 when the batch is full. */
  take(): number {
    if (this.closed) this.count = 0;
    this.closed = false;
    return this.count === TICKETS ? -1 : this.count++;
  }

  set(ticket: number, result: number): void {
    this.results[ticket] = result;
  }

  get(ticket: number): number {
    return this.results[ticket] as number;
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
  let difference = 0;
  for (let i = 0; i < TAG_BYTES; i += 4) difference |= view.getUint32(one + i) ^ view.getUint32(other + i);
  return difference !== 0;
}

export function destroyed(): never {
  throw new TypeError("the AEAD key was destroyed");
}
