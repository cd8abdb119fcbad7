/**
 * One TCP connection: its identity, its state, and how it is joined to rings, timers and the stack.
 *
 * ```
 *           process ──▶ input.ts ──▶ rcv (Receiver) ──▶ receive ring ──▶ the splice's other end
 *   link                   │ ACKs
 *           dispatch ◀── transmit.ts ◀── snd (Sender) ◀── send ring ◀── the splice's other end
 *                          ▲
 *           poll ──────▶ timers.ts              life.ts ──▶ user
 * ```
 *
 * There is no read, write, shutdown or close: the rings are the application's interface. A finished send
 * ring becomes FIN, the peer's FIN finishes the receive ring, an aborted ring becomes RST and the reverse.
 * What the rings call may come from another stack in the middle of its work, so it only asks for a turn.
 */
import type { LinkedList, Listed, Milliseconds, Ring, RingReader, RingWriter } from "../../base/index.js";
import { NEVER } from "../../base/index.js";
import { TCP_HEADER_BYTES, TCP_TIMESTAMP_BYTES } from "../../wire/index.js";
import type { Attachment } from "../attachment.js";
import type { StackContext } from "../context.js";
import { Flow } from "../flow.js";
import type { FlowKey } from "../flow-key.js";
import type { TcpCloseReason, TcpUser, Unreachable } from "../link.js";
import type { Timed } from "../timer-heap.js";
import { mostRingBytes, ReceiveTuner, tuneSendRing } from "./autotune.js";
import {
  BRIEF_BYTES,
  CHALLENGE_ACK_MS,
  DEFAULT_MSS_V4,
  MIN_MSS,
  REST_AFTER_MS,
  REST_GRAIN_MS,
} from "./constants.js";
import { Ecn } from "./ecn.js";
import { windowShiftFor } from "./handshake.js";
import { advance, end, type Farewell, sayFarewell } from "./life.js";
import { HeaderTemplate } from "./output.js";
import { Receiver } from "./receiver.js";
import { Sender } from "./sender.js";
import type { Seq } from "./seq.js";
import type { TcpState } from "./states.js";
import type { TcpLayer } from "./tcp-layer.js";
import { armPersist, onLifeTimer, onSendTimer, type SendTimer } from "./timers.js";
import { BLOCKED, DONE, MORE, type TurnResult, takeTurn } from "./transmit.js";

/** Of a path that nothing is known of: more than any packet has. */
const ANY_MTU = 1 << 16;

export class TcpConnection extends Flow implements RingReader, RingWriter, Timed, Listed<TcpConnection> {
  /** RFC 9293 §3.3.2; changed by `life.ts` alone. */
  state: TcpState;
  /** Told when the connection is up and when it is gone. */
  user: TcpUser | null = null;
  /** In-order bytes from the peer go here; null before `attach` and after the end. */
  receive: Ring | null = null;
  /** Bytes for the peer come from here; null before `attach` and after the end. */
  send: Ring | null = null;
  /** How long sent data may stay unacknowledged, or a closed window silent (RFC 9293 §3.8.3, MUST-21). */
  userTimeoutMs: Milliseconds;
  /** Small segments wait while others are unacknowledged (RFC 9293 §3.7.4). */
  nagle: boolean;
  /**
   * Payload bytes taken in order from the peer, and acknowledged by it. 0.1, not 0: doubles from the start, as what
   * becomes one after 2 GiB has V8 compile anew whatever touches a connection.
   */
  bytesIn = 0.1;
  bytesOut = 0.1;

  // ---- below: for the files of this folder ----

  readonly context: StackContext;
  readonly layer: TcpLayer;
  readonly template: HeaderTemplate;
  readonly snd: Sender;
  readonly rcv: Receiver;
  readonly ecn: Ecn;
  /** The peer opened it. */
  readonly passive: boolean;

  /** Largest segment that the peer's SYN allowed; ours is in `rcv.offeredMss`. */
  peerMss: number = DEFAULT_MSS_V4;
  /** Path MTU that an ICMP message told (RFC 1191, 8201). */
  pathMtu: number = ANY_MTU;
  /** Window scaling is agreed, and the shift that we offer. */
  scaling = false;
  readonly offeredShift: number;
  /** Both ends' links authenticate what arrives: segments with data carry no checksum. */
  omitsChecksum = false;
  /** A SYN or SYN-ACK must leave at the next turn. */
  synOwed = false;
  /** An ICMP error about an established connection: told as the reason if it then times out (RFC 5461 §2). */
  softError: TcpCloseReason | null = null;

