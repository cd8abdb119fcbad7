/**
 * A connection's timers. One serves all of sending, because its uses exclude each other:
 *
 * | kind       | runs while                                           | RFC              |
 * |------------|------------------------------------------------------|------------------|
 * | `syn`      | the handshake is unanswered                          | 6298 §5.7        |
 * | `rto`      | something is outstanding                             | 6298 §5          |
 * | `probe`    | as `rto`, sooner, while nothing looks lost           | 8985 §7          |
 * | `reorder`  | RACK suspects a loss                                 | 8985 §6.3        |
 * | `persist`  | there is data, nothing outstanding, and no window    | 9293 §3.8.6.1    |
 *
 * `lifeAt` serves what is not about sending: FIN-WAIT-2, keep-alive, a pending SYN; the delayed
 * ACK's deadline is the receiver's. Times are only written down here; `TimerHeap` is told when they move up.
 */
import { type Milliseconds, NEVER } from "../../base/index.js";
import type { TcpConnection } from "./connection.js";
import {
  FIN_WAIT_2_MS,
  MAX_RETRANSMITS,
  MAX_RTO_MS,
  MAX_SYN_RETRANSMITS,
  MAX_SYNACK_RETRANSMITS,
} from "./constants.js";
import { sendAck } from "./output.js";
import { seqAdd, seqDistance } from "./seq.js";
import { isSynchronized, maySend } from "./states.js";
import { retransmitLast, sendNew } from "./transmit.js";

export type SendTimer = "none" | "syn" | "rto" | "probe" | "reorder" | "persist";

/** RFC 8985 §7.2: what the peer may delay an ACK by when no more than a segment's worth is outstanding. */
const WORST_DELAYED_ACK_MS: Milliseconds = 200;
/** A probe sooner than this would race the peer's scheduler on a fast link. */
const MIN_PROBE_MS: Milliseconds = 10;
const INITIAL_PROBE_MS: Milliseconds = 1000;

/** Something left. The timer starts if it does not run (RFC 6298 §5.1); a probe moves on (RFC 8985 §7.2). */
export function armAfterSending(c: TcpConnection, now: Milliseconds): void {
  if (!isSynchronized(c.state)) return c.armSend("syn", Math.min(now + c.snd.rtt.rto, connectDeadline(c)));
  const { recovery } = c.snd;
  if (c.sendTimer === "reorder" || (c.sendTimer === "rto" && !recovery.mayProbe)) return;
  if (c.sendTimer === "none" || c.sendTimer === "persist") recovery.rtoAt = timeOutAt(c, now);
  armProbeOrRto(c, now);
}

/** An ACK came. RFC 6298 §5.2–5.3: stop when all is acknowledged, restart when something new is. */
export function armAfterAck(c: TcpConnection, progress: boolean, now: Milliseconds): void {
  const { snd } = c;
  if (snd.resting || snd.queue.count === 0) {
    if (c.sendTimer !== "persist" || snd.wnd > 0) c.armSend("none", NEVER);
    return;
  }
  const { recovery } = snd;
  if (progress) recovery.rtoAt = timeOutAt(c, now);
  if (recovery.reorderDelay > 0) c.armSend("reorder", Math.min(now + recovery.reorderDelay, recovery.rtoAt));
  else if (progress || c.sendTimer !== "rto") armProbeOrRto(c, now);
}

/** The oldest segment was sent again: it has a whole time-out to be acknowledged. */
export function armAfterRetransmit(c: TcpConnection, now: Milliseconds): void {
  const { recovery } = c.snd;
  recovery.rtoAt = timeOutAt(c, now);
  if (c.sendTimer !== "reorder") c.armSend("rto", recovery.rtoAt);
}

/** When the retransmission timer fires, or the user's patience ends (RFC 9293 §3.8.3). */
function timeOutAt(c: TcpConnection, now: Milliseconds): Milliseconds {
  return Math.min(now + c.snd.rtt.rto, c.snd.stalledSince + c.userTimeoutMs);
}

/** The user's patience with a peer that does not answer our SYN. */
function connectDeadline(c: TcpConnection): Milliseconds {
  return c.passive ? NEVER : c.createdAt + c.userTimeoutMs;
}

