/**
 * Explicit congestion notification (RFC 3168 §6.1): one per connection. Routers mark instead of dropping; the
 * receiver echoes the mark on every ACK (ECE) until the sender says that it has slowed down (CWR).
 *
 * ```
 *   sender ── data, ECT(0) ──▶ router marks CE ──▶ receiver
 *   sender ◀── ACKs with ECE ───────────────────── receiver
 *   sender ── next new data, CWR ────────────────▶ receiver: ACKs without ECE
 * ```
 *
 * We ask for it where congestion happens, and grant it to whoever asks. A SYN that got no answer is repeated
 * without (§6.1.1.1): some middlebox may drop what it does not know. Only new data is sent as ECN-capable, never a
 * SYN, a pure ACK, a probe of a closed window or a retransmission (§6.1.1, §6.1.4–6.1.6).
 */
import { TCP_ACK, TCP_CWR, TCP_ECE, TCP_SYN } from "../../wire/index.js";
import type { TcpConnection } from "./connection.js";
import type { Segment } from "./segment.js";
import { type Seq, seqLt } from "./seq.js";

const SETUP = TCP_ECE | TCP_CWR;

export class Ecn {
  /** Both SYNs have said so. */
  enabled = false;
  /** Our last SYN asked. */
  asked = false;
  /** A mark came in and no CWR has answered it: ACKs carry ECE. */
  echoing = false;
  /** The window was reduced, and no new data has told the peer yet. */
  cwrOwed = false;
  /** The window was reduced at SND.NXT `reducedAt`: ECE on ACKs up to there is about the same window (§6.1.2). */
  reducing = false;
  reducedAt: Seq = 0;

  /** Flags of our SYN or SYN-ACK. */
  synFlags(passive: boolean, ask: boolean): number {
    if (passive) return this.enabled ? TCP_ECE : 0;
    this.asked = ask;
    return ask ? SETUP : 0;
  }

  /** The peer's SYN: a request is granted; a SYN-ACK grants ours unless it reflects both bits (§6.1.1). */
  negotiate(flags: number): void {
    const bits = flags & SETUP;
    this.enabled = (flags & TCP_ACK) === 0 ? bits === SETUP : this.asked && bits === TCP_ECE;
  }

  /** Flags of an ACK or of data. A first transmission of data carries the CWR that is owed. */
  takeFlags(fresh: boolean): number {
    let flags = this.echoing ? TCP_ECE : 0;
    if (fresh && this.cwrOwed) {
      this.cwrOwed = false;
      flags |= TCP_CWR;
    }
    return flags;
  }
}

/** §6.1.3: acceptable text. A CWR ends the echo of marks before it, so the segment's own mark is looked at last. */
export function takeMark(c: TcpConnection, segment: Segment): void {
  const { ecn } = c;
  if (!ecn.enabled || segment.length === 0) return;
  if (segment.has(TCP_CWR)) ecn.echoing = false;
  if (!segment.marked) return;
  c.context.counters.tcpEcnMarked++;
  if (!ecn.echoing) c.rcv.ackNow = true;
  ecn.echoing = true;
}

/**
 * §6.1.2: an ACK with ECE reduces the window as a loss would, once for all data of one window.
 * @param flight what was outstanding before the ACK
 */
export function takeEcho(c: TcpConnection, segment: Segment, flight: number, now: number): void {
  const { ecn, snd } = c;
  if (!ecn.enabled) return;
  // Looked at with each ACK: half the sequence space later the comparison would say the opposite.
  if (ecn.reducing && seqLt(ecn.reducedAt, snd.una)) ecn.reducing = false;
  if (ecn.reducing || !segment.has(TCP_ECE) || segment.has(TCP_SYN)) return;
  ecn.reducing = true;
  ecn.reducedAt = snd.nxt;
  ecn.cwrOwed = true;
  c.context.counters.tcpEcnReductions++;
  // A loss episode has reduced the window already, and at rest there is none to reduce: the peer wants its CWR.
  if (!snd.resting && snd.recovery.phase === "open") snd.congestion.onEcnEcho(flight, now);
}
