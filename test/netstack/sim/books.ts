/**
 * What a stack's own books must say whenever everything due has been done: no deadline that the timer heap does
 * not know, nothing that waits for nothing, a scoreboard whose sums are those of its entries.
 */
import { NEVER } from "../../../src/base/index.js";
import type { Stack, TcpConnection } from "../../../src/netstack/index.js";
import { LOST, SACKED } from "../../../src/netstack/tcp/sent-queue.js";
import { isSynchronized, maySend } from "../../../src/netstack/tcp/states.js";

/** What is wrong, or null. */
export function auditStack(stack: Stack, now: number): string | null {
  if (stack.pollAt() <= now) return "a timer that was due has not fired";
  for (const c of stack.connections()) {
    const wrong = auditTimers(stack, c) ?? auditScoreboard(c);
    if (wrong !== null) return `${c.state}: ${wrong}`;
  }
  return null;
}

function auditTimers(stack: Stack, c: TcpConnection): string | null {
  const { snd, rcv } = c;
  const ackAt = rcv.ackAt < 0 ? NEVER : rcv.ackAt;
  const earliest = Math.min(c.sendAt, c.lifeAt, c.paceAt, ackAt);
  if (earliest !== NEVER && (c.heapIndex === -1 || c.wakeAt > earliest)) return "a timer is lost";
  if (c.heapIndex !== -1 && stack.pollAt() > c.wakeAt) return "the stack sleeps past a timer";
  if (c.heapIndex === -1 && !snd.resting) return "nothing will ever let it rest";
  if ((c.sendTimer === "none") !== (c.sendAt === NEVER)) return `timer ${c.sendTimer} at ${c.sendAt}`;
  // Its turn is still to come, because the link takes nothing.
  if (c.queued || c.attachment.blocked) return null;
  if (rcv.ackNow && isSynchronized(c.state)) return "an ACK is owed and nobody sends it";
  if (!snd.resting && snd.queue.count > 0 && c.sendTimer === "none")
    return "nothing is waited for though bytes are out";
  if (c.state === "SYN-SENT" || c.state === "SYN-RECEIVED") {
    return c.sendTimer === "syn" ? null : "a handshake without a timer";
  }
  if (!maySend(c.state) || c.sendTimer !== "none" || c.paceAt !== NEVER) return null;
  if (snd.unsent > 0) return `${snd.unsent} bytes wait for nothing`;
  return snd.ring?.finished === true && !snd.finSent ? "FIN waits for nothing" : null;
}

function auditScoreboard(c: TcpConnection): string | null {
  const { snd } = c;
  const unknown = isSynchronized(c.state) && snd.outstanding !== 0;
  if (snd.resting) return unknown ? "bytes are out of a sender at rest" : null;
  const { queue } = snd;
  let sacked = 0;
  let sackedSegments = 0;
  let lost = 0;
  for (let i = 0; i < queue.count; i++) {
    const flags = queue.flagsOf(i);
    if (flags & SACKED) {
      sacked += queue.lengthOf(i);
      sackedSegments += Math.ceil(queue.lengthOf(i) / queue.sizeOf(i));
    }
    if (flags & LOST) lost += queue.lengthOf(i);
    if (i > 0 && queue.startOf(i) !== queue.endOf(i - 1)) return "the scoreboard has a hole";
  }
  const segments = queue.sackedSegments;
  if (sacked !== queue.sackedBytes || sackedSegments !== segments || lost !== queue.lostBytes) {
    return `the scoreboard says ${queue.sackedBytes} and ${queue.lostBytes}, its entries ${sacked} and ${lost}`;
  }
  if (queue.count > 0 && (queue.startOf(0) !== snd.una || queue.endOf(queue.count - 1) !== snd.nxt)) {
    return "the scoreboard does not span what is outstanding";
  }
  return queue.count === 0 && unknown ? "bytes are out that the scoreboard does not know" : null;
}
