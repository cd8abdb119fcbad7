/**
 * A laptop and an agent in one process, joined by memory instead of TUN and WireGuard, with real kernel sockets
 * behind the agent:
 *
 * ```
 *  application stack ⇄ [laptop: TUN-side stack ⇄ splice ⇄ tunnel-side stack] ⇄ [agent stack ⇄ Dial] ⇄ kernel
 * ```
 */
import { setImmediate } from "node:timers/promises";
import {
  Address,
  Arena,
  BlockPool,
  ENDPOINT_BYTES,
  type Milliseconds,
  NEVER,
  type Random,
  Ring,
} from "../../src/base/index.js";
import { AgentRole } from "../../src/dataplane/agent.js";
import type { Context } from "../../src/dataplane/context.js";
import { DialLimit } from "../../src/dataplane/dial-limit.js";
import { LaptopRole, RefuseInbound } from "../../src/dataplane/laptop.js";
import { Loop, type Machine, StackMachine } from "../../src/dataplane/loop.js";
import type { PeerLink } from "../../src/dataplane/peer-link.js";
import { StreamQueue } from "../../src/dataplane/stream-queue.js";
import { Poller } from "../../src/linux/index.js";
import {
  type Link,
  Stack,
  type StackHandler,
  type TcpCloseReason,
  type TcpConnection,
  type TcpUser,
} from "../../src/netstack/index.js";

export const APPLICATION: Address = Address.from("198.18.0.1");
export const VIRTUAL: Address = Address.from("198.18.0.7");
export const DNS: Address = Address.from("198.18.0.2");
const LAPTOP_INNER = Address.from("100.126.0.2");
const AGENT_INNER = Address.from("100.126.0.1");
const MAX_PACKET_BYTES = 65_535;
/** Much less than the kernel's two minutes, much more than a loopback address takes. */
export const DIAL_LIMIT_MS = 200;

/** One direction of a cable: what is committed here arrives at `to` in the same turn or the next. */
class MemoryLink implements Link, Machine {
  readonly mtu = 1420;
  readonly maxGsoBytes = 0;
  readonly checksum = "full";
  readonly congested: boolean;
  /** Where the other end of the cable is plugged in. */
  other!: MemoryLink;
  stack!: Stack;
  private readonly arena: Arena;
  private readonly buffer: number;
  private readonly inbox: number;
  private queue: Uint8Array[] = [];

  constructor(arena: Arena, congested: boolean) {
    this.arena = arena;
    this.congested = congested;
    this.buffer = arena.reserve(MAX_PACKET_BYTES);
    this.inbox = arena.reserve(MAX_PACKET_BYTES);
  }

  reserve(_bytes: number): number {
    return this.buffer;
  }

  commit(bytes: number): void {
    this.other.queue.push(this.arena.u8.slice(this.buffer, this.buffer + bytes));
  }

  poll(now: Milliseconds): void {
    const packets = this.queue;
    this.queue = [];
    for (const packet of packets) {
      this.arena.u8.set(packet, this.inbox);
      this.stack.process(this, this.inbox, packet.length, now, false);
    }
  }

  pollAt(): Milliseconds {
    return this.queue.length > 0 ? 0 : NEVER;
  }
}

function cable(arena: Arena, congested: boolean): [MemoryLink, MemoryLink] {
  const ends: [MemoryLink, MemoryLink] = [new MemoryLink(arena, congested), new MemoryLink(arena, congested)];
  [ends[0].other, ends[1].other] = [ends[1], ends[0]];
  return ends;
}

/** Refuses everything: the application's end opens connections and takes none. */
const nobody: StackHandler = new RefuseInbound([]);

/** One connection of the application, as a program would see it. */
export class Application implements TcpUser {
  readonly connection: TcpConnection;
  readonly received: Ring;
  readonly sent: Ring;
  connected = false;
  closed: TcpCloseReason | null = null;
  private readonly world: World;

  constructor(world: World, address: Address, port: number, source: Address) {
    this.world = world;
    const { context, application, applicationLink } = world;
    this.received = new Ring(context.arena, context.pool, 256 * 1024);
    this.sent = new Ring(context.arena, context.pool, 256 * 1024);
    this.connection = application.connect(applicationLink, source, address, port, context.loop.now);
    this.connection.user = this;
    this.connection.attach(this.received, this.sent);
  }

  onTcpConnected(): void {
    this.connected = true;
  }

  onTcpClosed(why: TcpCloseReason): void {
    this.closed = why;
  }

  write(text: string): void {
    const { arena, scratchDatagram } = this.world.context;
    const bytes = Buffer.from(text);
    arena.u8.set(bytes, scratchDatagram);
    if (!this.sent.write(scratchDatagram, bytes.length)) throw new Error("the send ring is full");
  }

