/**
 * Decides what a connection sends when its turn comes: first what was lost, then new bytes, then FIN, then an
 * ACK if none of these carried it. One turn sends at most DISPATCH_QUANTUM_BYTES.
 *
 * The Nagle algorithm (RFC 9293 §3.7.4) is off unless asked for: a splice passes on what somebody else has already
 * chosen to send, and to hold it back would add a round trip of the far side. Silly windows are avoided all the same (RFC 9293
 * §3.8.6.2.1): a segment shorter than possible leaves only when it takes all there is.
 */
import type { Milliseconds } from "../../base/index.js";
import { TCP_ACK, TCP_FIN, TCP_PSH } from "../../wire/index.js";
import type { TcpConnection } from "./connection.js";
import { DISPATCH_QUANTUM_BYTES, MAX_SENT_ENTRIES } from "./constants.js";
import { advance } from "./life.js";
import { sendAck, sendData, sendSyn, timestampNow } from "./output.js";
import { seqAdd, seqDistance } from "./seq.js";
import { isSynchronized, maySend } from "./states.js";
import { armAfterRetransmit, armAfterSending } from "./timers.js";

/** What a turn ended with. */
export const DONE = 0;
/** More could be sent in another turn. */
export const MORE = 1;
/** The link takes nothing now. */
export const BLOCKED = 2;
export type TurnResult = typeof DONE | typeof MORE | typeof BLOCKED;

/** An IP packet's length field. */
const MAX_PACKET_BYTES = 65_535;
/** Duplicate ACKs in a row to a peer without SACK: enough for any fast recovery to go on. */
const MAX_DUPLICATE_ACKS = 64;

export function takeTurn(c: TcpConnection, now: Milliseconds): TurnResult {
  if (!isSynchronized(c.state)) return sendHandshake(c, now);
  c.checkMss();
  const result = sendStream(c, now);
  if (result !== DONE) return result;
  return sendOwedAcks(c, now) ? DONE : BLOCKED;
}

function sendHandshake(c: TcpConnection, now: Milliseconds): TurnResult {
  // RFC 9293 §3.10.7.4: a segment that SYN-RECEIVED does not accept is answered with an ACK.
  if (!c.synOwed) return c.state !== "SYN-RECEIVED" || sendOwedAcks(c, now) ? DONE : BLOCKED;
  if (!sendSyn(c, now)) return BLOCKED;
  c.synOwed = false;
  c.snd.nxt = seqAdd(c.snd.iss, 1);
  c.snd.lastSentAt = now;
  armAfterSending(c, now);
  return DONE;
}

function sendStream(c: TcpConnection, now: Milliseconds): TurnResult {
  const { snd } = c;
  if (snd.resting && snd.unsent <= 0 && !finFollows(c, 0)) return DONE;
  let budget = Math.ceil(Math.min(DISPATCH_QUANTUM_BYTES, snd.pacer.allowance(now))) | 0;
  const { spurious } = snd.recovery;
  if (spurious.holding && nextLength(c, budget) === 0) spurious.giveUpHold();
  while (snd.queue.lostBytes > 0 && !spurious.holding && mayRetransmit(c)) {
    if (budget <= 0) return pause(c, now);
    const index = snd.recovery.nextLost();
    const sent = retransmit(c, index, now);
    if (sent === 0) return BLOCKED;
    budget -= sent;
  }
  // New data waits until the holes that the window allows are filled (RFC 6675 §4, NextSeg).
  if (snd.queue.lostBytes > 0 && !spurious.holding) {
    snd.cwndLimited = true;
    return DONE;
  }
  if (!maySend(c.state)) return DONE;
  restartAfterIdle(c, now);
  for (;;) {
    const length = nextLength(c, budget);
    const fin = finFollows(c, length);
    if (length === 0 && !fin) {
      if (!snd.cwndLimited && isStarved(c)) snd.rate.onAppLimited(snd.inFlight);
      return DONE;
    }
    if (budget <= 0) return pause(c, now);
    const sent = sendNew(c, length, fin, now);
    if (sent < length) return BLOCKED;
    budget -= length;
    if (fin) return DONE;
  }
}