function armProbeOrRto(c: TcpConnection, now: Milliseconds): void {
  const { mayProbe, rtoAt } = c.snd.recovery;
  const at = mayProbe ? Math.min(now + probeTimeout(c), rtoAt) : rtoAt;
  c.armSend(at < rtoAt ? "probe" : "rto", at);
}

/** RFC 8985 §7.2. */
function probeTimeout(c: TcpConnection): Milliseconds {
  const { rtt, outstanding, mss } = c.snd;
  if (!rtt.measured) return INITIAL_PROBE_MS;
  return Math.max(2 * rtt.srtt + (outstanding <= mss ? WORST_DELAYED_ACK_MS : 0), MIN_PROBE_MS);
}

/** After a turn: data that the peer's window keeps back, with nothing outstanding, needs the persist timer. */
export function armPersist(c: TcpConnection, now: Milliseconds): void {
  const { snd } = c;
  if (c.sendTimer !== "none" || snd.unsent <= 0 || snd.outstanding > 0 || !maySend(c.state)) return;
  c.persistCount = 0;
  snd.stalledSince = Math.floor(now);
  c.armSend("persist", now + snd.rtt.rto);
}

export function onSendTimer(c: TcpConnection, now: Milliseconds): void {
  const kind = c.sendTimer;
  c.armSend("none", NEVER);
  // What is sent from here on does not wait for a turn, and the link's MTU may have changed since the last one.
  if (isSynchronized(c.state)) c.checkMss();
  switch (kind) {
    case "syn":
      return onSynTimer(c, now);
    case "rto":
      return onRto(c, now);
    case "probe":
      return onProbe(c, now);
    case "reorder":
      return onReorder(c, now);
    case "persist":
      return onPersist(c, now);
  }
}

function onSynTimer(c: TcpConnection, now: Milliseconds): void {
  const { snd } = c;
  const most = c.state === "SYN-SENT" ? MAX_SYN_RETRANSMITS : MAX_SYNACK_RETRANSMITS;
  if (snd.retransmits >= most || now >= connectDeadline(c)) return c.finish(c.softError ?? "timeout");
  snd.retransmits++;
  snd.rtt.backoff++;
  c.synOwed = true;
  c.armSend("syn", Math.min(now + snd.rtt.rto, connectDeadline(c)));
  c.wantTurn();
}

/** RFC 6298 §5.4–5.6. */
function onRto(c: TcpConnection, now: Milliseconds): void {
  const { snd } = c;
  const impatient = now >= snd.stalledSince + c.userTimeoutMs;
  if (impatient || (snd.retransmits >= MAX_RETRANSMITS && isSilent(c, now))) {
    return c.finish(c.softError ?? "timeout");
  }
  snd.retransmits++;
  snd.rtt.backoff++;
  snd.recovery.onTimeout(now);
  c.attachment.link.path?.suspect(c.local, c.remote, now);
  snd.recovery.rtoAt = timeOutAt(c, now);
  c.armSend("rto", snd.recovery.rtoAt);
  c.wantTurn();
}

/** RFC 8985 §6.3. The retransmission timer goes on below it, and may be what is due. */
function onReorder(c: TcpConnection, now: Milliseconds): void {
  if (now >= c.snd.recovery.rtoAt) return onRto(c, now);
  c.snd.recovery.onReorderTimer(now);
  armAfterAck(c, false, now);
  c.wantTurn();
}

/** RFC 8985 §7.3: new data if there is any and the peer takes it, else the last segment again. */
function onProbe(c: TcpConnection, now: Milliseconds): void {
  const { snd } = c;
  if (snd.queue.count === 0) return;
  const window = seqDistance(seqAdd(snd.una, snd.wnd), snd.nxt);
  const length = Math.min(snd.unsent, snd.mss);
  if (length > 0 && length <= window) {
    if (sendNew(c, length, false, now) > 0) snd.recovery.onProbe(false);
  } else if (retransmitLast(c, now) > 0) {
    snd.recovery.onProbe(true);
  }
  // Whatever has been sent: after a probe comes the time-out, no further probe.
  snd.recovery.rtoAt = timeOutAt(c, now);
  c.armSend("rto", snd.recovery.rtoAt);
}

