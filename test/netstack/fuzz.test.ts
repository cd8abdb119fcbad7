/**
 * Mutated segments inside a live connection, for a bounded time: nothing throws, nothing hangs, and what was
 * received in order still is what was sent. `FUZZ_MS` lengthens it.
 */
import t from "tap";
import { pattern, RawPeer } from "./raw-peer.js";
import { Prng } from "./sim/prng.js";

const BUDGET_MS = Number(process.env.FUZZ_MS ?? 2000);
const FLAGS = ["", ".", "P.", "S", "S.", "F.", "R", "R.", "SF.", "FR", "FP."];

/** One connection, `count` packets, most of them almost right. */
function attack(seed: number, count: number): RawPeer {
  const random = new Prng(seed);
  const family = random.chance(0.5) ? 6 : 4;
  const peer = new RawPeer({ family, ringBytes: 20_000, maxGsoBytes: random.chance(0.5) ? 65_535 : 0 });
  peer.onFlow = flow => (random.chance(0.5) ? flow.refuse("port") : undefined);
  peer.establish({ sack: random.chance(0.7), timestamps: random.chance(0.5), scale: random.between(0, 14) });
  // Mutation makes SYNs of other connections: some are refused, some accepted without rings, some ignored.
  peer.onSyn = connection => {
    connection.user = null;
    const decision = random.between(0, 3);
    if (decision === 0) connection.refuse();
    else if (decision === 1) connection.unreachable("prohibited");
    else if (decision === 2) connection.accept();
  };
  peer.write(pattern(10_000));
  peer.dispatch();
  for (let i = 0; i < count; i++) {
    const near = () => (random.chance(0.8) ? random.between(-100, 12_000) : random.uint32() | 0);
    const sack = Array.from({ length: random.between(0, 3) }, (): [number, number] => [near(), near()]);
    const packet = peer.segment({
      flags: FLAGS[random.between(0, FLAGS.length - 1)] as string,
      seq: near(),
      ack: near(),
      window: random.between(0, 65_535),
      data: pattern(random.chance(0.5) ? 0 : random.between(0, 3000)),
      ...(random.chance(0.5) ? { timestamps: [near(), near()] as [number, number] } : {}),
      ...(random.chance(0.4) && sack.length > 0 ? { sack } : {}),
    });
    const flips = random.chance(0.5) ? random.between(1, 4) : 0;
    for (let flip = 0; flip < flips; flip++) {
      const at = random.between(0, Math.min(packet.length - 1, 100));
      packet[at] = random.uint32();
    }
    peer.inject(
      random.chance(0.1) ? packet.subarray(0, random.between(0, packet.length)) : packet,
      random.chance(0.9),
    );
    if (random.chance(0.3)) peer.step(random.between(0, 500));
    else peer.dispatch();
    if (random.chance(0.2)) peer.read();
    if (random.chance(0.2) && peer.sendRing.space > 3000 && !peer.sendRing.aborted) peer.write(pattern(1000));
    if (random.chance(0.05)) peer.blocked = !peer.blocked;
    if (!peer.blocked) peer.stack.linkWritable(peer);
    peer.packets = [];
    peer.gsoSizes = [];
    if (peer.closed !== null && random.chance(0.1)) break;
  }
  return peer;
}

t.test("mutated segments do no harm", async t => {
  const end = Date.now() + BUDGET_MS;
  let packets = 0;
  for (let seed = 1; Date.now() < end || seed < 20; seed++) {
    try {
      const peer = attack(seed, 300);
      packets += peer.stack.counters.packetsIn;
      peer.blocked = false;
      peer.stack.closeLink(peer);
      peer.step(3_600_000);
      if (peer.stack.connections().length > 0) t.fail(`seed ${seed}: a connection is left`);
      if (peer.stack.pollAt() !== Number.POSITIVE_INFINITY) t.fail(`seed ${seed}: a timer is left`);
      if (peer.pool.usedBytes !== 0) t.fail(`seed ${seed}: ${peer.pool.usedBytes} bytes are left`);
    } catch (error) {
      t.fail(`seed ${seed}: ${(error as Error).stack}`);
    }
  }
  t.ok(packets > 1000, `${packets} packets`);
});
