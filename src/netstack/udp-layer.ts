/** All UDP flows of a stack. */
import type { Address, Milliseconds } from "../base/index.js";
import {
  finishSum,
  PROTOCOL_UDP,
  sumBytes,
  sumPseudoHeader,
  UDP_HEADER_BYTES,
  udpChecksum,
  udpDestinationPort,
  udpLength,
  udpSourcePort,
} from "../wire/index.js";
import type { Attachment } from "./attachment.js";
import type { StackContext } from "./context.js";
import { choosePort, FlowKey, FlowTable } from "./flow-key.js";
import type { Unreachable } from "./link.js";
import type { Packet } from "./packet.js";
import { UdpFlow } from "./udp.js";

export class UdpLayer {
  readonly context: StackContext;
  private readonly table: FlowTable<UdpFlow>;

  constructor(context: StackContext) {
    this.context = context;
    this.table = new FlowTable(context.random.uint32());
  }

  get flows(): UdpFlow[] {
    return this.table.entries();
  }

  process(packet: Packet, now: Milliseconds): void {
    const { arena, counters } = this.context;
    const { view } = arena;
    const at = packet.offset;
    const length = packet.length < UDP_HEADER_BYTES ? 0 : udpLength(view, at);
    if (length < UDP_HEADER_BYTES || length > packet.length || udpDestinationPort(view, at) === 0) {
      counters.udpBad++;
      return;
    }
    if (!packet.checksumTrusted && !this.checksumOk(packet, length)) {
      counters.udpBadChecksum++;
      return;
    }
    packet.key.setPorts(udpDestinationPort(view, at), udpSourcePort(view, at));
    const flow =
      this.table.find(packet.key) ?? this.open(packet, at + UDP_HEADER_BYTES, length - UDP_HEADER_BYTES, now);
    flow?.deliver(at + UDP_HEADER_BYTES, length - UDP_HEADER_BYTES, now);
  }

  /** A flow of our own from a random port; null when there are too many. */
  connect(
    attachment: Attachment,
    local: Address,
    remote: Address,
    remotePort: number,
    now: Milliseconds,
  ): UdpFlow | null {
    const key = FlowKey.towards(attachment.id, local, remote, remotePort);
    if (this.isFull(attachment)) return null;
    if (!choosePort(key, this.context.random.uint32(), () => this.table.find(key) === null)) return null;
    const flow = new UdpFlow(this, attachment, key, now);
    this.insert(flow, now);
    return flow;
  }

  onUnreachable(key: FlowKey, why: Unreachable): void {
    const flow = this.table.find(key);
    if (flow === null) this.context.counters.icmpStray++;
    else flow.receiver?.onUdpUnreachable(why);
  }

  closeLink(attachment: Attachment): void {
    for (const flow of this.table.entries()) if (flow.attachment === attachment) flow.expire();
  }

  forget(flow: UdpFlow): void {
    // One that was refused at its first datagram never came in.
    if (this.table.find(flow.key) !== flow) return;
    this.table.remove(flow);
    flow.attachment.udpFlows--;
    this.context.timers.cancel(flow);
  }

  /** The handler decides about a flow that begins; null when it does not take it. */
  private open(packet: Packet, offset: number, length: number, now: Milliseconds): UdpFlow | null {
    const { counters, handler } = this.context;
    if (this.isFull(packet.attachment)) {
      counters.udpFlowLimit++;
      return null;
    }
    const flow = new UdpFlow(this, packet.attachment, packet.key.copy(), now);
    flow.expectLength(length);
    handler.onUdpFlow(flow, offset, length);
    if (flow.closed || flow.receiver === null) {
      flow.closed = true;
      return null;
    }
    this.insert(flow, now);
    return flow;
  }

  private isFull(attachment: Attachment): boolean {
    const { maxUdpFlows, linkShare } = this.context.options;
    return this.table.size >= maxUdpFlows || attachment.udpFlows >= linkShare * maxUdpFlows;
  }

  private insert(flow: UdpFlow, now: Milliseconds): void {
    this.table.insert(flow);
    flow.attachment.udpFlows++;
    this.context.timers.schedule(flow, now + flow.idleMs);
  }

  /** RFC 768: zero means "not computed", which RFC 8200 §8.1 forbids for IPv6. */
  private checksumOk(packet: Packet, length: number): boolean {
    const { arena } = this.context;
    if (udpChecksum(arena.view, packet.offset) === 0) return packet.key.family === 4;
    const pseudo = sumPseudoHeader(packet.key.addressSum(), PROTOCOL_UDP, length);
    return finishSum(pseudo + sumBytes(arena, packet.offset, length)) === 0;
  }
}