/**
 * RFC 9293 §3.8.6.1: asks until the window opens, for as long as the peer answers.
 * DEVIATION(RFC 9293 §3.8.6.1): the probe is an ACK below the window instead of one byte beyond it; every
 * receiver answers it in the same way, and no byte is cut off the next full segment.
 */
function onPersist(c: TcpConnection, now: Milliseconds): void {
  const { snd } = c;
  if (snd.unsent <= 0) return;
  const window = seqDistance(seqAdd(snd.una, snd.wnd), snd.nxt);
  if (window > 0) {
    // A window too small to be worth it for longer than the override timeout (§3.8.6.2.1).
    const sent = sendNew(c, Math.min(window, snd.unsent, snd.mss), false, now);
    // The link took nothing, and nothing else would try again.
    if (sent < 0) c.armSend("persist", now + snd.rtt.rto);
    return;
  }
  const patience = Math.max(snd.stalledSince, c.lastHeardAt) + c.userTimeoutMs;
  if (now >= patience || (c.persistCount >= MAX_RETRANSMITS && isSilent(c, now))) return c.finish("timeout");
  c.context.counters.tcpZeroWindowProbes++;
  c.persistCount++;
  sendAck(c, seqAdd(snd.una, -1), now);
  const wait = Math.min(snd.rtt.rto * 2 ** c.persistCount, MAX_RTO_MS);
  c.armSend("persist", Math.min(now + wait, patience));
}

/** A peer that closed its window but still answers is alive, however long it takes (RFC 9293 §3.8.6.1). */
function isSilent(c: TcpConnection, now: Milliseconds): boolean {
  return c.snd.wnd > 0 || now - c.lastHeardAt > 2 * MAX_RTO_MS;
}

/**
 * The way to the peer works again, or leads to another host by now: what is outstanding is sent at once, and a
 * connection that waits for nothing asks whether it is still known (RFC 9293 §3.8.4).
 */
export function hasten(c: TcpConnection, now: Milliseconds): void {
  c.snd.onPathChanged();
  if (c.sendTimer !== "none") {
    // What was counted is the path's silence: whoever is there now has all its attempts to answer.
    c.snd.rtt.backoff = 0;
    c.snd.retransmits = 0;
    c.persistCount = 0;
    const other = c.sendTimer === "syn" || c.sendTimer === "persist";
    if (!other) c.snd.recovery.rtoAt = now;
    c.armSend(other ? c.sendTimer : "rto", now);
  } else if (isSynchronized(c.state)) {
    sendAck(c, seqAdd(c.snd.una, -1), now);
  }
}

/** FIN-WAIT-2, a pending SYN, or silence. */
export function onLifeTimer(c: TcpConnection, now: Milliseconds): void {
  switch (c.state) {
    case "LISTEN":
    case "SYN-RECEIVED":
      return c.finish("timeout");
    case "FIN-WAIT-2":
      if (c.receive === null || c.receive.aborted) return c.abort();
      return c.armLife(now + FIN_WAIT_2_MS);
    default:
      return onKeepAlive(c, now);
  }
}

/** RFC 9293 §3.8.4. */
function onKeepAlive(c: TcpConnection, now: Milliseconds): void {
  const { keepAliveIdleMs, keepAliveIntervalMs, keepAliveProbes } = c.context.options;
  if (keepAliveIdleMs === NEVER || !isSynchronized(c.state)) return;
  const quietUntil = c.lastHeardAt + keepAliveIdleMs;
  if (now < quietUntil) {
    c.keepAlivesSent = 0;
    return c.armLife(quietUntil);
  }
  if (c.snd.outstanding > 0) return c.armLife(now + keepAliveIntervalMs);
  if (c.keepAlivesSent >= keepAliveProbes) return c.finish("timeout");
  c.keepAlivesSent++;
  sendAck(c, seqAdd(c.snd.una, -1), now);
  c.armLife(now + keepAliveIntervalMs);
}
