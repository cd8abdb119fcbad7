/**
 * What an ACK's SACK blocks cover (RFC 2018 §5), marked on the sent queue segment by segment: part of one is nothing.
 */
import type { TcpOptions } from "../../wire/index.js";
import { MAX_SENT_ENTRIES } from "./constants.js";
import type { Sender } from "./sender.js";
import { SACKED } from "./sent-queue.js";
import { type Seq, seqLeq, seqLt } from "./seq.js";

const NO_BLOCKS = new Int32Array(0);

export class SackBlocks {
  private readonly sender: Sender;
  /** The blocks of the last ACK: a block that only grew is walked from where it ended. */
  private known: Int32Array = NO_BLOCKS;
  private knownCount = 0;

  constructor(sender: Sender) {
    this.sender = sender;
  }

  /** Marks what the blocks from `first` on cover. Returns the bytes newly covered. */
  take(options: TcpOptions, first: number): number {
    const { sack, sackCount } = options;
    const { sender } = this;
    let delivered = 0;
    for (let i = first; i < sackCount; i++) {
      const left = sack[i << 1] as number;
      const right = sack[(i << 1) + 1] as number;
      // Only ranges that were sent and are outstanding can be meant (RFC 5961 §5 in spirit).
      if (seqLeq(right, left) || seqLt(left, sender.una) || seqLt(sender.nxt, right)) continue;
      delivered += this.mark(left, right);
    }
    if (sender.queue.count > 0) {
      if (this.known === NO_BLOCKS) this.known = new Int32Array(sack.length);
      this.known.set(sack);
      this.knownCount = sackCount;
    }
    return delivered;
  }

  /** What was covered is acknowledged, or not to be believed. */
  forget(): void {
    this.known = NO_BLOCKS;
    this.knownCount = 0;
  }

  private mark(left: Seq, right: Seq): number {
    const { sender } = this;
    const { queue } = sender;
    let marked = 0;
    let i = queue.firstFrom(this.skipKnown(left, right));
    // The entry before may reach into the block.
    if (i > 0) i--;
    for (; i < queue.count && seqLt(queue.startOf(i), right); i++) {
      if ((queue.flagsOf(i) & SACKED) !== 0 || !this.cutOut(i, left, right)) continue;
      if (seqLt(queue.startOf(i), left)) i++;
      sender.noteDelivered(i, queue.endOf(i));
      queue.markSacked(i);
      marked += queue.lengthOf(i);
    }
    return marked;
  }

  /** A block that starts where a known one starts needs no second look at what that one covered. */
  private skipKnown(left: Seq, right: Seq): Seq {
    for (let i = 0; i < this.knownCount; i++) {
      const end = this.known[(i << 1) + 1] as number;
      if (this.known[i << 1] === left && seqLeq(end, right) && seqLt(left, end)) return end;
    }
    return left;
  }

  /**
   * Makes the segments of entry `index` that lie in [left, right) an entry of their own; what lies before them, if
   * anything does, keeps the index. Returns false when there are none.
   */
  private cutOut(index: number, left: Seq, right: Seq): boolean {
    const { queue } = this.sender;
    const start = queue.startOf(index);
    const textEnd = this.sender.textEndOf(index);
    const reachesEnd = seqLeq(textEnd, right);
    const from = seqLt(start, left) ? queue.boundaryFrom(index, left) : start;
    const to = reachesEnd ? textEnd : queue.boundaryTo(index, right);
    if (!seqLt(from, to)) return false;
    const cuts = (from !== start ? 1 : 0) + (reachesEnd ? 0 : 1);
    if (cuts > 0 && queue.count + cuts > MAX_SENT_ENTRIES) return false;
    if (!reachesEnd) queue.split(index, to);
    if (from !== start) queue.split(index, from);
    return true;
  }
}
