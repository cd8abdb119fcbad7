/**
 * All connections of a stack: which one a segment belongs to, what a SYN makes, what answers a segment that
 * belongs to none (RFC 9293 §3.10.7.1–2), and ICMP errors (RFC 5927).
 */
import { type Address, LinkedList, type Milliseconds } from "../../base/index.js";
import {
  finishSum,
  IPV6_MIN_MTU,
  PROTOCOL_TCP,
  sumBytes,
  sumPseudoHeader,
  TCP_ACK,
  TCP_FIN,
  TCP_HEADER_BYTES,
  TCP_RST,
  TCP_SYN,
} from "../../wire/index.js";
import type { Attachment } from "../attachment.js";
import type { StackContext } from "../context.js";
import { choosePort, FlowKey, FlowTable, PORT_STEP } from "../flow-key.js";
import type { Unreachable } from "../link.js";
import type { Packet } from "../packet.js";
import { TcpConnection } from "./connection.js";
import { PENDING_SYN_MS } from "./constants.js";
import { negotiate } from "./handshake.js";
import { HeaderPrediction } from "./header-prediction.js";
import { onSegment } from "./input.js";
import { SequenceSecret } from "./isn.js";
import { Segment } from "./segment.js";
import { SentEntriesPool } from "./sent-entries.js";
import { seqAdd, seqDistance } from "./seq.js";
import { isSynchronized } from "./states.js";
import { TimeWaits } from "./time-waits.js";
import { hasten } from "./timers.js";

/** RFC 791: every IPv4 host takes 576 bytes, so a smaller path is a lie or not worth having. */
const MIN_PATH_MTU_V4 = 576;

export class TcpLayer {
  readonly context: StackContext;
  readonly sentEntries: SentEntriesPool = new SentEntriesPool();
  readonly prediction: HeaderPrediction;
  /** They hold an address pair and nothing else, so they do not count as connections. */
  readonly timeWaits: TimeWaits;
  private readonly table: FlowTable<TcpConnection>;
  private readonly secret: SequenceSecret;
  /**
   * Passive connections whose handshake is not complete: anybody can make them with one packet each, so each kind
   * has its limit, in total and per link (docs/decisions/0009-syn-floods.md). A pending SYN waits for *us*, for the
   * handler's decision: past the limit new ones are not taken, because to give up old ones would let a flood end
   * every dial before it is done. A half-open connection waits for its *client*: past the limit the oldest goes,
   * whose client is the likeliest to be nobody (RFC 4987 §3.5).
   */
  private readonly pending: LinkedList<TcpConnection> = new LinkedList();
  private readonly halfOpen: LinkedList<TcpConnection> = new LinkedList();
  private readonly segment: Segment = new Segment();
  /**
   * Where the search for the next port begins: a step further each time, so that all others come before one is used
   * again, and the peer has forgotten it. Without timestamps a SYN cannot always show that it is newer than a connection
   * in TIME-WAIT (RFC 6191 §2), and a random port meets one the more often the more there are.
   */
  private nextPort: number;

  constructor(context: StackContext) {
    this.context = context;
    this.prediction = new HeaderPrediction(context.arena);
    const seed = context.random.uint32();
    this.table = new FlowTable(seed);
    this.timeWaits = new TimeWaits(context, seed);
    this.secret = new SequenceSecret(context.random);
    this.nextPort = context.random.uint32();
  }

  get connections(): TcpConnection[] {
    return this.table.entries();
  }

  process(packet: Packet, now: Milliseconds): void {
    const { counters, arena } = this.context;
    const { segment } = this;
    if (!segment.parse(packet, arena.view)) {
      counters.tcpBad++;
      return;
    }
    if (!packet.checksumTrusted && !this.checksumOk(packet)) {
      counters.tcpBadChecksum++;
      return;
    }
    const c = this.table.find(packet.key);
    if (c !== null) {
      onSegment(c, segment, now);
      this.prediction.remember(c, packet, segment);
      return;
    }
    if (this.timeWaits.process(packet.key, segment, now)) return;
    if ((segment.flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) === TCP_SYN) this.listen(packet, now);
    else this.answerStray(packet, segment);
  }

  /** Starts a connection; its SYN leaves at the next dispatch. Null when no port or no room is left. */
  connect(
    attachment: Attachment,
    local: Address,
    remote: Address,
    remotePort: number,
    now: Milliseconds,
  ): TcpConnection | null {
    const key = FlowKey.towards(attachment.id, local, remote, remotePort);
    if (this.isFull(attachment)) return null;
    const { table, timeWaits } = this;
    this.nextPort += PORT_STEP;
    const isFree = () => table.find(key) === null && timeWaits.giveWay(key, now);
    if (!choosePort(key, this.nextPort, isFree)) return null;
    const c = this.create(attachment, key, "SYN-SENT", now);
    c.synOwed = true;
    // Runs from now on, so that a link that takes nothing also ends in "timeout".
    c.armSend("syn", now + c.snd.rtt.rto);
    c.wantTurn();
    return c;
  }

  linkRestored(attachment: Attachment, now: Milliseconds): void {
    for (const c of this.table.entries()) if (c.attachment === attachment) hasten(c, now);
  }

  closeLink(attachment: Attachment): void {
    for (const c of this.table.entries()) if (c.attachment === attachment) c.drop();
    this.timeWaits.closeLink(attachment);
  }

  // ---- called by connections ----

  forget(c: TcpConnection): void {
    this.table.remove(c);
    c.attachment.tcpConnections--;
    this.leaveHandshake(c);
  }

