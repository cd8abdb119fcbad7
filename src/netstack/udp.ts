/** One UDP flow: the datagrams between two address-port pairs on one link (RFC 768). */
import { type Milliseconds, NEVER } from "../base/index.js";
import { PROTOCOL_UDP, UDP_HEADER_BYTES } from "../wire/index.js";
import type { Attachment } from "./attachment.js";
import { Flow } from "./flow.js";
import type { FlowKey } from "./flow-key.js";
import type { UdpReceiver, Unreachable } from "./link.js";
import type { Timed } from "./timer-heap.js";
import type { UdpLayer } from "./udp-layer.js";

export class UdpFlow extends Flow implements Timed {
  lastActiveAt: Milliseconds;
  /** Gets the peer's datagrams. */
  receiver: UdpReceiver | null = null;
  /** Without a datagram for this long the flow is forgotten. Its taker may set it. */
  idleMs: Milliseconds;
  /** Payload bytes from and to the peer; 0.1 as in `TcpConnection`. */
  bytesIn = 0.1;
  bytesOut = 0.1;
  /** Gone: `send` does nothing any more. */
  closed = false;

  // ---- below: for this folder ----

  wakeAt: Milliseconds = NEVER;
  heapIndex = -1;
  private readonly layer: UdpLayer;
  /** Payload length of the last datagram that came, for the quote in an ICMP error. */
  private lastLength = 0;

  constructor(layer: UdpLayer, attachment: Attachment, key: FlowKey, now: Milliseconds) {
    super(attachment, key, now);
    this.bytesIn = 0;
    this.bytesOut = 0;
    this.layer = layer;
    this.lastActiveAt = now;
    this.idleMs = layer.context.options.udpIdleMs;
  }

  /**
   * Sends arena bytes [offset, offset + length) as one datagram, in fragments if the link's MTU wants it.
   * False when it was dropped: too long, the link takes none now, or the flow is closed.
   */
  send(offset: number, length: number, now: Milliseconds): boolean {
    if (this.closed) return false;
    const { output } = this.layer.context;
    const second = (UDP_HEADER_BYTES + length) << 16;
    const { attachment, key } = this;
    if (!output.sendDatagram(attachment, key, PROTOCOL_UDP, key.ports, second, 6, offset, length))
      return false;
    this.bytesOut += length;
    this.lastActiveAt = now;
    return true;
  }

  /** Tells the peer by ICMP why its datagram cannot arrive, and ends the flow: `onUdpClosed` is called. */
  refuse(why: Unreachable): void {
    if (this.closed) return;
    const { context } = this.layer;
    const { attachment, key } = this;
    const bytes = UDP_HEADER_BYTES + this.lastLength;
    const ports = (key.remotePort << 16) | key.localPort;
    context.counters.udpRefused++;
    const now = this.lastActiveAt;
    context.icmp.sendUnreachable(attachment, key, why, PROTOCOL_UDP, bytes, ports, bytes << 16, now);
    this.expire();
  }

  /** Forgets the flow; `onUdpClosed` is not called. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.receiver = null;
    this.layer.forget(this);
  }

  // ---- for the layer ----

  /** The first datagram, about which the handler is asked before it is delivered. */
  expectLength(length: number): void {
    this.lastLength = length;
  }

  deliver(offset: number, length: number, now: Milliseconds): void {
    this.lastActiveAt = now;
    this.lastLength = length;
    this.bytesIn += length;
    this.receiver?.onUdpData(offset, length);
  }

  /** As `close`, but the receiver is told. */
  expire(): void {
    const { receiver } = this;
    this.close();
    receiver?.onUdpClosed();
  }

  onWake(now: Milliseconds): void {
    const { context } = this.layer;
    const idleAt = this.lastActiveAt + this.idleMs;
    if (idleAt <= now) this.expire();
    else context.timers.schedule(this, idleAt);
  }
}
