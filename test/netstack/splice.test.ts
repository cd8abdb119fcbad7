/**
 * The product's own shape: an application's stack, a TUN-like link, a proxy stack whose two connections share
 * their rings, a wide-area link, and a server's stack. What one end does must reach the other as it is.
 *
 * ```
 *   application ══ TUN-like ══ proxy (tun side) ⟷ rings ⟷ proxy (tunnel side) ══ lossy WAN ══ server
 * ```
 */
import t from "tap";
import { Address, Ring } from "../../src/base/index.js";
import {
  Stack,
  type StackHandler,
  type TcpCloseReason,
  type TcpConnection,
  type Unreachable,
} from "../../src/netstack/index.js";
import { End } from "./sim/pair.js";
import { Prng } from "./sim/prng.js";
import { type LinkConditions, PERFECT, SimLink } from "./sim/sim-link.js";
import { World } from "./sim/world.js";

const TUN: LinkConditions = {
  ...PERFECT,
  mtu: 1500,
  delayMs: 0.02,
  congested: false,
  maxGsoBytes: 65_535,
  tunLike: true,
};
const WAN: LinkConditions = { ...PERFECT, mtu: 1420, delayMs: 15, bytesPerMs: 5000, queueBytes: 150_000 };
const RING_BYTES = 128 << 10;

class Chain {
  readonly world: World = new World();
  readonly application: Stack;
  readonly tunSide: Stack;
  readonly tunnelSide: Stack;
  readonly server: Stack;
  readonly applicationLink: SimLink;
  readonly serverLink: SimLink;
  client!: End;
  served: End | null = null;
  /** What the server does with a SYN. */
  onServerSyn: (connection: TcpConnection) => void;
  private readonly down: number;

  constructor(seed: number, wan: Partial<LinkConditions>, down: number) {
    const { world } = this;
    const random = new Prng(seed);
    this.down = down;
    const stack = (onTcpSyn: (connection: TcpConnection) => void) => {
      const handler: StackHandler = { onTcpSyn, onUdpFlow: () => {}, onEcho: () => "ignore" };
      const made = new Stack({ arena: world.arena, pool: world.pool, random, handler });
      world.stacks.push(made);
      return made;
    };
    this.onServerSyn = connection => {
      this.served = new End(world, connection, [2, 1], this.down, RING_BYTES);
      connection.accept();
    };
    this.application = stack(() => {});
    const tunLink = new SimLink(world, random, TUN);
    const tunnelLink = new SimLink(world, random, { ...WAN, ...wan });
    this.applicationLink = new SimLink(world, random, TUN);
    this.serverLink = new SimLink(world, random, { ...WAN, ...wan });
    this.tunSide = stack(connection => this.splice(connection, tunnelLink));
    this.tunnelSide = stack(() => {});
    this.server = stack(connection => this.onServerSyn(connection));
    SimLink.join(this.applicationLink, this.application, tunLink, this.tunSide);
    SimLink.join(tunnelLink, this.tunnelSide, this.serverLink, this.server);
  }

  /** The tunnel side is dialled first; the application is answered with what comes of it. */
  private splice(near: TcpConnection, tunnelLink: SimLink): void {
    const { world } = this;
    const far = this.tunnelSide.connect(
      tunnelLink,
      Address.from("100.126.0.2"),
      near.local,
      near.localPort,
      world.now,
    );
    const up = new Ring(world.arena, world.pool, RING_BYTES);
    const down = new Ring(world.arena, world.pool, RING_BYTES);
    far.attach(down, up);
    far.user = {
      onTcpConnected: () => {
        near.attach(up, down);
        near.accept();
      },
      onTcpClosed: why => answer(near, why),
    };
  }

  connect(up: number): End {
    const { world } = this;
    const connection = this.application.connect(
      this.applicationLink,
      Address.from("198.18.0.1"),
      Address.from("198.18.0.7"),
      80,
      world.now,
    );
    this.client = new End(world, connection, [1, 2], up, RING_BYTES);
    return this.client;
  }

  get done(): boolean {
    return this.client.sink.finished && this.served?.sink.finished === true;
  }
}

function answer(near: TcpConnection, why: TcpCloseReason): void {
  const meaning: Partial<Record<TcpCloseReason, Unreachable>> = {
    unreachable: "host",
    prohibited: "prohibited",
  };
  const error = meaning[why];
  if (why === "refused") near.refuse();
  else if (error !== undefined) near.unreachable(error);
  else if (why !== "closed") near.abort();
}

