/**
 * Segment arrival: RFC 9293 §3.10.7, step by step, one function a step, with the checks of RFC 5961 (blind
 * attacks) and RFC 7323 §5 (PAWS) where they belong. A step returns false when the segment is done with.
 *
 * Security and urgent data are left out: the first is obsolete, the second is to be ignored (RFC 6093 §6).
 */
import type { Milliseconds } from "../../base/index.js";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from "../../wire/index.js";
import type { TcpConnection } from "./connection.js";
import { CHALLENGE_ACK_MS, PAWS_IDLE_MS } from "./constants.js";
import { takeEcho, takeMark } from "./ecn.js";
import { negotiate } from "./handshake.js";
import { advance, establish, onPeerFinished } from "./life.js";
import { sendReset } from "./output.js";
import type { Segment } from "./segment.js";
import { type Seq, seqAdd, seqDistance, seqLeq, seqLt, seqMin } from "./seq.js";
import { mayReceive } from "./states.js";
import { armAfterAck } from "./timers.js";

export function onSegment(c: TcpConnection, segment: Segment, now: Milliseconds): void {
  c.lastHeardAt = Math.floor(now);
  switch (c.state) {
    case "CLOSED":
      return;
    case "LISTEN":
      return arrivesWhilePending(c, segment);
    case "SYN-SENT":
      return arrivesInSynSent(c, segment, now);
  }
  if (!checkTimestamp(c, segment, now)) return;
  if (!checkSequence(c, segment, now)) return;
  if (!checkReset(c, segment, now)) return;
  if (!checkSyn(c, segment, now)) return;
  if (!checkAck(c, segment, now)) return;
  takeMark(c, segment);
  takeTextOf(c, segment, now);
  takeFin(c, segment, now);
  c.wantTurn();
}

/** The handler has not decided yet: repeated SYNs are absorbed, a reset withdraws the question. */
function arrivesWhilePending(c: TcpConnection, segment: Segment): void {
  if (segment.has(TCP_RST) && seqDistance(segment.seq, c.rcv.irs) >= 0 && seqLeq(segment.seq, c.rcv.nxt)) {
    c.finish("reset");
  }
}

/** §3.10.7.3. */
function arrivesInSynSent(c: TcpConnection, segment: Segment, now: Milliseconds): void {
  const { snd, rcv } = c;
  const hasAck = segment.has(TCP_ACK);
  if (hasAck && (seqLeq(segment.ack, snd.iss) || seqLt(snd.nxt, segment.ack))) {
    if (!segment.has(TCP_RST)) sendReset(c, segment.ack, 0, TCP_RST);
    c.context.counters.tcpBadAck++;
    return;
  }
  if (segment.has(TCP_RST)) {
    // Without an acceptable ACK anybody could have sent it.
    if (hasAck) c.finish("refused");
    else c.context.counters.tcpBlindReset++;
    return;
  }
  if (!segment.has(TCP_SYN)) return;
  rcv.start(segment.seq);
  negotiate(c, segment, now);
  snd.setWindow(segment, 0);
  if (!hasAck) {
    // Simultaneous open (§3.5): both ends have sent a SYN, both now acknowledge the other's.
    advance(c, "syn", now);
    c.synOwed = true;
    c.wantTurn();
    return;
  }
  rcv.ackNow = true;
  establish(c, segment.ack, now);
  takeTextOf(c, segment, now);
  takeFin(c, segment, now);
  c.wantTurn();
}

/** RFC 7323 §5.3 R1: a segment older than one already seen is acknowledged and dropped, unless it is a reset. */
function checkTimestamp(c: TcpConnection, segment: Segment, now: Milliseconds): boolean {
  const { rcv } = c;
  const { options } = segment;
  if (!rcv.timestamps || !options.hasTimestamps) return true;
  if (seqLt(options.tsValue, rcv.tsRecent) && !segment.has(TCP_RST)) {
    if (now - rcv.tsRecentAt < PAWS_IDLE_MS) {
      c.context.counters.tcpPaws++;
      if (segment.sequenceLength > 0) noteOldSegment(c, segment);
      else challenge(c, now);
      return false;
    }
    rcv.tsRecent = options.tsValue;
  }
  return true;
}

/** First step: sequence number. */
function checkSequence(c: TcpConnection, segment: Segment, now: Milliseconds): boolean {
  const { rcv } = c;
  if (c.state === "SYN-RECEIVED" && segment.has(TCP_SYN) && segment.has(TCP_ACK) && segment.seq === rcv.irs) {
    // The SYN-ACK of a simultaneous open: its SYN has been taken already, its ACK counts (figure 8).
    segment.seq = rcv.nxt;
    segment.flags &= ~TCP_SYN;
  }
  if (rcv.accepts(segment.seq, segment.sequenceLength)) {
    if (rcv.timestamps && segment.options.hasTimestamps) {
      rcv.updateTimestamp(segment.options.tsValue, segment.seq, now);
    }
    return true;
  }
  if (rcv.wnd === 0 && segment.seq === rcv.nxt) {
    // A full buffer takes no text, but "special allowance should be made to accept valid ACKs … and RSTs".
    segment.length = 0;
    segment.flags &= ~TCP_FIN;
    rcv.ackNow = true;
    // At once: a later step may drop the segment.
    c.wantTurn();
    return true;
  }
  c.context.counters.tcpOutOfWindow++;
  if (segment.has(TCP_RST)) return false;
  if (c.state === "SYN-RECEIVED" && segment.has(TCP_SYN) && segment.seq === rcv.irs) {
    // The client repeats its SYN: it has not got our SYN-ACK.
    c.synOwed = true;
    c.wantTurn();
    return false;
  }
  if (segment.sequenceLength > 0 && !segment.has(TCP_SYN)) noteOldSegment(c, segment);
  else challenge(c, now);
  return false;
}

