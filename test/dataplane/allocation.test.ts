/**
 * What a packet may cost the garbage collector. A full segment goes the whole way inside: stack, seal, open, stack.
 * Nothing of it makes objects; and the addresses of foreign calls are below 2^31 (`createArena`), or V8 would box them.
 */
import t from "tap";
import { Address, BlockPool, Ring } from "../../src/base/index.js";
import { createCrypto } from "../../src/crypto/index.js";
import { createArena } from "../../src/linux/index.js";
import { type Link, Stack, type StackHandler } from "../../src/netstack/index.js";

const MTU = 1420;
const SLOTS = 64;
const SLOT_BYTES = 2048;
const TURNS = 400;
const WARM_UP_TURNS = 3_000;
/**
 * Measured on Node 20: 0.7 to 1.9 in each of 60 processes, sealed or not. One double per packet that V8 boxes on its way into
 * a call would be 16 more, which it does in some processes only: when what is called was not inlined there.
 */
const BUDGET_BYTES = 8;

const arena = createArena(64 << 20);
const poolBytes = 32 << 20;
const pool = new BlockPool(arena.reserve(poolBytes), poolBytes);
const { suite } = createCrypto(arena);
const key = suite.createAeadKey(new Uint8Array(32).fill(9));

/** Holds packets until the turn delivers them, sealed and opened on the way when asked. */
class Wire implements Link {
  readonly mtu = MTU;
  readonly maxGsoBytes = 0;
  readonly checksum = "redundant";
  readonly congested = true;
  sealed = false;
  private count = 0;
  private readonly lengths = new Int32Array(SLOTS);
  private readonly tickets = new Int32Array(SLOTS);
  private readonly start = arena.reserve(64 + SLOTS * SLOT_BYTES + 64) + 64;

  reserve(): number {
    return this.count === SLOTS ? -1 : this.start + this.count * SLOT_BYTES;
  }

  commit(bytes: number): void {
    this.lengths[this.count++] = bytes;
  }

  private seal(): void {
    for (let i = 0; i < this.count; i++) key.seal(this.start + i * SLOT_BYTES, this.lengths[i] as number, i);
    suite.runSeals();
  }

  /** From packet `first` on, as many as are opened together; returns the first that is not. */
  private open(first: number): number {
    let i = first;
    for (; i < this.count; i++) {
      const ticket = key.open(this.start + i * SLOT_BYTES, this.lengths[i] as number, i);
      if (ticket === -1) break;
      this.tickets[i] = ticket;
    }
    suite.runOpens();
    return i;
  }

  deliver(to: Stack, link: Link, now: number): number {
    const { count, sealed } = this;
    let opened = 0;
    if (sealed) this.seal();
    for (let i = 0; i < count; i++) {
      if (sealed && i === opened) opened = this.open(i);
      const at = sealed ? suite.opened(this.tickets[i] as number) : this.start + i * SLOT_BYTES;
      if (at === -1) throw new Error("does not open");
      to.process(link, at, this.lengths[i] as number, now, true);
    }
    this.count = 0;
    return count;
  }
}

/** Bytes of garbage per packet, both directions counted. */
function garbagePerPacket(sealed: boolean): number {
  const received: Ring[] = [];
  const ring = (): Ring => new Ring(arena, pool, 1 << 20);
  const handler: StackHandler = {
    onTcpSyn(connection) {
      const receive = ring();
      received.push(receive);
      connection.attach(receive, ring());
      connection.accept();
    },
    onUdpFlow() {},
    onEcho: () => "ignore",
  };
  let seed = 1;
  const random = {
    uint32: () => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return seed;
    },
    fill: () => {},
  };
  const client = new Stack({ arena, pool, random, handler });
  const server = new Stack({ arena, pool, random, handler });
  const [up, down] = [new Wire(), new Wire()];
  up.sealed = sealed;
  down.sealed = sealed;
  const send = ring();
  client.connect(up, Address.from("10.0.0.1"), Address.from("10.0.0.2"), 80, 0).attach(ring(), send);
  let now = 0;
  const turn = (): number => {
    now += 0.05;
    for (let room = send.prepare(65_536); room > 0; room = send.prepare(65_536)) send.advance(room);
    client.linkWritable(up);
    client.poll(now);
    client.dispatch(now);
    let packets = up.deliver(server, down, now);
    const [arrived] = received;
    if (arrived !== undefined && arrived.length > 0) arrived.consume(arrived.length);
    server.linkWritable(down);
    server.poll(now);
    server.dispatch(now);
    packets += down.deliver(client, up, now);
    return packets;
  };
  for (let i = 0; i < WARM_UP_TURNS; i++) turn();
  // The smallest of several: a compiler's own work, or a collection in between, says nothing about packets.
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 8; round++) {
    const before = process.memoryUsage().heapUsed;
    let packets = 0;
    for (let i = 0; i < TURNS; i++) packets += turn();
    const bytes = process.memoryUsage().heapUsed - before;
    if (packets < TURNS * 10) throw new Error(`only ${packets} packets in ${TURNS} turns`);
    if (bytes >= 0) least = Math.min(least, bytes / packets);
  }
  return least;
}

t.test("a segment through both stacks makes no garbage", async t => {
  const bytes = garbagePerPacket(false);
  t.ok(bytes <= BUDGET_BYTES, `${bytes.toFixed(1)} bytes per packet`);
});

t.test("sealing and opening it makes none either", async t => {
  const bytes = garbagePerPacket(true);
  t.ok(bytes <= BUDGET_BYTES, `${bytes.toFixed(1)} bytes per packet`);
});
