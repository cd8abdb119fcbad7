/** Transport messages of one session and length whose counters go up by one, between being looked at and being judged. */
import type { Arena, CryptoSuite } from "../base/index.js";
import type { Keypair } from "./keypair.js";
import { TRANSPORT_COUNTER_AT, TRANSPORT_RECEIVER_AT } from "./message.js";
import type { Peer } from "./peer.js";

/** Of inner packets alike. Within its first 24 bytes a packet of either family says how long it is and where it comes from. */
export const ALIKE_BYTES = 24;

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
    if (right === 0 || strided.countEqual(before, before + stride, stride, ALIKE_BYTES, 1) === 0) return 0;
    return strided.countEqual(before, before + stride, stride, ALIKE_BYTES, right);
  }
}

/** How many of `most` messages `stride` bytes apart belong to one run; the first of them, at `at`, does. */
export function countMessages(arena: Arena, at: number, stride: number, most: number): number {
  const { view } = arena;
  const type = view.getInt32(at);
  const receiver = view.getInt32(at + TRANSPORT_RECEIVER_AT);
  const low = view.getInt32(at + TRANSPORT_COUNTER_AT, true);
  const high = view.getInt32(at + TRANSPORT_COUNTER_AT + 4, true);
  // Up to where the lower half begins anew.
  const end = low < 0 ? Math.min(most, -low) : most;
  let count = 1;
  for (let next = at + stride; count < end; count++, next += stride) {
    if (view.getInt32(next + TRANSPORT_COUNTER_AT, true) !== ((low + count) | 0)) break;
    if (view.getInt32(next + TRANSPORT_COUNTER_AT + 4, true) !== high) break;
    if (view.getInt32(next) !== type || view.getInt32(next + TRANSPORT_RECEIVER_AT) !== receiver) break;
  }
  return count;
}
