/** Makes a failing scenario as simple as it can be while it still fails: one thing after another is left out. */
import type { Scenario } from "./scenario.js";
import type { Habits } from "./scripted-peer.js";
import { type LinkConditions, PERFECT } from "./sim-link.js";

const PLAIN: Partial<Scenario> = {
  back: null,
  mtuChange: null,
  pause: null,
  abortAfterMs: null,
  wrapAfter: null,
  family: 4,
  congestion: "cubic",
  ringBytes: 256 << 10,
};

const PLAIN_LINK: Partial<LinkConditions> = {
  burst: 0,
  loss: 0,
  duplicate: 0,
  corrupt: 0,
  reorder: 0,
  bytesPerMs: 1e9,
  maxGsoBytes: 0,
  tunLike: false,
  authenticated: false,
  congested: true,
  mtu: PERFECT.mtu,
  delayMs: PERFECT.delayMs,
};

const PLAIN_HABITS: Partial<Habits> = {
  shut: 0,
  ackEvery: 1,
  ackShort: 0,
  renege: 0,
  overlap: 0,
  swap: 0,
  sack: true,
  timestamps: true,
  scale: 7,
  mss: 1360,
  windowBytes: 400_000,
  segmentBytes: 1200,
};

/** `scenario` with fewer things in it, one variant per thing. */
function* simpler(scenario: Scenario): Generator<Scenario> {
  for (const change of fields(PLAIN, scenario)) yield { ...scenario, ...change };
  for (const change of fields(PLAIN_LINK, scenario.link)) {
    yield { ...scenario, link: { ...scenario.link, ...change } };
  }
  const { peer } = scenario;
  if (peer !== null) {
    for (const change of fields(PLAIN_HABITS, peer)) yield { ...scenario, peer: { ...peer, ...change } };
  }
  for (const bytes of ["up", "down"] as const) {
    for (const less of [0, scenario[bytes] >> 1, Math.floor(scenario[bytes] * 0.9)]) {
      if (less < scenario[bytes]) yield { ...scenario, [bytes]: less };
    }
  }
}

function* fields<T extends object>(plain: Partial<T>, now: T): Generator<Partial<T>> {
  for (const key of Object.keys(plain) as (keyof T)[]) {
    if (plain[key] !== now[key]) yield { [key]: plain[key] } as Partial<T>;
  }
}

/** @param fails whether a scenario still does; `tries` bounds how often it is asked */
export function shrink(scenario: Scenario, fails: (scenario: Scenario) => boolean, tries: number): Scenario {
  let best = scenario;
  for (let left = tries; left > 0; ) {
    let found = false;
    for (const candidate of simpler(best)) {
      if (left-- <= 0) break;
      if (!fails(candidate)) continue;
      best = candidate;
      found = true;
      break;
    }
    if (!found) break;
  }
  return best;
}