  sendTimer: SendTimer = "none";
  sendAt: Milliseconds = NEVER;
  lifeAt: Milliseconds = NEVER;
  persistCount = 0;
  keepAlivesSent = 0;
  /** In whole milliseconds. */
  lastHeardAt: Milliseconds;
  challengedAt: Milliseconds = -CHALLENGE_ACK_MS;

  // Timed, and links of the lists that this connection may be in.
  wakeAt: Milliseconds = NEVER;
  heapIndex = -1;
  queued = false;
  nextQueued: TcpConnection | null = null;
  listed: LinkedList<TcpConnection> | null = null;
  listNext: TcpConnection | null = null;
  listPrevious: TcpConnection | null = null;

  /** Sent at the next turn, after the end. */
  farewell: Farewell = "none";
  private readonly tuner: ReceiveTuner | null;
  busyRound = -1;
  busyFrom: Seq = 0;

  constructor(
    layer: TcpLayer,
    attachment: Attachment,
    key: FlowKey,
    iss: Seq,
    timestampOffset: number,
    state: "LISTEN" | "SYN-SENT",
    now: Milliseconds,
  ) {
    super(attachment, key, now);
    const { context } = layer;
    const { options, counters } = context;
    const { congested } = attachment.link;
    this.bytesIn = 0;
    this.bytesOut = 0;
    this.context = context;
    this.layer = layer;
    this.template = new HeaderTemplate(key, timestampOffset);
    this.snd = new Sender(iss, congested, layer);
    this.rcv = new Receiver(counters, options.defaultWindowBytes);
    this.ecn = new Ecn();
    this.rcv.offeredMss = Math.max(attachment.link.mtu - this.template.ipBytes - TCP_HEADER_BYTES, MIN_MSS);
    this.offeredShift = windowShiftFor(options.maxRingBytes);
    this.passive = state === "LISTEN";
    this.userTimeoutMs = options.userTimeoutMs;
    this.nagle = options.nagle;
    this.state = state;
    this.tuner = congested ? new ReceiveTuner() : null;
    this.lastHeardAt = this.createdAt;
  }

  /** Smoothed round trip time, or 0 before the first measurement. */
  get srttMs(): Milliseconds {
    return this.snd.rtt.measured ? this.snd.rtt.srtt : 0;
  }

  // ---- for the user ----

  /**
   * Becomes the writer of `receive` and the reader of `send`. Before `accept`, or right after `connect`; on a
   * connection that is gone already it aborts both.
   */
  attach(receive: Ring, send: Ring): void {
    if (this.state === "CLOSED") {
      receive.abort();
      send.abort();
      return;
    }
    this.receive = receive;
    this.send = send;
    receive.writer = this;
    send.reader = this;
    this.rcv.ring = receive;
    this.snd.attach(send);
    this.wantTurn();
  }

  /** Answers a pending SYN. No effect when it is not pending any more. */
  accept(): void {
    if (this.state !== "LISTEN") return;
    advance(this, "accepted", this.createdAt);
    this.layer.onAccepted(this);
    this.synOwed = true;
    this.wantTurn();
  }

  /** Answers a pending SYN with RST: the peer's `connect` says "refused". The user is told the same. */
  refuse(): void {
    if (this.state === "LISTEN") end(this, "refused", "reset-syn");
  }

  /** Answers a pending SYN with an ICMP error. */
  unreachable(why: Unreachable): void {
    if (this.state === "LISTEN") end(this, why === "prohibited" ? why : "unreachable", why);
  }

  /** Resets the connection; `user.onTcpClosed("reset")` follows at once. */
  abort(): void {
    const pending = this.state === "LISTEN";
    const silent = this.state === "SYN-SENT";
    end(this, "reset", silent ? "none" : pending ? "reset-syn" : "reset");
  }

  // ---- rings ----

  onRingData(): void {
    this.wantTurn();
  }

  onRingSpace(): void {
    this.wantTurn();
  }

  onRingAborted(): void {
    this.abort();
  }

  // ---- turns ----

  /** What it has to send takes next to no time. */
  get isBrief(): boolean {
    const { snd } = this;
    if (snd.ring === null) return true;
    return snd.unsent + (snd.resting ? 0 : snd.queue.lostBytes) < BRIEF_BYTES;
  }

  /** Queues for the next dispatch. */
  wantTurn(): void {
    if (!this.queued) this.attachment.enqueue(this);
  }

  /** Sends what there is to send. Called by the stack's `dispatch`. */
  takeTurn(now: Milliseconds): TurnResult {
    if (this.state === "CLOSED") return sayFarewell(this, now) ? DONE : BLOCKED;
    if (this.tuner !== null) this.tune(this.tuner, now);
    const result = takeTurn(this, now);
    if (result !== MORE) armPersist(this, now);
    return result;
  }