  /** The handler accepts a pending SYN: from here on its client is waited for. */
  onAccepted(c: TcpConnection): void {
    this.leaveHandshake(c);
    const { attachment } = c;
    const { maxHalfOpen, linkShare } = this.context.options;
    const overShare = attachment.halfOpen >= linkShare * maxHalfOpen;
    if (overShare || this.halfOpen.count >= maxHalfOpen) {
      this.context.counters.tcpHalfOpenDropped++;
      (this.oldestHalfOpen(attachment) ?? this.halfOpen.first)?.drop();
    }
    this.halfOpen.add(c);
    attachment.halfOpen++;
  }

  onEstablished(c: TcpConnection): void {
    this.leaveHandshake(c);
  }

  private oldestHalfOpen(attachment: Attachment): TcpConnection | null {
    for (const c of this.halfOpen) if (c.attachment === attachment) return c;
    return null;
  }

  private leaveHandshake(c: TcpConnection): void {
    if (this.pending.remove(c)) c.attachment.pendingSyns--;
    else if (this.halfOpen.remove(c)) c.attachment.halfOpen--;
  }

  /** Answers a pending SYN with an ICMP error that quotes it. */
  sendUnreachable(c: TcpConnection, why: Unreachable, now: Milliseconds): void {
    const { attachment, key, rcv } = c;
    const ports = (key.remotePort << 16) | key.localPort;
    this.context.icmp.sendUnreachable(
      attachment,
      key,
      why,
      PROTOCOL_TCP,
      TCP_HEADER_BYTES,
      ports,
      rcv.irs,
      now,
    );
  }

  // ---- ICMP ----

  /**
   * An error about something that we sent. It ends an attempt to connect; a synchronized connection only
   * remembers it (RFC 5461 §4.1), because anybody on the path can forge it.
   */
  onUnreachable(key: FlowKey, sequence: number, why: Unreachable): void {
    const c = this.quoted(key, sequence);
    if (c === null) return;
    const reason = why === "port" ? "refused" : why === "prohibited" ? why : "unreachable";
    if (isSynchronized(c.state)) c.softError = reason;
    else c.finish(reason);
  }

  /** RFC 1191, RFC 8201: segments become smaller, and what was too big is sent again at once. */
  onPacketTooBig(key: FlowKey, sequence: number, mtu: number): void {
    const c = this.quoted(key, sequence);
    if (c === null || !isSynchronized(c.state)) return;
    const pathMtu = Math.max(mtu, key.family === 4 ? MIN_PATH_MTU_V4 : IPV6_MIN_MTU);
    if (pathMtu >= Math.min(c.pathMtu, c.attachment.link.mtu)) return;
    c.pathMtu = pathMtu;
    c.onMtuReduced();
  }

  /** The link's MTU is smaller now: every connection on it sends what was too big again. */
  linkMtuReduced(attachment: Attachment): void {
    for (const c of this.connections) {
      if (c.attachment === attachment && isSynchronized(c.state)) c.onMtuReduced();
    }
  }

  /** The connection that a quoted segment belongs to, if its sequence number is outstanding (RFC 5927 §4). */
  private quoted(key: FlowKey, sequence: number): TcpConnection | null {
    const c = this.table.find(key);
    if (c !== null) {
      const from = seqDistance(sequence, c.snd.una);
      if (from >= 0 && from < seqDistance(c.snd.nxt, c.snd.una)) return c;
    }
    this.context.counters.icmpStray++;
    return null;
  }

  // ---- inside ----

  private checksumOk(packet: Packet): boolean {
    const pseudo = sumPseudoHeader(packet.key.addressSum(), PROTOCOL_TCP, packet.length);
    return finishSum(pseudo + sumBytes(this.context.arena, packet.offset, packet.length)) === 0;
  }

  private listen(packet: Packet, now: Milliseconds): void {
    const { options, counters, handler } = this.context;
    const { attachment } = packet;
    if (this.isFull(attachment)) {
      counters.tcpConnectionLimit++;
      return;
    }
    const share = options.linkShare * options.maxPendingSyns;
    if (attachment.pendingSyns >= share || this.pending.count >= options.maxPendingSyns) {
      counters.tcpPendingLimit++;
      return;
    }
    const c = this.create(packet.attachment, packet.key.copy(), "LISTEN", now);
    c.rcv.start(this.segment.seq);
    negotiate(c, this.segment, now);
    c.snd.setWindow(this.segment, 0);
    c.armLife(now + PENDING_SYN_MS);
    this.pending.add(c);
    attachment.pendingSyns++;
    handler.onTcpSyn(c);
  }

  private isFull(attachment: Attachment): boolean {
    const { maxTcpConnections, linkShare } = this.context.options;
    return this.table.size >= maxTcpConnections || attachment.tcpConnections >= linkShare * maxTcpConnections;
  }

  private create(
    attachment: Attachment,
    key: FlowKey,
    state: "LISTEN" | "SYN-SENT",
    now: number,
  ): TcpConnection {
    const iss = this.secret.initialSequence(key, now);
    const c = new TcpConnection(this, attachment, key, iss, this.secret.timestampOffset(key), state, now);
    this.table.insert(c);
    attachment.tcpConnections++;
    return c;
  }

  /** RFC 9293 §3.10.7.1: everything but a reset is answered with one. */
  private answerStray(packet: Packet, segment: Segment): void {
    const { counters, output } = this.context;
    counters.tcpNoConnection++;
    if (segment.has(TCP_RST)) return;
    counters.tcpResetsOut++;
    if (segment.has(TCP_ACK)) {
      output.sendBareTcp(packet.attachment, packet.key, segment.ack, 0, TCP_RST);
    } else {
      const ack = seqAdd(segment.seq, segment.sequenceLength);
      output.sendBareTcp(packet.attachment, packet.key, 0, ack, TCP_RST | TCP_ACK);
    }
  }
}
