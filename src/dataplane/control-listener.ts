/**
 * Laptop: the daemon's way to the agent's control API. Each connection to a private Unix socket becomes a
 * connection inside the tunnel, so no other user of the laptop can speak to the agent as this device.
 */
import type { Endpoint } from "../base/index.js";
import { sockets } from "../linux/index.js";
import type { TcpCloseReason, TcpConnection, TcpUser } from "../netstack/index.js";
import { type Context, newRing } from "./context.js";
import { KernelStream, STREAM_EVENTS } from "./kernel-stream.js";
import type { LaptopRole } from "./laptop.js";
import type { Acceptor } from "./listener.js";

export class ControlListener implements Acceptor {
  private readonly context: Context;
  private readonly role: LaptopRole;
  private readonly remote: Endpoint;

  constructor(context: Context, role: LaptopRole, remote: Endpoint) {
    this.context = context;
    this.role = role;
    this.remote = remote;
  }

  accept(fd: number): void {
    const connection = this.role.connect(this.remote.address, this.remote.port);
    if (connection === null) sockets.close(fd);
    else new ControlStream(this.context, fd, connection);
  }
}

/** One Unix connection joined with one inside the tunnel. */
class ControlStream implements TcpUser {
  private readonly stream: KernelStream;
  private open = 2;

  constructor(context: Context, fd: number, connection: TcpConnection) {
    const up = newRing(context);
    const down = newRing(context);
    connection.attach(down, up);
    connection.user = this;
    this.stream = new KernelStream(context, fd, up, down);
    this.stream.onClosed = () => this.closed();
    if (context.loop.add(fd, STREAM_EVENTS, this.stream) < 0) connection.abort();
  }

  onTcpConnected(): void {}

  /** After an orderly end the stream finishes by itself, when the daemon has read what is left. */
  onTcpClosed(why: TcpCloseReason): void {
    if (why !== "closed" && !this.stream.closed) this.stream.incoming.abort();
    this.closed();
  }

  private closed(): void {
    if (--this.open > 0) return;
    this.stream.incoming.dispose();
    this.stream.outgoing.dispose();
  }
}
