/**
 * What happens when a connection arrives in a state (RFC 9293 §3.3.2, `states.ts`), from its handshake to its end:
 * which timer runs, what the user and the rings are told, which place it holds in the layer.
 *
 * ```
 *   advance ──▶ ESTABLISHED: the user is told, data may flow
 *           ──▶ FIN-WAIT-2:  bounded, when nobody reads any more
 *           ──▶ TIME-WAIT:   the user and the layer are done with it; its last ACK may still leave at its next turn,
 *                            and `TimeWaits` keeps the address pair taken
 *   end     ──▶ CLOSED:      forgotten; a farewell may still leave at its next turn
 * ```
 */
import { type Milliseconds, NEVER } from "../../base/index.js";
import { TCP_ACK, TCP_RST } from "../../wire/index.js";
import type { TcpCloseReason, Unreachable } from "../link.js";
import type { TcpConnection } from "./connection.js";
import { FIN_WAIT_2_MS } from "./constants.js";
import { sendReset } from "./output.js";
import type { Seq } from "./seq.js";
import { nextState, type TcpEvent } from "./states.js";

/** What is sent at the next turn, after the end: a reset, or an ICMP error about the SYN. */
export type Farewell = "none" | "reset" | "reset-syn" | Unreachable;

/** An event of the table; one that means nothing in this state changes nothing. */
export function advance(c: TcpConnection, event: TcpEvent, now: Milliseconds): void {
  const state = nextState(c.state, event);
  if (state === undefined) return;
  if (state === "CLOSED") return end(c, "closed", "none");
  c.state = state;
  switch (state) {
    case "FIN-WAIT-2":
      return c.armLife(now + FIN_WAIT_2_MS);
    case "TIME-WAIT":
      return startTimeWait(c, now);
  }
}

/** Our SYN is acknowledged: `ack` is SND.UNA now. */
export function establish(c: TcpConnection, ack: Seq, now: Milliseconds): void {
  const { snd } = c;
  snd.una = ack;
  if (snd.retransmits === 0) snd.rtt.sample(now - snd.lastSentAt, now - snd.lastSentAt, now);
  snd.rtt.backoff = 0;
  snd.retransmits = 0;
  c.armSend("none", NEVER);
  advance(c, "syn-acked", now);
  c.layer.onEstablished(c);
  c.armLife(now + c.context.options.keepAliveIdleMs);
  c.user?.onTcpConnected(c);
  c.wantTurn();
}

/** The peer's FIN, and everything before it, has arrived. */
export function onPeerFinished(c: TcpConnection, now: Milliseconds): void {
  c.receive?.finish();
  advance(c, "fin", now);
}

/** Both directions are done: the user is told, the rings are let go, only the address pair stays taken. */
function startTimeWait(c: TcpConnection, now: Milliseconds): void {
  c.layer.forget(c);
  c.context.timers.cancel(c);
  c.snd.release();
  releaseRings(c, false);
  c.layer.timeWaits.add(c, now);
  tellUser(c, "closed");
}

/** To CLOSED, from any state; TIME-WAIT is an end, too. */
export function end(c: TcpConnection, why: TcpCloseReason, farewell: Farewell): void {
  if (c.state === "CLOSED" || c.state === "TIME-WAIT") return;
  c.farewell = farewell;
  c.layer.forget(c);
  c.state = "CLOSED";
  c.context.timers.cancel(c);
  c.snd.release();
  if (farewell !== "none") c.wantTurn();
  releaseRings(c, why !== "closed");
  tellUser(c, why);
}

/** An aborted ring tells its other end; one that is done stays with that end until it is drained. */
function releaseRings(c: TcpConnection, abort: boolean): void {
  const { receive, send } = c;
  c.receive = null;
  c.send = null;
  c.rcv.ring = null;
  c.snd.ring = null;
  if (receive !== null) {
    receive.writer = null;
    if (abort) receive.abort();
  }
  if (send !== null) {
    send.reader = null;
    if (abort) send.abort();
  }
}

function tellUser(c: TcpConnection, why: TcpCloseReason): void {
  const { user } = c;
  c.user = null;
  user?.onTcpClosed(why, c);
}

/** The last thing sent (RFC 9293 §3.10.5, ABORT). False when the link takes nothing now. */
export function sayFarewell(c: TcpConnection, now: Milliseconds): boolean {
  const { farewell, snd, rcv } = c;
  c.farewell = "none";
  switch (farewell) {
    case "none":
      return true;
    case "reset":
      sendReset(c, snd.nxt, rcv.nxt, TCP_RST | TCP_ACK);
      break;
    case "reset-syn":
      sendReset(c, 0, rcv.nxt, TCP_RST | TCP_ACK);
      break;
    default:
      c.layer.sendUnreachable(c, farewell, now);
  }
  if (!c.attachment.blocked) return true;
  c.farewell = farewell;
  return false;
}
