/**
 * Consume on the laptop: an application's connection on the TUN side joined with one inside the tunnel. The
 * application's SYN is answered only once the far side was, so `connect()` tells the truth.
 */
import type { LinkedList, Listed, Milliseconds, Ring } from "../base/index.js";
import type {
  TcpCloseReason,
  TcpConnection,
  TcpState,
  TcpUser,
  UdpFlow,
  UdpReceiver,
  Unreachable,
} from "../netstack/index.js";
import { type Context, newRing } from "./context.js";
import type { LaptopRoute } from "./route-table.js";

/** What `trace-connections` shows: a SYN that waits for the far side's answer is a connection being made. */
export function flowState(state: TcpState): string {
  return state === "LISTEN" ? "CONNECTING" : state;
}

/** Two TCP connections and the two rings between them; one object, as there are thousands. */
export class TcpSplice implements TcpUser, Listed<TcpSplice> {
  listed: LinkedList<TcpSplice> | null = null;
  listNext: TcpSplice | null = null;
  listPrevious: TcpSplice | null = null;
  readonly route: LaptopRoute;
  readonly near: TcpConnection;
  readonly far: TcpConnection;
  private readonly up: Ring;
  private readonly down: Ring;
  private readonly onClosed: (splice: TcpSplice) => void;
  private open = 2;

  /** @param near a pending connection of the TUN side @param far one that was just asked to connect */
  constructor(
    context: Context,
    route: LaptopRoute,
    near: TcpConnection,
    far: TcpConnection,
    onClosed: (splice: TcpSplice) => void,
  ) {
    this.route = route;
    this.near = near;
    this.far = far;
    this.onClosed = onClosed;
    this.up = newRing(context);
    this.down = newRing(context);
    near.attach(this.up, this.down);
    far.attach(this.down, this.up);
    near.user = this;
    far.user = this;
  }

  /** Resets both. */
  abort(): void {
    this.near.abort();
    this.far.abort();
  }

  onTcpConnected(connection: TcpConnection): void {
    if (connection === this.far) this.near.accept();
  }

  onTcpClosed(why: TcpCloseReason, connection: TcpConnection): void {
    if (connection === this.far) this.answer(why);
    // The application gave up before there was an answer: nobody waits for the far side any more.
    else if (this.far.state === "SYN-SENT") this.far.abort();
    if (--this.open > 0) return;
    this.up.dispose();
    this.down.dispose();
    this.onClosed(this);
  }

  /** The far side failed while the application still waits: say which way. */
  private answer(why: TcpCloseReason): void {
    if (this.near.state !== "LISTEN") return;
    if (why === "refused" || why === "reset" || why === "closed") this.near.refuse();
    else this.near.unreachable(why === "prohibited" ? "prohibited" : "host");
  }
}

/** One half of two joined UDP flows: what this flow receives, the other sends. */
export class UdpRelay implements UdpReceiver {
  readonly flow: UdpFlow;
  readonly other: UdpFlow;
  private readonly context: Context;
  private readonly onClosed: () => void;

  constructor(context: Context, flow: UdpFlow, other: UdpFlow, onClosed: () => void) {
    this.context = context;
    this.flow = flow;
    this.other = other;
    this.onClosed = onClosed;
  }

  onUdpData(offset: number, length: number): void {
    this.other.send(offset, length, this.now);
  }

  onUdpUnreachable(why: Unreachable): void {
    this.other.refuse(why);
  }

  onUdpClosed(): void {
    this.other.close();
    this.onClosed();
  }

  private get now(): Milliseconds {
    return this.context.loop.now;
  }
}