t.test("bytes cross the splice both ways, byte-exact, over a lossy WAN", async t => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = new Prng(seed);
    const chain = new Chain(
      seed,
      { loss: random.chance(0.5) ? random.real() * 0.03 : 0, reorder: 0.02, reorderMs: 5 },
      300_000,
    );
    chain.connect(200_000);
    chain.world.run(600_000, () => chain.done);
    const good =
      chain.done &&
      chain.client.sink.taken === 300_000 &&
      chain.served?.sink.taken === 200_000 &&
      chain.client.sink.wrongAt === -1 &&
      chain.served.sink.wrongAt === -1;
    if (!good) t.fail(`seed ${seed}: ${chain.client.sink.taken} down, ${chain.served?.sink.taken} up`);
    chain.world.run(600_000);
    const left = chain.world.stacks.reduce((sum, stack) => sum + stack.connections().length, 0);
    if (left + chain.world.pool.usedBytes > 0) t.fail(`seed ${seed}: something is left`);
  }
});

t.test("connect tells the truth: refused, prohibited, a slow server", async t => {
  const refused = new Chain(1, {}, 0);
  refused.onServerSyn = connection => connection.refuse();
  refused.connect(0);
  refused.world.run(10_000);
  t.equal(refused.client.closed, "refused");
  const prohibited = new Chain(1, {}, 0);
  prohibited.onServerSyn = connection => connection.unreachable("prohibited");
  prohibited.connect(0);
  prohibited.world.run(10_000);
  t.equal(prohibited.client.closed, "prohibited");
  const slow = new Chain(1, {}, 1000);
  const accept = slow.onServerSyn;
  slow.onServerSyn = connection => slow.world.schedule(slow.world.now + 5000, () => accept(connection));
  slow.connect(0);
  slow.world.run(4900);
  t.notOk(slow.client.connected);
  slow.world.run(3000);
  t.ok(slow.client.connected && slow.client.sink.finished);
});

t.test("half-close crosses: the client has finished, the server still sends", async t => {
  const chain = new Chain(1, {}, 2_000_000);
  chain.connect(10);
  chain.world.run(1000, () => chain.served?.sink.finished === true);
  t.equal(chain.client.connection.state, "FIN-WAIT-2");
  chain.world.run(60_000, () => chain.done);
  t.equal(chain.client.sink.taken, 2_000_000);
});

t.test("reset crosses, in both directions", async t => {
  const fromServer = new Chain(1, {}, 1_000_000);
  fromServer.connect(1_000_000);
  fromServer.world.run(100);
  fromServer.served?.connection.abort();
  fromServer.world.run(1000);
  t.equal(fromServer.client.closed, "reset");
  const fromClient = new Chain(1, {}, 1_000_000);
  fromClient.connect(1_000_000);
  fromClient.world.run(100);
  fromClient.client.connection.abort();
  fromClient.world.run(1000);
  t.equal(fromClient.served?.closed, "reset");
  for (const { world } of [fromServer, fromClient]) {
    t.equal(world.pool.usedBytes, 0);
    t.equal(
      world.stacks.reduce((sum, stack) => sum + stack.connections().length, 0),
      0,
    );
  }
});

t.test("back-pressure crosses: a reader that stops holds the writer, and only for so long", async t => {
  const chain = new Chain(1, {}, 0);
  const client = chain.connect(20_000_000);
  chain.world.run(60, () => chain.served !== null);
  const served = chain.served as End;
  served.sink.paused = true;
  chain.world.run(20_000);
  const stopped = client.source.written;
  t.ok(stopped < 12_000_000, `${stopped} bytes are under way`);
  chain.world.run(20_000);
  t.equal(client.source.written, stopped, "nothing more is taken");
  served.sink.resume();
  chain.world.run(60_000, () => served.sink.finished);
  t.equal(served.sink.taken, 20_000_000);
  t.equal(served.sink.wrongAt, -1);
});

t.test("connections on one link share it fairly", async t => {
  const chain = new Chain(1, { queueBytes: 60_000 }, 0);
  const ends: End[] = [];
  const served: End[] = [];
  chain.onServerSyn = connection => {
    served.push(new End(chain.world, connection, [2, 1], 0, RING_BYTES));
    connection.accept();
  };
  for (let i = 0; i < 4; i++) ends.push(chain.connect(100_000_000));
  chain.world.run(8000);
  const taken = served.map(end => end.sink.taken);
  t.ok(Math.min(...taken) * 5 > Math.max(...taken), `${taken}`);
  t.ok(taken.reduce((a, b) => a + b) > 5000 * 8000 * 0.7, "and use it");
});