  /** Takes what has arrived. */
  read(): string {
    const { arena } = this.world.context;
    let text = "";
    while (this.received.length > 0) {
      const run = this.received.contiguous(this.received.head, this.received.length);
      const at = this.received.offsetOf(this.received.head);
      text += Buffer.from(arena.buffer, at, run).toString("latin1");
      this.received.consume(run);
    }
    return text;
  }
}

export class World {
  readonly context: Context;
  readonly application: Stack;
  readonly applicationLink: MemoryLink;
  readonly laptop: LaptopRole;
  readonly agent: AgentRole;
  readonly tunnelEnd: PeerLink;
  readonly told: unknown[] = [];
  private readonly stacks: Stack[] = [];

  constructor(
    options: { dnsPorts?: { udp: number; tcp: number }; control?: { port: number; path: string } } = {},
  ) {
    const arena = new Arena(64 << 20);
    const loop = new Loop(new Poller(arena));
    const scratchEndpoint = arena.reserve(ENDPOINT_BYTES);
    const scratchDatagram = arena.reserve(65_536);
    const [outside, tun] = cable(arena, false);
    const [near, far] = cable(arena, true);
    const poolBytes = 32 << 20;
    const pool = new BlockPool(arena.reserve(poolBytes), poolBytes);
    const streams = new StreamQueue();
    const dials = new DialLimit(DIAL_LIMIT_MS);
    this.context = {
      arena,
      pool,
      loop,
      streams,
      dials,
      scratchEndpoint,
      scratchDatagram,
      tell: message => this.told.push(message),
    };
    this.laptop = new LaptopRole(this.context, {
      dnsAddresses: [DNS],
      dnsPorts: options.dnsPorts ?? { udp: 0, tcp: 0 },
      innerAddresses: [LAPTOP_INNER],
    });
    this.agent = new AgentRole(this.context, {
      innerAddresses: [AGENT_INNER],
      control: options.control ?? null,
    });
    this.tunnelEnd = far as unknown as PeerLink;
    this.laptop.agent = near as unknown as PeerLink;
    this.agent.setDevice(this.tunnelEnd, { name: "laptop", publicKey: "KEY", grant: "all" });
    loop.addMachine(dials);
    loop.addMachine(streams);
    this.application = this.plug(outside, nobody);
    this.applicationLink = outside;
    this.plug(tun, this.laptop);
    this.laptop.tunnel = this.plug(near, new RefuseInbound([LAPTOP_INNER]));
    this.plug(far, this.agent);
  }

  /** Lets the service be reached at VIRTUAL: each port of the laptop's goes to a real one on loopback. */
  expose(ports: { port: number; to: readonly number[] }[], protocol: "tcp" | "udp" = "tcp"): void {
    this.laptop.setRoutes([
      {
        virtual: VIRTUAL.toString(),
        target: "10.96.0.7",
        name: "web.shop",
        ports: ports.map(({ port }) => ({ protocol, port })),
      },
    ]);
    this.agent.setTargets(
      ports.map(({ port, to }) => ({
        address: "10.96.0.7",
        protocol,
        port,
        name: "web.shop",
        direct: false,
        endpoints: to.map(each => ({ address: "127.0.0.1", port: each })),
      })),
      { all: ports.map((_, index) => index) },
    );
  }

  connect(address: Address, port: number, source: Address = APPLICATION): Application {
    return new Application(this, address, port, source);
  }

  /** Runs this world and Node's own loop until the condition holds. */
  async until(what: string, condition: () => boolean): Promise<void> {
    for (const end = performance.now() + 10_000; !condition(); ) {
      if (performance.now() > end) throw new Error(`not within 10 s: ${what}`);
      this.context.loop.turn(1);
      await setImmediate();
    }
  }

  /** Connections that any of the stacks still knows. */
  get open(): number {
    return this.stacks.flatMap(stack => stack.connections()).length;
  }

  private plug(link: MemoryLink, handler: StackHandler): Stack {
    const { arena, pool, loop } = this.context;
    let state = 1 + this.stacks.length;
    const random: Random = {
      uint32: () => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return state;
      },
      fill: bytes => {
        for (let i = 0; i < bytes.length; i++) bytes[i] = random.uint32() >>> 24;
      },
    };
    const stack = new Stack({ arena, pool, random, handler, options: { udpIdleMs: 60_000 } });
    link.stack = stack;
    loop.addMachine(link);
    loop.addMachine(new StackMachine(stack));
    this.stacks.push(stack);
    return stack;
  }
}
