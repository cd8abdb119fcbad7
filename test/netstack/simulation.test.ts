/**
 * Hundreds of whole transfers between two stacks over seeded links, every byte compared. A failure names its
 * seed: `SEED=n node dist/test/netstack/simulation.test.js` runs that one alone.
 */
import t from "tap";
import { Pair, type PairOptions } from "./sim/pair.js";
import { Prng } from "./sim/prng.js";
import { type LinkConditions, PERFECT } from "./sim/sim-link.js";

const TRANSFERS = 300;
/** Virtual time that the worst of these links may take. */
const LIMIT_MS = 30 * 60_000;

/** A link and a transfer out of a seed: from perfect to awful. */
function scenario(seed: number): PairOptions {
  const random = new Prng(seed);
  const harsh = random.chance(0.3);
  const tunLike = random.chance(0.2);
  const delayMs = tunLike ? 0.05 : random.between(0, 80) + random.real();
  const link: LinkConditions = {
    ...PERFECT,
    mtu: random.between(0, 3) === 0 ? random.between(1280, 9000) : 1420,
    delayMs,
    bytesPerMs: random.chance(0.5) ? random.between(200, 20_000) : Number.POSITIVE_INFINITY,
    queueBytes: random.between(20_000, 500_000),
    loss: random.chance(0.6) ? random.real() * (harsh ? 0.15 : 0.02) : 0,
    duplicate: random.chance(0.3) ? random.real() * 0.1 : 0,
    reorder: random.chance(0.4) ? random.real() * 0.2 : 0,
    reorderMs: random.real() * (delayMs + 5),
    corrupt: random.chance(0.2) && !tunLike ? random.real() * 0.02 : 0,
    congested: !tunLike,
    maxGsoBytes: tunLike || random.chance(0.3) ? 65_535 : 0,
    tunLike,
  };
  return {
    seed,
    family: random.chance(0.5) ? 6 : 4,
    link,
    up: random.between(0, harsh ? 100_000 : 400_000),
    down: random.between(0, harsh ? 100_000 : 400_000),
    ringBytes: random.chance(0.3) ? random.between(4096, 60_000) : 256 << 10,
    stack: { congestion: random.chance(0.3) ? "newreno" : "cubic" },
  };
}

/** What went wrong with this seed, or null. */
function runSeed(seed: number): string | null {
  const options = scenario(seed);
  const pair = new Pair(options);
  const end = pair.connect();
  pair.world.run(LIMIT_MS, () => pair.done);
  const server = pair.serverEnd;
  if (server === null) return "never connected";
  if (!pair.done) {
    return `stuck: ${server.sink.taken} of ${options.up} up, ${end.sink.taken} of ${options.down} down, ${
      end.connection.state
    } ${server.connection.state} closed ${end.closed} ${server.closed}`;
  }
  if (end.sink.wrongAt !== -1 || server.sink.wrongAt !== -1) return "wrong bytes";
  if (server.sink.taken !== options.up || end.sink.taken !== options.down) return "wrong length";
  pair.world.run(LIMIT_MS);
  if (end.closed !== "closed") return `client closed with ${end.closed}`;
  if (server.closed !== "closed") return `server closed with ${server.closed}`;
  if (pair.client.connections().length + pair.server.connections().length !== 0)
    return "connections are left";
  if (pair.world.pool.usedBytes !== 0) return `${pair.world.pool.usedBytes} bytes of ring memory are left`;
  if (pair.client.pollAt() !== Number.POSITIVE_INFINITY) return "a timer is left";
  return null;
}

t.test("seeded transfers arrive whole and leave nothing behind", async t => {
  const only = process.env.SEED;
  const seeds = only === undefined ? Array.from({ length: TRANSFERS }, (_, i) => i + 1) : [Number(only)];
  for (const seed of seeds) {
    let failure: string | null;
    try {
      failure = runSeed(seed);
    } catch (error) {
      failure = String((error as Error).stack);
    }
    if (failure !== null) t.fail(`seed ${seed}: ${failure}`);
  }
  t.pass(`${seeds.length} transfers`);
});
