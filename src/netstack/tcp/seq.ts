/**
 * Sequence number arithmetic modulo 2^32 (RFC 9293 §3.4). All of it is here.
 *
 * A sequence number is a signed 32-bit integer: `seqAdd` and a DataView's getInt32 make them. A distance is
 * positive when `a` comes after `b`, and is right while the two are less than 2^31 apart.
 */
export type Seq = number;

export function seqAdd(a: Seq, count: number): Seq {
  return (a + count) | 0;
}

/** How far `a` is ahead of `b`. */
export function seqDistance(a: Seq, b: Seq): number {
  return (a - b) | 0;
}

export function seqLt(a: Seq, b: Seq): boolean {
  return ((a - b) | 0) < 0;
}

export function seqLeq(a: Seq, b: Seq): boolean {
  return ((a - b) | 0) <= 0;
}

export function seqMax(a: Seq, b: Seq): Seq {
  return ((a - b) | 0) < 0 ? b : a;
}

export function seqMin(a: Seq, b: Seq): Seq {
  return ((a - b) | 0) < 0 ? a : b;
}
