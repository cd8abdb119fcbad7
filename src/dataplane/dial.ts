/**
 * Joins an inbound netstack connection to a kernel socket: dials the candidates one after another while the
 * SYN waits, and tells the truth to whoever sent it: refused by all is RST, an unreachable network is ICMP. One that
 * refuses may be a replica that has just died, and one that does not answer in good time (dial-limit.ts) a cluster
 * address that leads nowhere: the next may do.
 */
import { type Endpoint, type LinkedList, type Milliseconds, NEVER, writeEndpoint } from "../base/index.js";
import {
  ECONNREFUSED,
  ENETUNREACH,
  EPOLLERR,
  EPOLLHUP,
  EPOLLOUT,
  ETIMEDOUT,
  sockets,
} from "../linux/index.js";
import type { TcpCloseReason, TcpConnection, TcpUser } from "../netstack/index.js";
import { type Context, newRing } from "./context.js";
import type { Limited } from "./dial-limit.js";
import { KernelStream, STREAM_EVENTS } from "./kernel-stream.js";
import type { Source } from "./loop.js";

/** Replicas that have just died, one after another; beyond that the Service is to blame. */
const MAX_ATTEMPTS = 4;

/** Where a dial goes: a TCP endpoint, or the path of a Unix stream socket. */
export type DialTarget = Endpoint | { readonly path: string };

export interface DialOptions {
  /** Tried in order until one connects, a few at most. */
  readonly targets: readonly DialTarget[];
  /** Bytes sent to the socket before the connection's own. */
  readonly preamble?: string;
  /** The first target did not answer, and another one did. */
  readonly onFirstSilent?: (now: Milliseconds) => void;
  /** The connection is over (or never came about). */
  readonly onClosed?: () => void;
}

export class Dial implements Source, TcpUser, Limited {
  readonly connection: TcpConnection;
  limitAt: Milliseconds = NEVER;
  listed: LinkedList<Limited> | null = null;
  listNext: Limited | null = null;
  listPrevious: Limited | null = null;
  private readonly context: Context;
  private readonly options: DialOptions;
  private attempt = 0;
  private fd = -1;
  private stream: KernelStream | null = null;
  private lastError = 0;
  private firstSilent = false;
  private connectionClosed = false;
  private settled = false;

  constructor(context: Context, connection: TcpConnection, options: DialOptions) {
    this.context = context;
    this.connection = connection;
    this.options = options;
    connection.user = this;
    this.next();
  }

  /** Ends both halves with a reset. */
  abort(): void {
    this.connection.abort();
  }

  onReady(events: number, now: Milliseconds): void {
    if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) return;
    const error = events & (EPOLLERR | EPOLLHUP) ? sockets.takeError(this.fd) : 0;
    if (error === 0) this.connected(events, now);
    else {
      this.drop();
      this.failed(error);
      this.next();
    }
  }

  onLimit(_now: Milliseconds): void {
    if (this.attempt === 1) this.firstSilent = true;
    this.drop();
    this.failed(ETIMEDOUT);
    this.next();
  }

  onTcpConnected(): void {}

  /** The netstack side is gone; the rings have told the stream, if there is one. */
  onTcpClosed(_why: TcpCloseReason): void {
    this.connectionClosed = true;
    if (this.stream === null && this.fd !== -1) this.drop();
    this.settle();
  }

  /** A refusal says more than silence. */
  private failed(error: number): void {
    if (this.lastError !== ECONNREFUSED) this.lastError = error;
  }

  private next(): void {
    const { targets } = this.options;
    const most = Math.min(targets.length, MAX_ATTEMPTS);
    while (this.attempt < most) {
      const result = open(this.context, targets[this.attempt++] as DialTarget);
      const watched = result < 0 ? result : this.context.loop.add(result, STREAM_EVENTS, this);
      if (watched === 0) {
        this.fd = result;
        if (this.attempt < most) this.context.dials.watch(this, this.context.loop.now);
        return;
      }
      if (result >= 0) sockets.close(result);
      this.failed(-watched);
    }
    this.giveUp();
  }

  /** @param events what the edge said: the stream will not be told again that the peer has finished already */
  private connected(events: number, now: Milliseconds): void {
    const { context, connection } = this;
    context.dials.release(this);
    if (this.firstSilent) this.options.onFirstSilent?.(now);
    const fromDevice = newRing(context);
    const toDevice = newRing(context);
    this.stream = new KernelStream(context, this.fd, toDevice, fromDevice);
    context.loop.replace(this.fd, this.stream);
    this.stream.onReady(events, now);
    this.stream.onClosed = () => this.settle();
    connection.attach(fromDevice, toDevice);
    connection.accept();
    if (this.options.preamble !== undefined) this.stream.prepend(this.options.preamble);
  }

  private giveUp(): void {
    // A Service without endpoints refuses, as kube-proxy has it.
    const refused = this.options.targets.length === 0 || this.lastError === ECONNREFUSED;
    if (refused) this.connection.refuse();
    else this.connection.unreachable(this.lastError === ENETUNREACH ? "network" : "host");
    this.onTcpClosed("closed");
  }

  private drop(): void {
    this.context.dials.release(this);
    this.context.loop.forget(this.fd);
    sockets.close(this.fd);
    this.fd = -1;
  }

  private settle(): void {
    if (this.settled || !this.connectionClosed || this.stream?.closed === false) return;
    this.settled = true;
    this.stream?.incoming.dispose();
    this.stream?.outgoing.dispose();
    this.options.onClosed?.();
  }
}

/** A connecting descriptor, or −errno. */
function open(context: Context, target: DialTarget): number {
  if ("path" in target) return sockets.unixConnect(target.path);
  const { arena, scratchEndpoint } = context;
  writeEndpoint(arena.u8, scratchEndpoint, target);
  return sockets.tcpConnect(arena, scratchEndpoint);
}
