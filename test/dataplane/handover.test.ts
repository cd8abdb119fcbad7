/**
 * A laptop between replicas of one agent: real sockets on loopback, and in between a relay that does what a Service
 * does: it chooses a replica for each new source port, and keeps to it.
 */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { setImmediate } from "node:timers/promises";
import t, { type Test } from "tap";
import {
  Address,
  Arena,
  BlockPool,
  ENDPOINT_BYTES,
  Prefix,
  parseEndpoint,
  type Random,
} from "../../src/base/index.js";
import { createCrypto } from "../../src/crypto/index.js";
import { type Context, newRing } from "../../src/dataplane/context.js";
import { DialLimit } from "../../src/dataplane/dial-limit.js";
import { Handover } from "../../src/dataplane/handover.js";
import { Loop } from "../../src/dataplane/loop.js";
import { Path, type PathEvents } from "../../src/dataplane/path.js";
import type { PeerLink } from "../../src/dataplane/peer-link.js";
import { StreamQueue } from "../../src/dataplane/stream-queue.js";
import { Poller } from "../../src/linux/index.js";
import {
  Stack,
  type StackHandler,
  type TcpCloseReason,
  type TcpConnection,
} from "../../src/netstack/index.js";
import { SeededRandom } from "../wireguard/world.js";

const LAPTOP = Address.from("100.126.0.2");
const AGENT = Address.from("100.126.0.1");
const SERVICE = Address.from("10.96.0.7");
const MTU = 1420;

/** Chooses for each source port, once; to whom: `target`. */
class Service {
  readonly socket: Socket = createSocket("udp4");
  target = 0;
  /** As conntrack has it: source port → port of the replica. */
  readonly flows = new Map<number, number>();
  readonly #back = new Map<number, Socket>();

  async start(t: Test): Promise<number> {
    this.socket.on("message", (datagram, from) => {
      const port = this.flows.get(from.port) ?? this.target;
      this.flows.set(from.port, port);
      this.#wayTo(from.port).send(datagram, port, "127.0.0.1");
    });
    this.socket.bind(0, "127.0.0.1");
    await once(this.socket, "listening");
    t.teardown(() => {
      for (const socket of [this.socket, ...this.#back.values()]) socket.close();
    });
    return (this.socket.address() as AddressInfo).port;
  }

  #wayTo(source: number): Socket {
    const known = this.#back.get(source);
    if (known !== undefined) return known;
    const socket = createSocket("udp4");
    socket.on("message", datagram => this.socket.send(datagram, source, "127.0.0.1"));
    this.#back.set(source, socket);
    return socket;
  }
}

class World {
  readonly context: Context;
  readonly moves: Path[] = [];
  readonly handover: Handover;
  readonly agents: { path: Path; connections: TcpConnection[] }[] = [];
  readonly #laptopKey: Uint8Array;
  readonly #agentKey: Uint8Array;

