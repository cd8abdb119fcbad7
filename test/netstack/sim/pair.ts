/** Two stacks on a simulated link, and a transfer between them in both directions. */
import { Address, Ring } from "../../../src/base/index.js";
import {
  type Link,
  Stack,
  type StackHandler,
  type StackOptions,
  type TcpCloseReason,
  type TcpConnection,
  type UdpFlow,
} from "../../../src/netstack/index.js";
import { Prng } from "./prng.js";
import { type LinkConditions, SimLink } from "./sim-link.js";
import { Sink, Source } from "./streams.js";
import { World } from "./world.js";

export const CLIENT_V4: Address = Address.from("100.126.0.2");
export const SERVER_V4: Address = Address.from("10.96.3.9");
export const CLIENT_V6: Address = Address.from("fd00:1::2");
export const SERVER_V6: Address = Address.from("fd00:2::9");
export const DEFAULT_RING_BYTES: number = 256 << 10;
const POOL_BYTES = 64 << 20;

/** One end of a connection under test. */
export class End {
  readonly connection: TcpConnection;
  readonly source: Source;
  readonly sink: Sink;
  readonly sendRing: Ring;
  readonly receiveRing: Ring;
  connected = false;
  closed: TcpCloseReason | null = null;

  constructor(
    world: World,
    connection: TcpConnection,
    seeds: [number, number],
    bytes: number,
    ringBytes: number,
  ) {
    this.connection = connection;
    this.sendRing = new Ring(world.arena, world.pool, ringBytes);
    this.receiveRing = new Ring(world.arena, world.pool, ringBytes);
    this.source = new Source(world.arena, this.sendRing, seeds[0], bytes);
    this.sink = new Sink(world.arena, this.receiveRing, seeds[1]);
    connection.user = this;
    connection.attach(this.receiveRing, this.sendRing);
  }

  onTcpConnected(): void {
    this.connected = true;
    this.source.pump();
  }

  onTcpClosed(why: TcpCloseReason): void {
    this.closed = why;
  }
}

export interface PairOptions {
  seed?: number;
  family?: 4 | 6;
  /** Client's link, and the server's if it differs. */
  link: LinkConditions;
  back?: LinkConditions;
  /** Bytes from client to server, and from server to client. */
  up?: number;
  down?: number;
  ringBytes?: number;
  /** Where the clock starts. */
  startMs?: number;
  stack?: Partial<StackOptions>;
}

export class Pair implements StackHandler {
  readonly world: World;
  readonly random: Prng;
  readonly client: Stack;
  readonly server: Stack;
  readonly clientLink: SimLink;
  readonly serverLink: SimLink;
  clientEnd!: End;
  serverEnd: End | null = null;
  /** What the server does with a SYN; the default accepts it and starts the transfer. */
  onSyn: ((connection: TcpConnection) => void) | null = null;
  onFlow: ((flow: UdpFlow) => void) | null = null;
  private readonly options: PairOptions;

  constructor(options: PairOptions) {
    this.options = options;
    const world = new World(POOL_BYTES, options.startMs);
    this.world = world;
    this.random = new Prng(options.seed ?? 1);
    const shared = {
      arena: world.arena,
      pool: world.pool,
      random: this.random,
      options: options.stack ?? {},
    };
    this.client = new Stack({ ...shared, handler: this });
    this.server = new Stack({ ...shared, handler: this });
    world.stacks.push(this.client, this.server);
    this.clientLink = new SimLink(world, this.random, options.link);
    this.serverLink = new SimLink(world, this.random, options.back ?? options.link);
    SimLink.join(this.clientLink, this.client, this.serverLink, this.server);
  }

  get local(): Address {
    return this.options.family === 6 ? CLIENT_V6 : CLIENT_V4;
  }

  get remote(): Address {
    return this.options.family === 6 ? SERVER_V6 : SERVER_V4;
  }

  connect(): End {
    const { client, clientLink, world, options } = this;
    const connection = client.connect(clientLink, this.local, this.remote, 80, world.now);
    const bytes = options.up ?? 0;
    this.clientEnd = new End(world, connection, [1, 2], bytes, options.ringBytes ?? DEFAULT_RING_BYTES);
    return this.clientEnd;
  }

  get done(): boolean {
    return this.clientEnd.sink.finished && this.serverEnd?.sink.finished === true;
  }

  get closed(): boolean {
    return this.clientEnd.closed !== null && (this.serverEnd === null || this.serverEnd.closed !== null);
  }

  /** Makes the server's end of a connection whose SYN has come. */
  takeServerEnd(connection: TcpConnection): End {
    const { world, options } = this;
    const bytes = options.down ?? 0;
    this.serverEnd = new End(world, connection, [2, 1], bytes, options.ringBytes ?? DEFAULT_RING_BYTES);
    return this.serverEnd;
  }

  onTcpSyn(connection: TcpConnection): void {
    if (this.onSyn !== null) {
      this.onSyn(connection);
      return;
    }
    // A SYN that was delayed for longer than its connection lasted.
    if (this.serverEnd !== null) {
      connection.refuse();
      return;
    }
    this.takeServerEnd(connection);
    connection.accept();
  }

  onUdpFlow(flow: UdpFlow): void {
    this.onFlow?.(flow);
  }

  onEcho(_link: Link, _source: Address, _destination: Address): "reply" {
    return "reply";
  }
}
