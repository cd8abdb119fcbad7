/**
 * What is left of connections in TIME-WAIT (RFC 9293 §3.3.2): the address pair that stays taken, and what an old segment
 * is answered with. There may be as many as 16,384 of them and a thousand new ones a second, so each is a few numbers
 * and not a connection any more (docs/decisions/0028-what-connections-leave-behind.md).
 */
import { LinkedList, type Listed, type Milliseconds, NEVER } from "../../base/index.js";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from "../../wire/index.js";
import type { Attachment } from "../attachment.js";
import type { StackContext } from "../context.js";
import { type FlowKey, FlowTable, type Keyed } from "../flow-key.js";
import type { Timed } from "../timer-heap.js";
import type { TcpConnection } from "./connection.js";
import { CHALLENGE_ACK_MS, TIME_WAIT_REUSE_MS } from "./constants.js";
import { timestampNow } from "./output.js";
import type { Segment } from "./segment.js";
import { type Seq, seqAdd, seqLeq, seqLt } from "./seq.js";

class TimeWait implements Keyed, Listed<TimeWait> {
  readonly key: FlowKey;
  readonly attachment: Attachment;
  /** SND.NXT and RCV.NXT: nothing follows in either direction. */
  readonly seq: Seq;
  readonly ack: Seq;
  /** As it stands in the header. */
  readonly window: number;
  /** RFC 7323's, where the connection had timestamps. */
  readonly timestamps: boolean;
  readonly timestampOffset: number;
  readonly tsRecent: number;
  /** In whole milliseconds, as is `challengedAt`. */
  endsAt: Milliseconds = 0;
  challengedAt: Milliseconds = -CHALLENGE_ACK_MS;
  listed: LinkedList<TimeWait> | null = null;
  listNext: TimeWait | null = null;
  listPrevious: TimeWait | null = null;

  constructor(c: TcpConnection) {
    const { rcv, template } = c;
    this.key = c.key;
    this.attachment = c.attachment;
    this.seq = c.snd.nxt;
    this.ack = rcv.nxt;
    this.window = rcv.offerWindow();
    this.timestamps = rcv.timestamps;
    this.timestampOffset = template.timestampOffset;
    this.tsRecent = rcv.tsRecent;
  }

  /** RFC 9293 §3.6.1, RFC 6191: a SYN that is newer than all of the connection starts anew. */
  isOlderThan(segment: Segment): boolean {
    if ((segment.flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) !== TCP_SYN) return false;
    if (this.timestamps && segment.options.hasTimestamps) {
      if (seqLt(this.tsRecent, segment.options.tsValue)) return true;
      if (segment.options.tsValue !== this.tsRecent) return false;
    }
    return seqLt(this.ack, segment.seq);
  }

  /** RFC 7323 §5.3 R1. */
  isPawsOlder(segment: Segment): boolean {
    return this.timestamps && segment.options.hasTimestamps && seqLt(segment.options.tsValue, this.tsRecent);
  }
}

export class TimeWaits implements Timed {
  wakeAt: Milliseconds = NEVER;
  heapIndex = -1;
  private readonly context: StackContext;
  private readonly table: FlowTable<TimeWait>;
  /** All last equally long, so this is the order in which they end. */
  private readonly list: LinkedList<TimeWait> = new LinkedList();

  /** @param seed as `FlowTable` */
  constructor(context: StackContext, seed: number) {
    this.context = context;
    this.table = new FlowTable(seed);
  }

  get count(): number {
    return this.list.count;
  }

  /** `c` is done with; past the limit the oldest ends early, as with Linux' tcp_max_tw_buckets. */
  add(c: TcpConnection, now: Milliseconds): void {
    const left = new TimeWait(c);
    this.table.insert(left);
    this.begin(left, now);
    const oldest = this.list.first;
    if (oldest !== null && this.count > this.context.options.maxTimeWait) this.remove(oldest);
  }

  /**
   * A new connection of ours takes the pair of `key`. False when it is not to have it yet: a record gives way once
   * timestamps tell the two apart (`TIME_WAIT_REUSE_MS`).
   */
  giveWay(key: FlowKey, now: Milliseconds): boolean {
    const left = this.table.find(key);
    if (left === null) return true;
    const { timeWaitMs } = this.context.options;
    if (!left.timestamps || left.endsAt - now > timeWaitMs - TIME_WAIT_REUSE_MS) return false;
    this.remove(left);
    return true;
  }

  closeLink(attachment: Attachment): void {
    for (const left of this.table.entries()) if (left.attachment === attachment) this.remove(left);
  }

  /** False when the segment, whose key this is, belongs to none here, or starts a connection that takes the place of one. */
  process(key: FlowKey, segment: Segment, now: Milliseconds): boolean {
    const left = this.table.find(key);
    if (left === null) return false;
    if (left.isOlderThan(segment)) {
      this.remove(left);
      return false;
    }
    this.onSegment(left, segment, now);
    return true;
  }

  onWake(now: Milliseconds): void {
    for (let first = this.list.first; first !== null && first.endsAt <= now; first = this.list.first) {
      this.remove(first);
    }
    this.context.timers.schedule(this, this.list.first?.endsAt ?? NEVER);
  }

  private begin(left: TimeWait, now: Milliseconds): void {
    left.endsAt = Math.ceil(now) + this.context.options.timeWaitMs;
    this.list.add(left);
    if (this.heapIndex === -1) this.context.timers.schedule(this, left.endsAt);
  }

  private remove(left: TimeWait): void {
    this.table.remove(left);
    this.list.remove(left);
    if (this.count === 0) this.context.timers.cancel(this);
  }

  /** RFC 9293 §3.10.7.4, for what can arrive here. */
  private onSegment(left: TimeWait, segment: Segment, now: Milliseconds): void {
    const { counters } = this.context;
    // RFC 1337: a reset must not cut TIME-WAIT short.
    if (segment.has(TCP_RST) || !(segment.has(TCP_ACK) || segment.has(TCP_SYN))) return;
    const isOld = left.isPawsOlder(segment);
    if (isOld) counters.tcpPaws++;
    else if (segment.seq !== left.ack) counters.tcpOutOfWindow++;
    else if (segment.sequenceLength === 0 && seqLeq(segment.ack, left.seq)) return;
    if (segment.sequenceLength > 0 && !segment.has(TCP_SYN)) {
      // The peer's own FIN again, whose acknowledgment was lost.
      if (segment.has(TCP_FIN) && !isOld && seqAdd(segment.seq, segment.sequenceLength) === left.ack) {
        this.list.remove(left);
        this.begin(left, now);
      }
    } else {
      // RFC 5961 §7.
      if (now - left.challengedAt < CHALLENGE_ACK_MS) return;
      left.challengedAt = Math.floor(now);
      counters.tcpChallengeAcks++;
    }
    const { attachment, key, seq, ack, window } = left;
    const stamps = left.timestamps ? { value: timestampNow(left, now), echo: left.tsRecent } : null;
    this.context.output.sendBareTcp(attachment, key, seq, ack, TCP_ACK, window, stamps);
  }
}
