/**
 * Many connections at once between two stacks on a lossy link, each with a little traffic both ways, every byte
 * compared; and what they cost in memory while they are idle and after they are closed.
 *
 * Memory is what the JavaScript heap, its array buffers and the ring pool hold, after garbage collection, beyond
 * what they held before the first connection. A connection is counted with its two rings, and with what the test
 * has for it: a source, a sink, a user.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Address, NEVER } from "../../../src/base/index.js";
import { Stack, type StackHandler, type TcpConnection } from "../../../src/netstack/index.js";
import { auditStack } from "./books.js";
import { End } from "./pair.js";
import { Prng } from "./prng.js";
import { PERFECT, SimLink } from "./sim-link.js";
import { World } from "./world.js";

const POOL_BYTES = 256 << 20;
const RING_BYTES = 256 << 10;
const LOSS = 0.01;
const DELAY_MS = 25;
/** Connections per millisecond at which they are opened and used: nobody does 10,000 things at the same time. */
const PER_MS = 5;
const ROUNDS = 4;
const MAX_MESSAGE_BYTES = 3000;
/** Time enough for what was lost to be repeated. */
const QUIET_MS = 120_000;

export interface FlowsResult {
  flows: number;
  /** What went wrong, or null. */
  failure: string | null;
  /** Bytes of memory per connection while all are idle: before any traffic, and after it. */
  openedBytes: number;
  usedBytes: number;
  /** What is left of that when all are closed. */
  closedBytes: number;
  /** Payload bytes that were carried and compared. */
  payloadBytes: number;
  lost: number;
}

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function heldBytes(world: World): number {
  for (let i = 0; i < 3; i++) collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external + world.pool.usedBytes;
}

class Crowd implements StackHandler {
  readonly world: World = new World(POOL_BYTES);
  readonly random: Prng;
  readonly stacks: readonly [Stack, Stack];
  readonly links: readonly [SimLink, SimLink];
  /** Client's and server's end of each flow. */
  clients: End[] = [];
  servers: End[] = [];
  /** Which flow, by the client's port. */
  private readonly flows: Int32Array = new Int32Array(65_536).fill(-1);

  constructor(seed: number) {
    const { arena, pool } = this.world;
    this.random = new Prng(seed);
    const { random } = this;
    const conditions = { ...PERFECT, delayMs: DELAY_MS, loss: LOSS };
    const config = { arena, pool, random, handler: this };
    this.stacks = [new Stack(config), new Stack(config)];
    this.links = [new SimLink(this.world, random, conditions), new SimLink(this.world, random, conditions)];
    SimLink.join(this.links[0], this.stacks[0], this.links[1], this.stacks[1]);
    this.world.stacks.push(...this.stacks);
  }

  connect(flow: number): void {
    const local = Address.from("100.126.0.2");
    const remote = Address.from("10.96.3.9");
    const connection = this.stacks[0].connect(this.links[0], local, remote, 80, this.world.now);
    this.flows[connection.localPort] = flow;
    const end = new End(this.world, connection, [2 * flow, 2 * flow + 1], 0, RING_BYTES);
    end.source.open = true;
    this.clients.push(end);
  }

  onTcpSyn(connection: TcpConnection): void {
    const flow = this.flows[connection.remotePort] as number;
    if (this.servers[flow] !== undefined) return connection.refuse();
    const end = new End(this.world, connection, [2 * flow + 1, 2 * flow], 0, RING_BYTES);
    end.source.open = true;
    this.servers[flow] = end;
    connection.accept();
  }

  onUdpFlow(): void {}

  onEcho(): "ignore" {
    return "ignore";
  }

  get ends(): End[] {
    return [...this.clients, ...this.servers];
  }

  /** Calls `act` for one end after the other, spread over time, and lets everything come to rest. */
  each(ends: readonly (End | number)[], act: (end: never) => void): void {
    const { world } = this;
    ends.forEach((end, i) => {
      world.schedule(world.now + i / PER_MS, () => act(end as never));
    });
    world.run(ends.length / PER_MS + QUIET_MS);
  }

  check(): string | null {
    const { ends, world } = this;
    for (const end of ends) {
      const { sink, source } = end;
      if (sink.wrongAt !== -1) return `wrong bytes after ${sink.wrongAt}`;
      if (end.closed !== null && end.closed !== "closed") return `closed with ${end.closed}`;
      if (source.written !== source.total) return `${source.total - source.written} bytes were never written`;
    }
    this.clients.forEach((client, flow) => {
      const server = this.servers[flow] as End;
      if (client.sink.taken !== server.source.total || server.sink.taken !== client.source.total) {
        throw new Error(`flow ${flow} is short of bytes`);
      }
    });
    for (const stack of this.stacks) {
      const wrong = auditStack(stack, world.now);
      if (wrong !== null) return wrong;
    }
    return null;
  }
}

export function runFlows(flows: number, seed: number): FlowsResult {
  const crowd = new Crowd(seed);
  const { world, random } = crowd;
  const base = heldBytes(world);
  const result: FlowsResult = {
    flows,
    failure: null,
    openedBytes: 0,
    usedBytes: 0,
    closedBytes: 0,
    payloadBytes: 0,
    lost: 0,
  };
  const perConnection = (): number => Math.round((heldBytes(world) - base) / (2 * flows));
  const numbers = Array.from({ length: flows }, (_, i) => i);
  crowd.each(numbers, (flow: number) => crowd.connect(flow));
  if (!crowd.ends.every(end => end.connected) || crowd.servers.length !== flows)
    result.failure = "not all connected";
  result.openedBytes = perConnection();
  for (let round = 0; round < ROUNDS; round++) {
    crowd.each(crowd.ends, (end: End) => {
      end.source.total += random.between(1, MAX_MESSAGE_BYTES);
      end.source.pump();
    });
    result.failure ??= crowd.check();
  }
  result.usedBytes = perConnection();
  for (const end of crowd.ends) result.payloadBytes += end.sink.taken;
  crowd.each(crowd.ends, (end: End) => {
    end.source.open = false;
    end.source.pump();
  });
  result.failure ??= crowd.check();
  if (!crowd.ends.every(end => end.closed === "closed")) result.failure ??= "not all closed";
  if (crowd.stacks.some(stack => stack.connections().length > 0)) result.failure ??= "connections are left";
  if (crowd.stacks.some(stack => stack.pollAt() !== NEVER)) result.failure ??= "a timer is left";
  if (world.pool.usedBytes > 0) result.failure ??= `${world.pool.usedBytes} bytes of ring memory are left`;
  crowd.clients = [];
  crowd.servers = [];
  result.closedBytes = perConnection();
  result.lost = crowd.links[0].packetsLost + crowd.links[1].packetsLost;
  return result;
}
