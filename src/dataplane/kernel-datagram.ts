/** A netstack UDP flow joined with a connected kernel UDP socket; idle flows are closed by the stack. */
import { type Endpoint, type Milliseconds, writeEndpoint } from "../base/index.js";
import { EAGAIN, ECONNREFUSED, EPOLLIN, sockets } from "../linux/index.js";
import type { UdpFlow, UdpReceiver, Unreachable } from "../netstack/index.js";
import type { Context } from "./context.js";
import type { Source } from "./loop.js";

const MAX_DATAGRAM_BYTES = 65_535;
/** Datagrams read per turn before the rest of the loop gets its share. */
const READ_BUDGET = 64;

export class KernelDatagram implements Source, UdpReceiver {
  private readonly context: Context;
  private readonly flow: UdpFlow;
  private readonly onClosed: () => void;
  private fd: number;

  private constructor(context: Context, flow: UdpFlow, fd: number, onClosed: () => void) {
    this.context = context;
    this.flow = flow;
    this.fd = fd;
    this.onClosed = onClosed;
    context.loop.add(fd, EPOLLIN, this);
  }

  /** Takes the flow to the first of `targets` that there is a route to, or refuses it. */
  static open(context: Context, flow: UdpFlow, targets: readonly Endpoint[], onClosed: () => void): void {
    const { arena, scratchEndpoint } = context;
    for (const target of targets) {
      writeEndpoint(arena.u8, scratchEndpoint, target);
      const fd = sockets.udpConnect(arena, scratchEndpoint);
      if (fd < 0) continue;
      flow.receiver = new KernelDatagram(context, flow, fd, onClosed);
      return;
    }
    flow.refuse(targets.length === 0 ? "port" : "network");
    onClosed();
  }

  onReady(_events: number, now: Milliseconds): void {
    const { arena, scratchDatagram } = this.context;
    for (let i = 0; i < READ_BUDGET && this.fd !== -1; i++) {
      const length = sockets.read(arena, this.fd, scratchDatagram, MAX_DATAGRAM_BYTES);
      if (length === -EAGAIN) return;
      if (length >= 0) this.flow.send(scratchDatagram, length, now);
      else this.failed(-length);
    }
  }

  onUdpData(offset: number, length: number): void {
    const result = sockets.write(this.context.arena, this.fd, offset, length);
    if (result < 0 && result !== -EAGAIN) this.failed(-result);
  }

  onUdpUnreachable(_why: Unreachable): void {
    // The device no longer listens; its next datagram, if any, makes a new flow.
    this.flow.close();
    this.onUdpClosed();
  }

  onUdpClosed(): void {
    if (this.fd === -1) return;
    this.context.loop.forget(this.fd);
    sockets.close(this.fd);
    this.fd = -1;
    this.onClosed();
  }

  private failed(error: number): void {
    this.flow.refuse(error === ECONNREFUSED ? "port" : "host");
  }
}
