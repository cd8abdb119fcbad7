/**
 * The stack's face: packets and time come in, packets and deadlines go out. It owns no socket, clock or timer.
 *
 * ```
 *   process(packet) ─▶ IpInput ─▶ (Reassembler) ─▶ TcpLayer ─▶ connections ─┐ rings, handler
 *        a batch of them                         ├▶ UdpLayer ─▶ flows ──────┤
 *                                                └▶ IcmpInput               │
 *   dispatch(now)  ◀─ each link's queue of connections that want a turn ◀───┘
 *   poll(now)      ─▶ TimerHeap ─▶ connections, flows, Reassembler
 * ```
 *
 * A caller processes a whole batch and then calls `dispatch` once: each connection sends one ACK for all that
 * the batch brought it. Datagrams, resets and ICMP leave from within `process`. Nothing that a packet holds
 * makes any of this throw; what is dropped is counted by reason in `counters`.
 */
import {
  type Address,
  type Arena,
  type BlockPool,
  CzctlError,
  type Milliseconds,
  type Random,
} from "../base/index.js";
import { PROTOCOL_ICMP4, PROTOCOL_ICMP6, PROTOCOL_NONE, PROTOCOL_TCP, PROTOCOL_UDP } from "../wire/index.js";
import { Attachment } from "./attachment.js";
import type { StackContext } from "./context.js";
import { Counters } from "./counters.js";
import { IcmpInput } from "./icmp-input.js";
import { IcmpOutput } from "./icmp-output.js";
import { IpInput } from "./ip-input.js";
import { IpOutput } from "./ip-output.js";
import type { Link, StackHandler } from "./link.js";
import { DEFAULT_STACK_OPTIONS, type StackOptions } from "./options.js";
import { Packet } from "./packet.js";
import { Reassembler } from "./reassembly.js";
import type { TcpConnection } from "./tcp/connection.js";
import { TcpLayer } from "./tcp/tcp-layer.js";
import { BLOCKED, MORE } from "./tcp/transmit.js";
import { TimerHeap } from "./timer-heap.js";
import type { UdpFlow } from "./udp.js";
import { UdpLayer } from "./udp-layer.js";

export interface StackConfig {
  arena: Arena;
  /** Reassembly buffers come from here; so do the rings of the connections, usually. */
  pool: BlockPool;
  random: Random;
  handler: StackHandler;
  options?: Partial<StackOptions>;
}

export class Stack {
  readonly counters: Counters = new Counters();
  readonly options: Readonly<StackOptions>;
  private readonly timers: TimerHeap = new TimerHeap();
  private readonly input: IpInput;
  private readonly reassembler: Reassembler;
  private readonly tcp: TcpLayer;
  private readonly udp: UdpLayer;
  private readonly icmp: IcmpInput;
  private readonly packet: Packet = new Packet();
  private readonly attachments: Map<Link, Attachment> = new Map();
  private lastAttachment: Attachment | null = null;
  private nextLinkId = 1;
  /** Links on which some connection waits for its turn: the first `busyCount`. An array that shrinks gives its room back. */
  private readonly busy: (Attachment | null)[] = [];
  private busyCount = 0;
  private readonly onBusy: (attachment: Attachment) => void;

  constructor(config: StackConfig) {
    const { arena, pool, random, handler } = config;
    const { counters, timers } = this;
    this.options = { ...DEFAULT_STACK_OPTIONS, ...config.options };
    const output = new IpOutput(arena, counters, random.uint32());
    const icmp = new IcmpOutput(arena, counters, output, this.options);
    const { options } = this;
    const context: StackContext = { arena, pool, random, handler, options, counters, timers, output, icmp };
    this.input = new IpInput(arena, counters);
    this.reassembler = new Reassembler(context);
    this.tcp = new TcpLayer(context);
    this.udp = new UdpLayer(context);
    this.icmp = new IcmpInput(context, this.tcp, this.udp);
    this.onBusy = attachment => {
      attachment.listed = true;
      this.busy[this.busyCount++] = attachment;
    };
  }

  /**
   * One inbound IP packet: arena bytes [offset, offset + length), possibly a TCP super-segment of 64 KiB.
   * The bytes may be overwritten once the call returns.
   * @param checksumTrusted the transport checksum is known to be right, or only partial (virtio-net)
   */
  process(link: Link, offset: number, length: number, now: Milliseconds, checksumTrusted: boolean): void {
    if (checksumTrusted) this.processAlike(link, offset, length, 0, 1, length, now);
    else this.processUsually(link, offset, length, now, false);
  }

  /**
   * As `process` with `checksumTrusted`, of up to `count` packets of equal length, each `stride` bytes after the one before.
   * @param common bytes that are known to be the same at the beginning of all of them
   * @returns how many it took, at least one
   */
  processAlike(
    link: Link,
    offset: number,
    length: number,
    stride: number,
    count: number,
    common: number,
    now: Milliseconds,
  ): number {
    const predicted = this.tcp.prediction.take(link, offset, length, stride, count, common, now);
    if (predicted > 0) {
      this.counters.packetsIn += predicted;
      return predicted;
    }
    this.processUsually(link, offset, length, now, true);
    return 1;
  }

