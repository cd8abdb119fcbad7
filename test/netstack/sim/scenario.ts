/**
 * A path and a transfer out of a seed: from perfect to awful. Plain values, so that a scenario can be printed,
 * made simpler, and run again from what was printed.
 */
import type { StackOptions } from "../../../src/netstack/index.js";
import { Prng } from "./prng.js";
import type { Habits } from "./scripted-peer.js";
import { type LinkConditions, PERFECT } from "./sim-link.js";

export interface Scenario {
  seed: number;
  /** What the connection's other end is: null for a stack of our own. */
  peer: Habits | null;
  family: 4 | 6;
  link: LinkConditions;
  /** The way back, where it is not like the way there. */
  back: LinkConditions | null;
  up: number;
  down: number;
  ringBytes: number;
  congestion: StackOptions["congestion"];
  /** Bytes until the client's sequence numbers wrap; null for wherever they start. */
  wrapAfter: number | null;
  /** The path's MTU after a while: both links get it, or a router on the way, which says so. */
  mtuChange: { afterMs: number; mtu: number; at: "links" | "router" } | null;
  /** The client stops reading for a while. */
  pause: { afterMs: number; forMs: number } | null;
  /** The client gives up after a while. */
  abortAfterMs: number | null;
}

/** Bytes per millisecond that stand for no limit: JSON has no infinity. */
const NO_LIMIT = 1e9;

export function scenarioOf(seed: number): Scenario {
  const random = Prng.numbered(seed);
  const harsh = random.chance(0.3);
  const scripted = random.chance(0.25);
  const tunLike = !scripted && random.chance(0.15);
  const link = linkOf(random, harsh, tunLike);
  const most = harsh || scripted ? 100_000 : 400_000;
  const scenario: Scenario = {
    seed,
    peer: scripted ? habitsOf(random) : null,
    family: random.chance(0.5) ? 6 : 4,
    link,
    back: !tunLike && random.chance(0.2) ? { ...linkOf(random, harsh, false), mtu: link.mtu } : null,
    up: random.chance(0.1) ? 0 : random.between(0, most),
    down: random.chance(0.1) ? 0 : random.between(0, most),
    ringBytes: random.chance(0.3) ? random.between(4096, 60_000) : 256 << 10,
    congestion: (["cubic", "bbr", "newreno"] as const)[random.between(0, 2)] as StackOptions["congestion"],
    wrapAfter: random.chance(0.3) ? random.between(0, 50_000) : null,
    mtuChange: random.chance(0.2)
      ? {
          afterMs: random.between(0, 1500),
          mtu: random.between(1280, 1500),
          at: tunLike || random.chance(0.5) ? "links" : "router",
        }
      : null,
    pause: random.chance(0.15)
      ? { afterMs: random.between(0, 1000), forMs: random.between(10, 120_000) }
      : null,
    abortAfterMs: !scripted && random.chance(0.08) ? random.between(0, 2000) : null,
  };
  const { back } = scenario;
  if (!tunLike && random.chance(0.5)) {
    for (const way of back === null ? [link] : [link, back])
      Object.assign(way, { authenticated: true, corrupt: 0 });
  }
  return scenario;
}

function linkOf(random: Prng, harsh: boolean, tunLike: boolean): LinkConditions {
  const delayMs = tunLike ? 0.05 : random.between(0, 80) + random.real();
  return {
    ...PERFECT,
    mtu: random.chance(0.25) ? random.between(1280, 9000) : 1420,
    delayMs,
    bytesPerMs: random.chance(0.5) ? random.between(200, 20_000) : NO_LIMIT,
    queueBytes: random.between(20_000, 500_000),
    loss: random.chance(0.5) ? random.real() * (harsh ? 0.15 : 0.02) : 0,
    burst: random.chance(0.25) ? random.real() * (harsh ? 0.02 : 0.004) : 0,
    burstPackets: random.between(2, 12),
    duplicate: random.chance(0.3) ? random.real() * 0.1 : 0,
    reorder: random.chance(0.4) ? random.real() * 0.2 : 0,
    reorderMs: random.real() * (delayMs + 5),
    corrupt: random.chance(0.2) && !tunLike ? random.real() * 0.02 : 0,
    congested: !tunLike,
    maxGsoBytes: tunLike || random.chance(0.3) ? 65_535 : 0,
    tunLike,
  };
}

function habitsOf(random: Prng): Habits {
  const sometimes = (most: number): number => (random.chance(0.4) ? random.real() * most : 0);
  return {
    opens: random.chance(0.5),
    sack: random.chance(0.6),
    timestamps: random.chance(0.5),
    scale: random.chance(0.6) ? random.between(0, 10) : -1,
    mss: random.chance(0.5) ? 1360 : random.between(100, 1360),
    windowBytes: random.chance(0.3) ? random.between(500, 5000) : random.between(5000, 400_000),
    shut: sometimes(0.02),
    shutMs: random.between(10, 20_000),
    ackEvery: random.between(1, 3),
    ackShort: sometimes(0.2),
    renege: sometimes(0.05),
    segmentBytes: random.between(50, 1200),
    segmentsOut: random.between(1, 40),
    overlap: sometimes(0.2),
    swap: sometimes(0.2),
  };
}