/** Nobody has given us anything to send. A full ring is no such case: it waits for the path, as a window does. */
function isStarved(c: TcpConnection): boolean {
  const { ring, unsent } = c.snd;
  return unsent <= 0 && ring !== null && ring.space > 0;
}

/** The turn's share is spent: the others' turn, or the pacer's time. */
function pause(c: TcpConnection, now: Milliseconds): TurnResult {
  const { snd } = c;
  if (snd.pacer.nextAt <= now) return MORE;
  snd.cwndLimited = true;
  c.armPace(snd.pacer.wait());
  return DONE;
}

/**
 * RFC 9293 §3.8.6.2.1, the congestion window and the link's share: payload of the next segments, which leave together; 0
 * for none now.
 * Always an integer to V8 as well: windows and budgets are doubles, and what is computed from one would be, too.
 * @param budget what is left of the turn; the last segment may go beyond it
 */
function nextLength(c: TcpConnection, budget: number): number {
  const { snd } = c;
  const { mss } = snd;
  snd.cwndLimited = false;
  const unsent = snd.unsent;
  if (unsent <= 0 || snd.queue.count >= MAX_SENT_ENTRIES) return 0;
  const window = seqDistance(seqAdd(snd.una, snd.wnd), snd.nxt);
  const congestion = Math.min(snd.congestion.cwnd, c.attachment.busyFlows.share) - snd.inFlight;
  let length = Math.min(unsent, largestSend(c, budget));
  const { spurious } = snd.recovery;
  if (spurious.holding) length = Math.min(length, spurious.newSegmentsWanted * mss);
  // CWR belongs on one segment, not on each piece of a super-segment.
  if (c.ecn.cwrOwed) length = Math.min(length, mss);
  if (length > congestion) {
    snd.cwndLimited = true;
    // Whole segments only, or the window would be cut into crumbs.
    length = (congestion - (congestion % mss)) | 0;
  }
  if (length > window) length = window;
  if (length <= 0) return 0;
  const waits = c.nagle && snd.ring?.finished !== true;
  if (length > mss && (waits || length < unsent)) length -= length % mss;
  if (length < mss && waits && snd.outstanding > 0) return 0;
  if (length >= mss || length === unsent) return length;
  return 2 * length >= snd.maxWnd ? length : 0;
}

/** Payload of the largest packet that the link takes at once; where it takes single segments, of all that the turn has. */
function largestSend(c: TcpConnection, budget: number): number {
  const { mss } = c.snd;
  const { maxGsoBytes } = c.attachment.link;
  if (maxGsoBytes === 0) return budget > mss ? Math.ceil(budget / mss) * mss : mss;
  const room = Math.min(maxGsoBytes, MAX_PACKET_BYTES) - c.headerBytes;
  return room > mss ? room - (room % mss) : mss;
}

/** Whether FIN rides on the next `length` bytes: they are the last, and no more will come. */
function finFollows(c: TcpConnection, length: number): boolean {
  const { snd } = c;
  return snd.ring?.finished === true && !snd.finSent && snd.unsent === length;
}

/**
 * Bytes [SND.NXT, SND.NXT + wanted), and FIN if it follows them. Returns how many bytes have left, fewer when the link
 * takes no more; -1 when it took nothing.
 */
