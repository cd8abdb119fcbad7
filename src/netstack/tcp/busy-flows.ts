/**
 * What a link's busy flows may have in flight, each.
 *
 * Where the path has next to no length, all that is in flight stands in a queue before the receiving end, which every other
 * flow's packets join. One flow needs a good part of a mebibyte there, or it waits for wake-ups; eight of them do not need
 * eight. A model of each flow's path cannot know: they take turns, and in its turn each is as fast as all of them.
 */
import type { Milliseconds } from "../../base/index.js";
import { UNLIMITED } from "./congestion/control.js";
import { type Seq, seqDistance } from "./seq.js";

/** 3 ms at 5 Gbit/s. As much as two rings on a short path (`autotune.ts`): one flow and two are not limited. */
const SHARED_BYTES = 2 << 20;
const LEAST_SHARE_BYTES = 64 << 10;
/** Who sends more than this in a round is busy in the next. */
const ROUND_MS: Milliseconds = 50;
const BUSY_BYTES = 64 << 10;

/** What is kept of each flow. */
export interface BusyFlow {
  readonly snd: { readonly nxt: Seq };
  /** In which round it was last seen, and where it was then; when it is counted, the round after. */
  busyRound: number;
  busyFrom: Seq;
}

export class BusyFlows {
  /** Most bytes in flight of each of them. */
  share: number = UNLIMITED;
  private round = 0;
  private count = 0;
  private roundEnd: Milliseconds = 0.1;

  /** `flow` has its turn to send. */
  note(flow: BusyFlow, now: Milliseconds): void {
    if (now >= this.roundEnd) this.beginRound(now);
    const { round } = this;
    if (flow.busyRound > round) return;
    if (flow.busyRound < round) {
      flow.busyRound = round;
      flow.busyFrom = flow.snd.nxt;
    } else if (seqDistance(flow.snd.nxt, flow.busyFrom) > BUSY_BYTES) {
      flow.busyRound = round + 1;
      this.count++;
    }
  }

  private beginRound(now: Milliseconds): void {
    // Of a round that is over for long it says nothing.
    const count = now < this.roundEnd + ROUND_MS ? this.count : 0;
    this.share = count > 2 ? Math.max(LEAST_SHARE_BYTES, Math.floor(SHARED_BYTES / count)) : UNLIMITED;
    this.count = 0;
    this.round += 2;
    this.roundEnd = now + ROUND_MS;
  }
}