  /** Bytes of IP and TCP header of a data segment. */
  get headerBytes(): number {
    return this.template.ipBytes + TCP_HEADER_BYTES + (this.rcv.timestamps ? TCP_TIMESTAMP_BYTES : 0);
  }

  /** Follows the link's MTU, which may change, and what ICMP told of the path (RFC 9293 §3.7.1). */
  checkMss(): void {
    const mtu = Math.min(this.attachment.link.mtu, this.pathMtu);
    const options = this.rcv.timestamps ? TCP_TIMESTAMP_BYTES : 0;
    const mss = Math.max(Math.min(this.peerMss - options, mtu - this.headerBytes), MIN_MSS);
    if (mss !== this.snd.mss) this.snd.setMss(mss);
  }

  /** What was too big for the path is sent again at once, in smaller segments (RFC 1191 §6.4). */
  onMtuReduced(): void {
    this.checkMss();
    if (!this.snd.resting) this.snd.recovery.onPathMtuReduced();
    this.wantTurn();
  }

  // ---- life ----

  /** The connection is over without a segment to send: reset by the peer, timed out, or closed by both. */
  finish(why: TcpCloseReason): void {
    end(this, why, "none");
  }

  /** The link is gone. */
  drop(): void {
    end(this, "reset", "none");
  }

  // ---- timers ----

  armSend(kind: SendTimer, at: Milliseconds): void {
    this.sendTimer = kind;
    this.sendAt = at;
    if (at < this.wakeAt || this.heapIndex === -1) this.context.timers.schedule(this, at);
  }

  armLife(at: Milliseconds): void {
    this.lifeAt = at;
    this.context.timers.schedule(this, at);
  }

  armPace(at: Milliseconds): void {
    this.snd.pacer.wakeAt = at;
    if (at < this.wakeAt || this.heapIndex === -1) this.context.timers.schedule(this, at);
  }

  /** The receiver has set the deadline of a delayed ACK. */
  armAck(): void {
    if (this.rcv.ackAt < this.wakeAt || this.heapIndex === -1)
      this.context.timers.schedule(this, this.rcv.ackAt);
  }

  onWake(now: Milliseconds): void {
    if (this.rcv.ackAt >= 0 && this.rcv.ackAt <= now) {
      this.rcv.ackAt = -1;
      this.rcv.ackNow = true;
      this.wantTurn();
    }
    if (this.paceAt <= now) {
      this.snd.pacer.wakeAt = NEVER;
      this.wantTurn();
    }
    if (this.sendAt <= now) onSendTimer(this, now);
    if (this.lifeAt <= now) {
      this.lifeAt = NEVER;
      onLifeTimer(this, now);
    }
    if (this.state === "CLOSED") return;
    if (this.restAt <= now) this.snd.rest();
    const ackAt = this.rcv.ackAt < 0 ? NEVER : this.rcv.ackAt;
    this.context.timers.schedule(this, Math.min(this.sendAt, this.lifeAt, this.paceAt, ackAt, this.restAt));
  }

  /** When the pacer lets the next segment go, while one waits for it. */
  get paceAt(): Milliseconds {
    return this.snd.resting ? NEVER : this.snd.pacer.wakeAt;
  }

  // ---- inside ----

  /** Sending something arms a timer, so it is looked at sooner or later. */
  private get restAt(): Milliseconds {
    if (this.snd.resting || this.sendTimer !== "none") return NEVER;
    const due = Math.max(this.lastHeardAt, this.snd.lastSentAt) + REST_AFTER_MS;
    return Math.ceil(due / REST_GRAIN_MS) * REST_GRAIN_MS;
  }

  /** To the path, and to who else is on it. */
  private tune(tuner: ReceiveTuner, now: Milliseconds): void {
    const { rcv, snd } = this;
    if (!snd.resting) this.attachment.busyFlows.note(this, snd.nxt, snd.congestion.pathRtt, now);
    if (rcv.ring !== null) {
      const ahead = rcv.assembler.reach(rcv.nxt);
      tuner.update(rcv.ring, ahead, snd.rtt.srtt, this.maxRingBytes(rcv.ring), now);
    }
    if (snd.ring !== null && !snd.resting) tuneSendRing(snd, this.maxRingBytes(snd.ring));
  }

  private maxRingBytes(ring: Ring): number {
    return Math.min(mostRingBytes(this.snd.rtt, this.context.options.maxRingBytes), ring.maxLimit);
  }
}
