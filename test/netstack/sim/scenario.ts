/** A link and a transfer out of a seed: from perfect to awful. Plain values, so that one can be printed and rerun. */

import { Prng } from "./prng.js";
import { type LinkConditions, PERFECT } from "./sim-link.js";
import type { Congestion } from "./table.js";

export interface Scenario {
  seed: number;
  family: 4 | 6;
  link: LinkConditions;
  up: number;
  down: number;
  ringBytes: number;
  congestion: Congestion;
}

export function scenarioOf(seed: number): Scenario {
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
    congestion: (["cubic", "cubic", "bbr", "newreno"] as const)[random.between(0, 3)] as Congestion,
  };
}
