/** Transport messages of one session and length whose counters go up by one, between being looked at and being judged. */
import type { Arena, CryptoSuite } from "../base/index.js";
import { MESSAGE_TRANSPORT } from "./constants.js";
import type { Keypair } from "./keypair.js";
import { TRANSPORT_COUNTER_AT, TRANSPORT_RECEIVER_AT } from "./message.js";
import type { Peer } from "./peer.js";

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
    const next = this.ticket + this.judged;
    const most = this.count - this.judged;
    let alike = 0;
    while (alike < most) {
      const at = crypto.opened(next + alike);
      if (at === -1 || at !== before + (alike + 1) * stride || !startAlike(arena.view, before, at)) break;
      alike++;
    }
    return alike;
  }
}

/** How many of `most` messages `stride` bytes apart belong to one run; the first of them, at `at`, does. */
export function countMessages(arena: Arena, at: number, stride: number, most: number): number {
  const { view } = arena;
  const index = view.getInt32(at + TRANSPORT_RECEIVER_AT, true);
  const low = view.getUint32(at + TRANSPORT_COUNTER_AT, true);
  const high = view.getUint32(at + TRANSPORT_COUNTER_AT + 4, true);
  let count = 1;
  for (; count < most; count++) {
    const next = at + count * stride;
    if (view.getInt32(next, true) !== MESSAGE_TRANSPORT) break;
    if (view.getInt32(next + TRANSPORT_RECEIVER_AT, true) !== index) break;
    if (view.getUint32(next + TRANSPORT_COUNTER_AT, true) !== low + count) break;
    if (view.getUint32(next + TRANSPORT_COUNTER_AT + 4, true) !== high) break;
  }
  return count;
}

/** Within its first 24 bytes a packet of either family says how long it is and where it comes from. */
function startAlike(view: DataView, one: number, other: number): boolean {
  return (
    view.getInt32(one, true) === view.getInt32(other, true) &&
    view.getInt32(one + 4, true) === view.getInt32(other + 4, true) &&
    view.getInt32(one + 8, true) === view.getInt32(other + 8, true) &&
    view.getInt32(one + 12, true) === view.getInt32(other + 12, true) &&
    view.getInt32(one + 16, true) === view.getInt32(other + 16, true) &&
    view.getInt32(one + 20, true) === view.getInt32(other + 20, true)
  );
}