/** An unacceptable segment with text is answered with an ACK; what of it is old is reported by DSACK. */
function noteOldSegment(c: TcpConnection, segment: Segment): void {
  const { rcv } = c;
  const end = seqMin(seqAdd(segment.seq, segment.length), rcv.nxt);
  if (seqLt(segment.seq, end)) rcv.noteDuplicate(segment.seq, end);
  rcv.ackNow = true;
  c.wantTurn();
}

/** Second step: RST, which counts only when its sequence number is exactly right (RFC 5961 §3). */
function checkReset(c: TcpConnection, segment: Segment, now: Milliseconds): boolean {
  if (!segment.has(TCP_RST)) return true;
  if (segment.seq !== c.rcv.nxt) {
    c.context.counters.tcpBlindReset++;
    challenge(c, now);
    return false;
  }
  c.context.counters.tcpResetsIn++;
  c.finish(c.state === "SYN-RECEIVED" && !c.passive ? "refused" : "reset");
  return false;
}

/** Fourth step: SYN in a synchronized state gets a challenge, whatever its number (RFC 5961 §4). */
function checkSyn(c: TcpConnection, segment: Segment, now: Milliseconds): boolean {
  if (!segment.has(TCP_SYN)) return true;
  challenge(c, now);
  return false;
}

/** Fifth step: ACK (with RFC 5961 §5's bounds). */
function checkAck(c: TcpConnection, segment: Segment, now: Milliseconds): boolean {
  if (!segment.has(TCP_ACK)) return false;
  const { snd } = c;
  if (c.state === "SYN-RECEIVED") {
    if (seqLeq(segment.ack, snd.una) || seqLt(snd.nxt, segment.ack)) {
      c.context.counters.tcpBadAck++;
      sendReset(c, segment.ack, 0, TCP_RST);
      return false;
    }
    snd.setWindow(segment, snd.windowShift);
    establish(c, segment.ack, now);
    return true;
  }
  const ahead = seqDistance(segment.ack, snd.una);
  if (seqLt(snd.nxt, segment.ack) || ahead < -snd.maxWnd) {
    c.context.counters.tcpBadAck++;
    challenge(c, now);
    return false;
  }
  if (ahead >= 0) {
    const flight = snd.outstanding;
    c.bytesOut += snd.onAck(segment, now);
    takeEcho(c, segment, flight, now);
    armAfterAck(c, ahead > 0, now);
    if (ahead > 0 && snd.finAcked) advance(c, "fin-acked", now);
  }
  return c.state !== "CLOSED";
}

/** Seventh step: text. */
function takeTextOf(c: TcpConnection, segment: Segment, now: Milliseconds): void {
  if (segment.length === 0 || !mayReceive(c.state)) return;
  // After a SYN the text starts one further on.
  const seq = segment.has(TCP_SYN) ? seqAdd(segment.seq, 1) : segment.seq;
  takeText(c, seq, segment.offset, segment.length, now);
}

/** Arena bytes [offset, offset + length) from sequence number `seq` on; what of them is in the window. */
function takeText(c: TcpConnection, seq: Seq, offset: number, length: number, now: Milliseconds): void {
  if (c.receive?.aborted === true) {
    // The ring's owner let go of it: nobody will ever read this (RFC 9293 §3.6, RFC 1122 §4.2.2.13).
    c.abort();
    return;
  }
  c.bytesIn += c.rcv.takeText(seq, offset, length, now);
  if (c.rcv.ackAt >= 0) c.armAck();
}

/**
 * As `takeText`, of `count` texts that go on where the one before ends, from RCV.NXT on, each `stride` bytes after the one
 * before. Returns how many of them were taken, the others not even in part.
 */
export function takeTexts(
  c: TcpConnection,
  offset: number,
  length: number,
  stride: number,
  count: number,
  now: Milliseconds,
): number {
  // The usual way ends the connection.
  if (c.receive?.aborted === true) return 0;
  const taken = c.rcv.takeTexts(offset, length, stride, count, now);
  c.bytesIn += taken * length;
  if (c.rcv.ackAt >= 0) c.armAck();
  return taken;
}

/** Eighth step: FIN, once everything before it has arrived. */
function takeFin(c: TcpConnection, segment: Segment, now: Milliseconds): void {
  if (!mayReceive(c.state)) return;
  const { rcv } = c;
  if (segment.has(TCP_FIN)) {
    const finSeq = seqAdd(segment.seq, segment.sequenceLength - 1);
    if (seqLeq(finSeq, rcv.edge) && rcv.takeFin(finSeq)) onPeerFinished(c, now);
  } else if (rcv.finSeen && rcv.finishIfComplete()) {
    onPeerFinished(c, now);
  }
}

/** RFC 5961 §7: says what we expect, at most once in a while; a genuine peer then sends the right thing. */
function challenge(c: TcpConnection, now: Milliseconds): void {
  if (now - c.challengedAt < CHALLENGE_ACK_MS) return;
  c.challengedAt = Math.floor(now);
  c.context.counters.tcpChallengeAcks++;
  c.rcv.ackNow = true;
  c.wantTurn();
}
