/** What the stack keeps for each link: a number for keys, and the connections that want to send on it. */
import type { Link } from "./link.js";
import { BusyFlows } from "./tcp/busy-flows.js";
import type { TcpConnection } from "./tcp/connection.js";

/** So many in a row, and one of the others has its turn: a link that is often blocked carries little in each dispatch. */
const MOST_BRIEF_TURNS = 64;

/** Connections in the order of their turns. */
class TurnQueue {
  private head: TcpConnection | null = null;
  private tail: TcpConnection | null = null;

  get isEmpty(): boolean {
    return this.head === null;
  }

  add(connection: TcpConnection): void {
    connection.nextQueued = null;
    if (this.tail === null) this.head = connection;
    else this.tail.nextQueued = connection;
    this.tail = connection;
  }

  addFirst(connection: TcpConnection): void {
    connection.nextQueued = this.head;
    this.head = connection;
    if (this.tail === null) this.tail = connection;
  }

  take(): TcpConnection | null {
    const connection = this.head;
    if (connection === null) return null;
    this.head = connection.nextQueued;
    if (this.head === null) this.tail = null;
    connection.nextQueued = null;
    return connection;
  }
}

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
  readonly busyFlows: BusyFlows = new BusyFlows();
  private readonly onBusy: (attachment: Attachment) => void;
  /** Those with little to send are first: it takes no time, and they need not wait until each transfer had its quantum. */
  private readonly brief: TurnQueue = new TurnQueue();
  private readonly bulk: TurnQueue = new TurnQueue();
  /** In a row. */
  private briefTurns = 0;

  /** @param onBusy called when a connection queues while the attachment is not `listed` */
  constructor(link: Link, id: number, onBusy: (attachment: Attachment) => void) {
    this.link = link;
    this.id = id;
    this.onBusy = onBusy;
  }

  get idle(): boolean {
    return this.brief.isEmpty && this.bulk.isEmpty;
  }

  /** Queues a connection for the next `dispatch`, once. */
  enqueue(connection: TcpConnection): void {
    if (this.mayQueue(connection)) this.queueOf(connection).add(connection);
  }

  /** Of one that has had its turn, and wants another. */
  enqueueLast(connection: TcpConnection): void {
    if (this.mayQueue(connection)) this.bulk.add(connection);
  }

  /** Puts back the connection that was just taken out and found the link blocked: it keeps its turn. */
  requeueFirst(connection: TcpConnection): void {
    if (!this.mayQueue(connection)) return;
    const queue = this.queueOf(connection);
    queue.addFirst(connection);
    if (queue === this.bulk) this.briefTurns = MOST_BRIEF_TURNS;
  }

  dequeue(): TcpConnection | null {
    const connection = this.takeBrief() ?? this.takeBulk();
    if (connection !== null) connection.queued = false;
    return connection;
  }

  private takeBrief(): TcpConnection | null {
    if (this.briefTurns >= MOST_BRIEF_TURNS && !this.bulk.isEmpty) return null;
    for (let c = this.brief.take(); c !== null; c = this.brief.take()) {
      if (c.isBrief) {
        this.briefTurns++;
        return c;
      }
      // It has been given more since.
      this.bulk.add(c);
    }
    return null;
  }

  private takeBulk(): TcpConnection | null {
    this.briefTurns = 0;
    return this.bulk.take();
  }

  private queueOf(connection: TcpConnection): TurnQueue {
    return connection.isBrief ? this.brief : this.bulk;
  }

  /** Marks it as queued, unless it is or nobody may. */
  private mayQueue(connection: TcpConnection): boolean {
    if (connection.queued || this.closed) return false;
    connection.queued = true;
    if (!this.listed) this.onBusy(this);
    return true;
  }

  /** `reserve` on the link; remembers a refusal. */
  reserve(bytes: number): number {
    const at = this.link.reserve(bytes);
    if (at === -1) this.blocked = true;
    return at;
  }
}