  constructor(servicePort: number, attemptMs: number | undefined) {
    const arena = new Arena(128 << 20);
    const scratchEndpoint = arena.reserve(ENDPOINT_BYTES);
    const scratchDatagram = arena.reserve(65_536);
    const poolBytes = 64 << 20;
    const pool = new BlockPool(arena.reserve(poolBytes), poolBytes);
    const loop = new Loop(new Poller(arena));
    const streams = new StreamQueue();
    const dials = new DialLimit();
    const tell = (): void => {};
    this.context = { arena, pool, loop, streams, dials, scratchEndpoint, scratchDatagram, tell };
    const random = new SeededRandom(5);
    const key = (): Uint8Array => {
      const bytes = new Uint8Array(32);
      random.fill(bytes);
      return bytes;
    };
    [this.#laptopKey, this.#agentKey] = [key(), key()];
    const events: PathEvents = {
      onHandshake: (path, _peer, restored) => this.handover.onHandshake(path, restored),
      onHandshakeTimeout: () => {},
      onPeerEndpoint: () => {},
    };
    const refuse: StackHandler = {
      onTcpSyn: c => c.refuse(),
      onUdpFlow: f => f.refuse("port"),
      onEcho: () => "host",
    };
    const paths = [0, 1, 2].map(() => this.#path(this.#laptopKey, refuse, events, AGENT));
    const moved = (): void => void this.moves.push(this.handover.current);
    this.handover = new Handover(this.context, paths as [Path, Path, Path], moved, attemptMs);
    for (let i = 0; i < 2; i++) this.addAgent();
    const { path } = this.agents[0] as { path: Path };
    const peer = this.handover.current.device.addPeer(
      {
        publicKey: path.device.publicKey,
        endpoint: parseEndpoint(`127.0.0.1:${servicePort}`) as never,
        allowedIps: [Prefix.from("0.0.0.0/0")],
        eager: true,
      },
      loop.now,
    );
    this.handover.current.link(peer);
  }

  /** A replica: all have one key. */
  addAgent(): void {
    const connections: TcpConnection[] = [];
    const handler: StackHandler = {
      onTcpSyn: connection => {
        connections.push(connection);
        connection.attach(newRing(this.context), newRing(this.context));
        connection.accept();
      },
      onUdpFlow: flow => flow.refuse("port"),
      onEcho: () => "reply",
    };
    const quiet: PathEvents = { onHandshake() {}, onHandshakeTimeout() {}, onPeerEndpoint() {} };
    const path = this.#path(this.#agentKey, handler, quiet);
    const { publicKey } = this.handover.current.device;
    const peer = path.device.addPeer({ publicKey, allowedIps: [Prefix.from(`${LAPTOP}/32`)] }, 0);
    path.link(peer);
    this.agents.push({ path, connections });
  }

  #path(
    privateKey: Uint8Array,
    handler: StackHandler,
    events: PathEvents,
    remote: Address | null = null,
  ): Path {
    const { arena, pool } = this.context;
    const random: Random = new SeededRandom(privateKey[0] as number);
    const path = new Path(this.context, {
      port: 0,
      address: Address.from("127.0.0.1"),
      gso: true,
      gro: true,
      crypto: createCrypto(arena).suite,
      random,
      privateKey,
      mtu: MTU,
      // Only the laptop measures its path: a replica that is cut off must not be heard.
      inner: remote === null ? [] : [LAPTOP],
      remote,
      stack: new Stack({ arena, pool, random, handler }),
    });
    path.start(events);
    return path;
  }

  port(agent: number): number {
    return this.agents[agent]?.path.socket.port as number;
  }

  connect(): { connection: TcpConnection; state: { open: boolean; closed: TcpCloseReason | null } } {
    const { stack, device } = this.handover.current;
    const [peer] = device.peers();
    const link = peer?.context as PeerLink;
    const connection = stack.connect(link, LAPTOP, SERVICE, 80, this.context.loop.now);
    const state = { open: false, closed: null as TcpCloseReason | null };
    connection.user = {
      onTcpConnected: () => {
        state.open = true;
      },
      onTcpClosed: why => {
        state.closed = why;
      },
    };
    connection.attach(newRing(this.context), newRing(this.context));
    return { connection, state };
  }

  write(connection: TcpConnection, text: string): void {
    const { arena, scratchDatagram } = this.context;
    arena.u8.set(Buffer.from(text), scratchDatagram);
    connection.send?.write(scratchDatagram, text.length);
  }

  async until(what: string, condition: () => boolean, limitMs = 8_000): Promise<number> {
    const startedAt = performance.now();
    while (!condition()) {
      if (performance.now() > startedAt + limitMs) throw new Error(`not within ${limitMs} ms: ${what}`);
      this.context.loop.turn(1);
      await setImmediate();
    }
    return performance.now() - startedAt;
  }
}

async function setUp(t: Test, attemptMs?: number): Promise<{ world: World; service: Service }> {
  const service = new Service();
  const world = new World(await service.start(t), attemptMs);
  service.target = world.port(0);
  return { world, service };
}

t.test("drained: new flows at the other replica, the open one goes on where it is until it ends", async t => {
  const { world, service } = await setUp(t);
  const [a, b] = world.agents as [World["agents"][0], World["agents"][0]];
  const old = world.connect();
  await world.until("connected to A", () => old.state.open);
  a.path.device.drain();
  service.target = world.port(1);
  world.handover.move(world.context.loop.now);
  const before = world.handover.current;
  const tookMs = await world.until("moved", () => world.moves.length === 1);
  t.comment(`moved after ${tookMs.toFixed(0)} ms`);
  const fresh = world.connect();
  await world.until("connected to B", () => fresh.state.open);
  t.equal(b.connections.length, 1);
  world.write(old.connection, "still here");
  await world.until("the old flow's bytes at A", () => a.connections[0]?.receive?.length === 10);
  t.equal(old.state.closed, null);
  old.connection.send?.finish();
  a.connections[0]?.send?.finish();
  await world.until("the path that was left is spare", () => [...before.device.peers()].length === 0);
  t.equal(fresh.state.closed, null);
  t.equal(new Set(service.flows.values()).size, 2);
});

t.test(
  "draining, but there is no other replica: the same one serves on, and another is found later",
  async t => {
    const { world, service } = await setUp(t);
    const [a, b] = world.agents as [World["agents"][0], World["agents"][0]];
    const old = world.connect();
    await world.until("connected to A", () => old.state.open);
    a.path.device.drain();
    world.handover.move(world.context.loop.now);
    await world.until("refused", () => (a.path.device.counters["dropped.draining"] ?? 0) > 0);
    const another = world.connect();
    await world.until("connected to A all the same", () => another.state.open);
    t.equal(world.moves.length, 0);
    // As when the endpoint has gone and conntrack's entries of it with it.
    for (const [source, port] of service.flows) {
      if (source !== world.handover.current.socket.port && port === world.port(0))
        service.flows.delete(source);
    }
    service.target = world.port(1);
    await world.until("moved", () => world.moves.length === 1);
    const fresh = world.connect();
    await world.until("connected to B", () => fresh.state.open);
    t.equal(b.connections.length, 1);
  },
);

t.test(
  "an attempt that the Service pinned to the draining replica is followed by one from another port",
  async t => {
    const { world, service } = await setUp(t, 300);
    const [a] = world.agents as [World["agents"][0]];
    const old = world.connect();
    await world.until("connected to A", () => old.state.open);
    a.path.device.drain();
    await world.until("moved", () => {
      // As the agent says it again each second.
      world.handover.move(world.context.loop.now);
      // The rules change after the first attempt; what they chose stands.
      if ((a.path.device.counters["dropped.draining"] ?? 0) > 0) service.target = world.port(1);
      return world.moves.length === 1;
    });
    t.same([...service.flows.values()], [world.port(0), world.port(0), world.port(1)]);
    t.equal(old.state.closed, null);
  },
);

t.test("killed: another replica within seconds, and open flows learn that they are over", async t => {
  const { world, service } = await setUp(t);
  const idle = world.connect();
  await world.until("connected to A", () => idle.state.open);
  const [dead, living] = [world.port(0), world.port(1)];
  service.target = living;
  // Nobody reads A's socket any more, and what is sent there is lost.
  for (const [source, port] of service.flows) if (port === dead) service.flows.set(source, living);
  const fresh = world.connect();
  const tookMs = await world.until("connected to B", () => fresh.state.open);
  t.comment(`connected after ${tookMs.toFixed(0)} ms, the idle flow reset`);
  t.ok(tookMs < 3_000, `${tookMs} ms`);
  await world.until("reset", () => idle.state.closed === "reset");
  t.equal(world.moves.length, 0, "the same path has another replica at its end");
});

t.test("moved again and again: three paths are enough, and the oldest is cut off", async t => {
  const { world, service } = await setUp(t);
  world.addAgent();
  world.addAgent();
  const flows = [world.connect()];
  await world.until("connected", () => flows[0]?.state.open === true);
  for (let i = 1; i < 4; i++) {
    world.agents[i - 1]?.path.device.drain();
    for (const [source, port] of service.flows) if (port !== world.port(i - 1)) service.flows.delete(source);
    service.target = world.port(i);
    world.handover.move(world.context.loop.now);
    await world.until(`move ${i}`, () => world.moves.length === i);
    const flow = world.connect();
    flows.push(flow);
    await world.until(`connected to ${i}`, () => flow.state.open);
  }
  t.same(
    flows.map(({ state }) => state.closed),
    ["reset", null, null, null],
  );
});
