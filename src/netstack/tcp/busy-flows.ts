/**
 * What a link's busy flows may have in flight, each.
 *
 * Where the path has next to no length, all that is in flight stands in a queue before the receiving end, which every other
 * flow's packets join. One flow needs a good part of a mebibyte there, or it waits for wake-ups; eight of them do not need
 * eight. A model of each flow's path cannot know: they take turns, and in its turn each is as fast as all of them.
 *
 * How long the path is, those know best that use it most: who has just begun sees the others' queue, and who says little has
 * not looked for long. Without a model of it (CUBIC, NewReno) nothing is shared.
 */
import type { Milliseconds } from "../../base/index.js";
import { SHORT_PATH_RING_BYTES } from "./autotune.js";
import { SHORT_PATH_MS, UNLIMITED } from "./congestion/control.js";
import { type Seq, seqDistance } from "./seq.js";

/** So few are held by their rings alone. What those hold, 6 ms at 5 Gbit/s, is what more have to share. */
const UNLIMITED_FLOWS = 4;
const SHARED_BYTES: number = UNLIMITED_FLOWS * SHORT_PATH_RING_BYTES;
const LEAST_SHARE_BYTES = 64 << 10;
/** Who has sent more than this from one round to the next is busy. */
const ROUND_MS: Milliseconds = 50;
const BUSY_BYTES = 64 << 10;

/** What is kept of each flow: the round in which it was last seen, and where it was then. */
export interface BusyFlow {
  busyRound: number;
  busyFrom: Seq;
}

export class BusyFlows {
  /** Most bytes in flight of each. */
  share: number = UNLIMITED;
  private round = 0;
  private roundEnd: Milliseconds = 0.1;
  /** Of this round: how many there are, and the shortest of their paths. */
  private count = 0;
  private pathRtt: Milliseconds = Number.POSITIVE_INFINITY;

  /** `flow`, which is to send `next`, has a turn. @param pathRtt as its congestion control has it */
  note(flow: BusyFlow, next: Seq, pathRtt: Milliseconds, now: Milliseconds): void {
    if (now >= this.roundEnd) this.beginRound(now);
    const { round } = this;
    const { busyRound, busyFrom } = flow;
    if (busyRound === round) return;
    flow.busyRound = round;
    flow.busyFrom = next;
    if (busyRound !== round - 1 || seqDistance(next, busyFrom) <= BUSY_BYTES) return;
    this.count++;
    if (pathRtt < this.pathRtt) this.pathRtt = pathRtt;
  }

  private beginRound(now: Milliseconds): void {
    // Of a round that is over for long it says nothing.
    const count = now < this.roundEnd + ROUND_MS && this.pathRtt < SHORT_PATH_MS ? this.count : 0;
    this.share =
      count > UNLIMITED_FLOWS ? Math.max(LEAST_SHARE_BYTES, Math.floor(SHARED_BYTES / count)) : UNLIMITED;
    this.count = 0;
    this.pathRtt = Number.POSITIVE_INFINITY;
    this.round++;
    this.roundEnd = now + ROUND_MS;
  }
}