  private processUsually(
    link: Link,
    offset: number,
    length: number,
    now: Milliseconds,
    checksumTrusted: boolean,
  ): void {
    const { packet } = this;
    this.counters.packetsIn++;
    packet.attachment = this.attachmentOf(link);
    packet.key.linkId = packet.attachment.id;
    packet.checksumTrusted = checksumTrusted;
    if (!this.input.parse(packet, offset, length)) return;
    if (!packet.isFragment) {
      this.deliver(packet, now);
      return;
    }
    const block = this.reassembler.add(packet, now);
    if (block === -1) return;
    this.deliver(packet, now);
    this.reassembler.release(block);
  }

  /** Sends what connections have to send. Call once after each batch of `process`, and after `poll`. */
  dispatch(now: Milliseconds): void {
    const { busy } = this;
    let kept = 0;
    // The list may grow while it is walked.
    for (let i = 0; i < this.busyCount; i++) {
      const attachment = busy[i] as Attachment;
      busy[i] = null;
      if (!attachment.blocked) this.serve(attachment, now);
      if (attachment.idle) attachment.listed = false;
      else busy[kept++] = attachment;
    }
    this.busyCount = kept;
  }

  /** Fires the timers that are due. Call `dispatch` after it. */
  poll(now: Milliseconds): void {
    this.timers.poll(now);
  }

  /** When `poll` is next wanted; NEVER when nothing waits. It may come out early, never late. */
  pollAt(): Milliseconds {
    return this.timers.next;
  }

  /** The link takes packets again after a `reserve` that returned -1. Call `dispatch` after it. */
  linkWritable(link: Link): void {
    const attachment = this.attachments.get(link);
    if (attachment !== undefined) attachment.blocked = false;
  }

  /** `link.mtu` has become smaller. Call `dispatch` after it. */
  linkMtuReduced(link: Link): void {
    const attachment = this.attachments.get(link);
    if (attachment !== undefined) this.tcp.linkMtuReduced(attachment);
  }

  /** The link's far end is heard again after a silence, in which everything sent was lost. Call `dispatch` after it. */
  linkRestored(link: Link, now: Milliseconds): void {
    const attachment = this.attachments.get(link);
    if (attachment !== undefined) this.tcp.linkRestored(attachment, now);
  }

  /** The link is gone: its connections end with "reset", its flows with `onUdpClosed`. Sends nothing. */
  closeLink(link: Link): void {
    const attachment = this.attachments.get(link);
    if (attachment === undefined) return;
    attachment.closed = true;
    this.tcp.closeLink(attachment);
    this.udp.closeLink(attachment);
    while (attachment.dequeue() !== null);
    this.attachments.delete(link);
    if (this.lastAttachment === attachment) this.lastAttachment = null;
  }

  /**
   * Starts a connection from a random port; the SYN leaves at the next `dispatch`, so attach rings and set
   * `user` right away. Throws CzctlError TOO_MANY_CONNECTIONS.
   */
  connect(link: Link, local: Address, remote: Address, remotePort: number, now: Milliseconds): TcpConnection {
    const connection = this.tcp.connect(this.attachmentOf(link), local, remote, remotePort, now);
    if (connection === null) throw tooMany("connections");
    return connection;
  }

  /** A flow from a random port. Throws CzctlError TOO_MANY_CONNECTIONS. */
  openUdp(link: Link, local: Address, remote: Address, remotePort: number, now: Milliseconds): UdpFlow {
    const flow = this.udp.connect(this.attachmentOf(link), local, remote, remotePort, now);
    if (flow === null) throw tooMany("UDP flows");
    return flow;
  }

  /** A snapshot, in no order, without TIME-WAIT: connections may be closed while it is walked. */
  connections(): readonly TcpConnection[] {
    return this.tcp.connections;
  }

  /** Address pairs that stay taken after their connections. */
  get timeWaitCount(): number {
    return this.tcp.timeWaits.count;
  }

  udpFlows(): readonly UdpFlow[] {
    return this.udp.flows;
  }

  private deliver(packet: Packet, now: Milliseconds): void {
    switch (packet.protocol) {
      case PROTOCOL_TCP:
        return this.tcp.process(packet, now);
      case PROTOCOL_UDP:
        return this.udp.process(packet, now);
      case PROTOCOL_ICMP4:
      case PROTOCOL_ICMP6:
        return this.icmp.process(packet, now);
      case PROTOCOL_NONE:
        return;
      default:
        this.counters.ipUnknownProtocol++;
    }
  }

  /** Turns, round robin, until nobody has anything to send or the link takes no more. */
  private serve(attachment: Attachment, now: Milliseconds): void {
    for (;;) {
      const connection = attachment.dequeue();
      if (connection === null) return;
      const result = connection.takeTurn(now);
      if (result === MORE) attachment.enqueueLast(connection);
      else if (result === BLOCKED) {
        attachment.requeueFirst(connection);
        return;
      }
    }
  }

  private attachmentOf(link: Link): Attachment {
    if (this.lastAttachment?.link === link) return this.lastAttachment;
    let attachment = this.attachments.get(link);
    if (attachment === undefined) {
      attachment = new Attachment(link, this.nextLinkId++, this.onBusy);
      this.attachments.set(link, attachment);
    }
    this.lastAttachment = attachment;
    return attachment;
  }
}

function tooMany(what: string): CzctlError {
  return new CzctlError(`too many ${what}`, {
    code: "TOO_MANY_CONNECTIONS",
    category: "environment",
    hint: "Close some, or look for a program that opens them without end.",
  });
}
