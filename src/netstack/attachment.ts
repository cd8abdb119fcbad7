/** What the stack keeps for each link: a number for keys, and the connections that want to send on it. */
import type { Link } from "./link.js";
import type { TcpConnection } from "./tcp/connection.js";

export class Attachment {
  readonly link: Link;
  readonly id: number;
  /** `reserve` returned -1 and `linkWritable` has not been called since. */
  blocked = false;
  /** The link is gone: nobody queues any more, whatever it still hears of its end. */
  closed = false;
  /** In the stack's list of links with something to send. */
  listed = false;
  /** What it holds of the stack's tables. */
  tcpConnections = 0;
  pendingSyns = 0;
  halfOpen = 0;
  udpFlows = 0;
  private readonly onBusy: (attachment: Attachment) => void;
  private head: TcpConnection | null = null;
  private tail: TcpConnection | null = null;

  /** @param onBusy called when a connection queues while the attachment is not `listed` */
  constructor(link: Link, id: number, onBusy: (attachment: Attachment) => void) {
    this.link = link;
    this.id = id;
    this.onBusy = onBusy;
  }

  get idle(): boolean {
    return this.head === null;
  }

  /** Queues a connection for the next `dispatch`, once. */
  enqueue(connection: TcpConnection): void {
    if (connection.queued || this.closed) return;
    connection.queued = true;
    connection.nextQueued = null;
    if (this.tail === null) this.head = connection;
    else this.tail.nextQueued = connection;
    this.tail = connection;
    if (!this.listed) this.onBusy(this);
  }

  dequeue(): TcpConnection | null {
    const connection = this.head;
    if (connection === null) return null;
    this.head = connection.nextQueued;
    if (this.head === null) this.tail = null;
    connection.nextQueued = null;
    connection.queued = false;
    return connection;
  }

  /** Puts back the connection that was just taken out and found the link blocked: it keeps its turn. */
  requeueFirst(connection: TcpConnection): void {
    if (connection.queued) return;
    connection.queued = true;
    connection.nextQueued = this.head;
    this.head = connection;
    if (this.tail === null) this.tail = connection;
  }

  /** `reserve` on the link; remembers a refusal. */
  reserve(bytes: number): number {
    const at = this.link.reserve(bytes);
    if (at === -1) this.blocked = true;
    return at;
  }
}
