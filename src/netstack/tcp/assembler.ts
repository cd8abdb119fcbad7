/**
 * The ranges of bytes that arrived ahead of RCV.NXT, and what SACK tells the peer about them (RFC 2018, 2883).
 *
 * ```
 *   RCV.NXT     left0   right0       left1 right1
 *      │  hole    │███████│    hole    │█████│
 * ```
 *
 * The bytes themselves already lie at their place in the ring. Ranges are sorted, disjoint, never adjacent.
 * `recent` remembers which were touched last: RFC 2018 §4 wants the newest first, and a batch of segments
 * that touched more ranges than fit one ACK is reported by several.
 */
import { MAX_OUT_OF_ORDER_RANGES } from "./constants.js";
import { type Seq, seqDistance, seqLeq, seqLt } from "./seq.js";

const RECENT = 12;
const FIRST_RANGES = 4;
const NOTHING = new Int32Array(0);

export class Assembler {
  count = 0;
  /** Ranges touched since the last ACK, at most RECENT. */
  fresh = 0;
  /** Pairs (left, right); a connection without a hole holds no arrays. */
  private bounds: Int32Array = NOTHING;
  /** A sequence number inside each recently touched range, newest first. */
  private recent: Int32Array = NOTHING;
  private recentCount = 0;
  private duplicateLeft: Seq = 0;
  private duplicateRight: Seq = 0;
  private hasDuplicate = false;

  /** True when [left, right) may be placed: it touches a range, or there is room for one more. */
  hasRoomFor(left: Seq, right: Seq): boolean {
    if (this.count < MAX_OUT_OF_ORDER_RANGES) return true;
    const at = this.indexAtOrAfter(left);
    return at < this.count && seqLeq(this.leftOf(at), right);
  }

  /** Adds [left, right), which lies ahead of RCV.NXT; merges what touches. */
  add(left: Seq, right: Seq): void {
    const at = this.indexAtOrAfter(left);
    let end = at;
    let newLeft = left;
    let newRight = right;
    while (end < this.count && seqLeq(this.leftOf(end), right)) {
      if (seqLt(this.leftOf(end), newLeft)) newLeft = this.leftOf(end);
      if (seqLt(newRight, this.rightOf(end))) newRight = this.rightOf(end);
      end++;
    }
    if (end === at + 1 && newLeft === this.leftOf(at) && newRight === this.rightOf(at)) {
      this.noteDuplicate(left, right);
    }
    this.replace(at, end, newLeft, newRight);
    this.touch(left);
  }

  /** RCV.NXT moved to `next`: drops what lies below and returns how many bytes follow it in order. */
  take(next: Seq): number {
    let gone = 0;
    let following = 0;
    while (gone < this.count && seqLeq(this.leftOf(gone), next)) {
      const ahead = seqDistance(this.rightOf(gone), next);
      if (ahead > following) following = ahead;
      gone++;
    }
    if (gone > 0) {
      this.bounds.copyWithin(0, gone << 1, this.count << 1);
      this.count -= gone;
    }
    if (this.count === 0) {
      this.fresh = 0;
      this.recentCount = 0;
      this.bounds = NOTHING;
      this.recent = NOTHING;
    }
    return following;
  }

  /** RFC 2883 §4: [left, right) arrived a second time; the next ACK says so. */
  noteDuplicate(left: Seq, right: Seq): void {
    if (seqDistance(right, left) <= 0) return;
    this.hasDuplicate = true;
    this.duplicateLeft = left;
    this.duplicateRight = right;
  }

  /** Bytes from `next` to the end of the last range. */
  reach(next: Seq): number {
    return this.count === 0 ? 0 : seqDistance(this.rightOf(this.count - 1), next);
  }

  get somethingToReport(): boolean {
    return this.count > 0 || this.hasDuplicate;
  }

  /**
   * Fills `blocks` with up to `most` pairs for one ACK and returns how many: a duplicate first, then ranges not
   * reported yet, then others that were touched lately. A duplicate is reported once.
   */
  report(blocks: Int32Array, most: number): number {
    let used = 0;
    if (this.hasDuplicate) {
      blocks[0] = this.duplicateLeft;
      blocks[1] = this.duplicateRight;
      this.hasDuplicate = false;
      used = 1;
    }
    const own = used;
    let looked = 0;
    for (; looked < this.recentCount && used < most; looked++) {
      const range = this.rangeOf(this.recent[looked] as number);
      if (range === -1 || contains(blocks, own, used, this.leftOf(range))) continue;
      blocks[used << 1] = this.leftOf(range);
      blocks[(used << 1) + 1] = this.rightOf(range);
      used++;
    }
    this.fresh = Math.max(0, this.fresh - looked);
    if (this.fresh > 0) this.rotate(looked);
    return used;
  }

  private leftOf(range: number): Seq {
    return this.bounds[range << 1] as number;
  }

  private rightOf(range: number): Seq {
    return this.bounds[(range << 1) + 1] as number;
  }

  /** First range whose right edge is at or after `seq`, or `count`. */
  private indexAtOrAfter(seq: Seq): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (seqLt(this.rightOf(middle), seq)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The range that holds `seq`, or -1. */
  private rangeOf(seq: Seq): number {
    const at = this.indexAtOrAfter(seq);
    return at < this.count && seqLeq(this.leftOf(at), seq) && seqLt(seq, this.rightOf(at)) ? at : -1;
  }

  /** Puts one range in the place of ranges [from, to). */
  private replace(from: number, to: number, left: Seq, right: Seq): void {
    const count = this.count - (to - from) + 1;
    if (count << 1 > this.bounds.length) {
      const larger = new Int32Array(Math.max(this.bounds.length << 1, 2 * FIRST_RANGES));
      larger.set(this.bounds);
      this.bounds = larger;
    }
    if (to !== from + 1) this.bounds.copyWithin((from + 1) << 1, to << 1, this.count << 1);
    this.bounds[from << 1] = left;
    this.bounds[(from << 1) + 1] = right;
    this.count = count;
  }

  /** Moves `seq`'s range to the front of `recent`. */
  private touch(seq: Seq): void {
    if (this.recent === NOTHING) this.recent = new Int32Array(RECENT);
    const range = this.rangeOf(seq);
    const left = this.leftOf(range);
    const right = this.rightOf(range);
    let at = 0;
    while (at < this.recentCount) {
      const known = this.recent[at] as number;
      if (seqLeq(left, known) && seqLt(known, right)) break;
      at++;
    }
    if (at >= this.fresh) this.fresh = Math.min(this.fresh + 1, RECENT);
    if (at === this.recentCount) {
      if (this.recentCount < RECENT) this.recentCount++;
      else at = RECENT - 1;
    }
    this.recent.copyWithin(1, 0, at);
    this.recent[0] = seq;
  }

  /** Puts the first `by` recent entries, which have been reported, behind the `fresh` ones that follow. */
  private rotate(by: number): void {
    for (let done = 0; done < by; done++) {
      const first = this.recent[0] as number;
      this.recent.copyWithin(0, 1, this.recentCount);
      this.recent[this.recentCount - 1] = first;
    }
  }
}

/** Whether one of the pairs [from, to) starts at `left`. */
function contains(blocks: Int32Array, from: number, to: number, left: Seq): boolean {
  for (let i = from; i < to; i++) if (blocks[i << 1] === left) return true;
  return false;
}
