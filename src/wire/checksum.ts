/**
 * The Internet checksum (RFC 1071) over arena bytes.
 *
 * Partial sums are passed around as *folded* 16-bit numbers in network order, so they can be added with `+`
 * and folded again. The inner loop adds 32-bit words in host order (the sum is the same up to a byte swap,
 * RFC 1071 §2 B) and keeps, beside the sum modulo 2^32, the sum of the high halves: the sum of the low halves
 * follows from both, which saves a mask and an addition per word. 170 ns for 1380 bytes.
 */
import type { Address, Arena } from "../base/index.js";

const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Adds the carries in: any non-negative number below 2^32 becomes 16 bits. */
export function foldSum(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return (once & 0xffff) + (once >>> 16);
}

/** The checksum field for a sum that covers everything (with the field itself as zero). */
export function finishSum(sum: number): number {
  return ~foldSum(sum) & 0xffff;
}

/**
 * Folded sum of arena bytes [offset, offset + length) as big-endian 16-bit words, a last odd byte padded with
 * zero. Any alignment. `length` is at most 65,535.
 */
export function sumBytes(arena: Arena, offset: number, length: number): number {
  if (length <= 0) return 0;
  let at = offset;
  let left = length;
  let edges = 0;
  const odd = (at & 1) !== 0;
  if (odd) {
    // From here on every byte pair is shifted by one, which the swap at the end undoes (RFC 1071 §2 B).
    edges = LITTLE_ENDIAN ? (arena.u8[at] as number) << 8 : (arena.u8[at] as number);
    at++;
    left--;
  }
  if ((at & 2) !== 0 && left >= 2) {
    edges += arena.u16[at >>> 1] as number;
    at += 2;
    left -= 2;
  }
  edges += sumWords(arena.u32, at >>> 2, left >>> 2);
  at += left & ~3;
  if ((left & 2) !== 0) {
    edges += arena.u16[at >>> 1] as number;
    at += 2;
  }
  if ((left & 1) !== 0) edges += LITTLE_ENDIAN ? (arena.u8[at] as number) : (arena.u8[at] as number) << 8;
  const sum = foldSum(edges);
  return LITTLE_ENDIAN === odd ? sum : ((sum & 0xff) << 8) | (sum >>> 8);
}

/** Folded sum, in host order, of `count` aligned words. */
function sumWords(u32: Uint32Array, start: number, count: number): number {
  let total1 = 0;
  let high1 = 0;
  let total2 = 0;
  let high2 = 0;
  let i = start;
  const end = start + count;
  for (const stop = end - 7; i < stop; i = (i + 8) | 0) {
    const a = u32[i] as number;
    const b = u32[i + 1] as number;
    const c = u32[i + 2] as number;
    const d = u32[i + 3] as number;
    const e = u32[i + 4] as number;
    const f = u32[i + 5] as number;
    const g = u32[i + 6] as number;
    const h = u32[i + 7] as number;
    total1 = (total1 + a + b + c + d) | 0;
    high1 = (high1 + (a >>> 16) + (b >>> 16) + (c >>> 16) + (d >>> 16)) | 0;
    total2 = (total2 + e + f + g + h) | 0;
    high2 = (high2 + (e >>> 16) + (f >>> 16) + (g >>> 16) + (h >>> 16)) | 0;
  }
  for (; i < end; i = (i + 1) | 0) {
    const a = u32[i] as number;
    total1 = (total1 + a) | 0;
    high1 = (high1 + (a >>> 16)) | 0;
  }
  const high = (high1 + high2) | 0;
  const low = (total1 + total2 - (high << 16)) >>> 0;
  return foldSum(foldSum(low) + foldSum(high));
}

/** Sum of a 32-bit value's two halves. */
export function sumWord(word: number): number {
  return (word >>> 16) + (word & 0xffff);
}

/** Sum of an address as it stands in a pseudo-header: 4 or 16 bytes. */
export function sumAddress(address: Address): number {
  const low = sumWord(address.w3);
  if (address.family === 4) return foldSum(low);
  return foldSum(low + sumWord(address.w2) + sumWord(address.w1) + sumWord(address.w0));
}

/**
 * Folded pseudo-header sum (RFC 9293 §3.1, RFC 8200 §8.1); the same arithmetic serves both families.
 * @param addresses sum of both addresses
 * @param length transport header and payload
 */
export function sumPseudoHeader(addresses: number, protocol: number, length: number): number {
  return foldSum(addresses + protocol + sumWord(length));
}
