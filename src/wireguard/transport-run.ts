/** Transport messages of one session and length whose counters go up by one, between being looked at and being judged. */
import type { Arena, CryptoSuite } from "../base/index.js";
import type { Keypair } from "./keypair.js";
import { TRANSPORT_COUNTER_AT } from "./message.js";
import type { Peer } from "./peer.js";

/** Within its first 24 bytes a packet of either family says how long it is and where it comes from. */
const START_BYTES = 24;

export class TransportRun {
  peer: Peer | null = null;
  keypair: Keypair | null = null;
  /** Of the first one, as its ticket is. */
  counter = 0;
  /** Of the AEAD; or why there is nothing to open. */
  ticket = 0;
  /** Of each. */
  bytes = 0;
  count = 0;
  judged = 0;

  /** Whether nothing has come under its key beyond what was judged of it. */
  get isNewest(): boolean {
    return this.keypair !== null && this.keypair.replay.greatest === this.counter + this.judged - 1;
  }

  /**
   * How many of the packets to be judged next can only be judged as the one before them was, which is at `before`: the tag is
   * right, length and source are the same, and they lie `stride` bytes apart. Of an `isNewest` run.
   */
  countAlike(arena: Arena, crypto: CryptoSuite, before: number, stride: number): number {
    const { strided } = arena;
    const next = this.ticket + this.judged;
    const most = this.count - this.judged;
    const right = most === 0 ? 0 : crypto.countOpened(next, most);
    // Where packets differ, as those that an IPv4 sender counts, the first one says so, and the others need no look.
    if (right === 0 || strided.countEqual(before, before + stride, stride, START_BYTES, 1) === 0) return 0;
    return strided.countEqual(before, before + stride, stride, START_BYTES, right);
  }
}

/** How many of `most` messages `stride` bytes apart belong to one run; the first of them, at `at`, does. */
export function countMessages(arena: Arena, at: number, stride: number, most: number): number {
  const { view } = arena;
  const counterAt = at + TRANSPORT_COUNTER_AT;
  const low = view.getInt32(counterAt, true);
  const high = view.getInt32(counterAt + 4, true);
  // Type and receiver.
  const equal = 1 + arena.strided.countEqual(at, at + stride, stride, TRANSPORT_COUNTER_AT, most - 1);
  // Up to where the lower half begins anew.
  const end = low < 0 ? Math.min(equal, -low) : equal;
  let count = 1;
  for (let next = counterAt + stride; count < end; count++, next += stride)
    if (view.getInt32(next, true) !== ((low + count) | 0) || view.getInt32(next + 4, true) !== high) break;
  return count;
}