export function sendNew(c: TcpConnection, wanted: number, finFollows: boolean, now: Milliseconds): number {
  const { snd } = c;
  const last = wanted === snd.unsent;
  const flags = TCP_ACK | (last && wanted > 0 ? TCP_PSH : 0) | (finFollows ? TCP_FIN : 0);
  const length = sendData(c, snd.nxt, wanted, flags, true, now);
  if (length < 0) return -1;
  const fin = finFollows && length === wanted;
  if (snd.queue.count === 0) snd.stalledSince = Math.floor(now);
  snd.rate.onSend(snd.inFlight, now);
  snd.queue.now = now;
  const end = seqAdd(snd.nxt, fin ? length + 1 : length);
  snd.enter(snd.nxt, end);
  snd.recovery.onSent(length);
  snd.recovery.spurious.onNewData(Math.ceil(length / snd.mss));
  snd.pacer.onSent(length, now);
  if (fin) {
    snd.finSent = true;
    snd.finSeq = seqAdd(snd.nxt, length);
  }
  snd.nxt = end;
  snd.lastSentAt = now;
  armAfterSending(c, now);
  if (fin) advance(c, "fin-sent", now);
  return length;
}

/**
 * At least one segment may always be in flight, or recovery would stall. Without SACK each partial ACK sends
 * its hole whatever the window (RFC 6582 §3.2 step 3).
 */
function mayRetransmit(c: TcpConnection): boolean {
  const { snd } = c;
  const { inFlight } = snd;
  if (!snd.sackPermitted && snd.recovery.phase === "recovery") return true;
  return inFlight === 0 || inFlight + snd.mss <= snd.congestion.cwnd;
}

/** Sends the last segment again. Returns its length in sequence space, or 0 when the link is blocked. */
export function retransmitLast(c: TcpConnection, now: Milliseconds): number {
  const { snd } = c;
  const { queue } = snd;
  const index = queue.count - 1;
  const last = snd.lastSegmentOf(index);
  if (last === queue.startOf(index)) return retransmit(c, index, now);
  queue.split(index, last);
  return retransmit(c, index + 1, now);
}

/** Sends the first segment of entry `index` again. Returns its length in sequence space, or 0 when the link is blocked. */
function retransmit(c: TcpConnection, index: number, now: Milliseconds): number {
  const { snd } = c;
  const { queue } = snd;
  const start = queue.startOf(index);
  const carriesFin = snd.finSent && queue.endOf(index) === seqAdd(snd.finSeq, 1);
  let payload = queue.lengthOf(index) - (carriesFin ? 1 : 0);
  let fin = carriesFin;
  if (payload > snd.mss) {
    queue.split(index, seqAdd(start, snd.mss));
    payload = snd.mss;
    fin = false;
  }
  const flags = TCP_ACK | (payload > 0 ? TCP_PSH : 0) | (fin ? TCP_FIN : 0);
  if (sendData(c, start, payload, flags, false, now) < 0) return 0;
  c.context.counters.tcpRetransmits++;
  snd.rate.onSend(snd.inFlight, now);
  queue.markRetransmitted(index, now);
  snd.rate.stamp(queue, index);
  snd.recovery.onSent(payload);
  if (snd.recovery.phase !== "open") {
    snd.recovery.spurious.onRetransmit(payload, timestampNow(c.template, now), now);
  }
  snd.pacer.onSent(payload, now);
  snd.lastSentAt = now;
  if (index === 0) armAfterRetransmit(c, now);
  else armAfterSending(c, now);
  return queue.lengthOf(index);
}

/** RFC 5681 §4.1: a window that has not been used for a time-out says nothing about the path any more. */
function restartAfterIdle(c: TcpConnection, now: Milliseconds): void {
  const { snd } = c;
  if (snd.queue.count === 0 && snd.lastSentAt >= 0 && now - snd.lastSentAt > snd.rtt.rto && snd.unsent > 0) {
    snd.congestion.onIdle();
  }
}

/** One ACK for the whole batch; several when they are needed to tell everything that arrived out of order. */
function sendOwedAcks(c: TcpConnection, now: Milliseconds): boolean {
  const { rcv, snd } = c;
  if (!rcv.ackNow && !rcv.windowUpdateDue) return true;
  let repeats = snd.sackPermitted ? 0 : Math.min(rcv.duplicatesOwed, MAX_DUPLICATE_ACKS) - 1;
  do {
    if (!sendAck(c, snd.nxt, now)) return false;
  } while (snd.sackPermitted ? rcv.assembler.fresh > 0 : repeats-- > 0);
  return true;
}
