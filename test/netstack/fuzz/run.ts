/** Sessions one after the other, and what is made of one that fails. */
import { type Fuzzer, type Reproducer, reduce } from "./session.js";
import type { Op } from "./target.js";

const REDUCE_TRIES = 3000;

/** The least that fails as session `seed` does; null when it does not fail a second time. */
export function reproducerOf(fuzzer: Fuzzer, seed: number): Reproducer | null {
  const ops: Op[] = [];
  const { target } = fuzzer.run(seed, ops);
  const { setup } = target;
  const failure = fuzzer.replay({ setup, ops }).failure?.message;
  if (failure === undefined) return null;
  const fails = (candidate: readonly Op[]): boolean =>
    fuzzer.replay({ setup, ops: [...candidate] }).failure?.message === failure;
  return { about: failure, setup, ops: reduce(ops, fails, REDUCE_TRIES) };
}

export interface Failure {
  seed: number;
  error: Error;
}

export interface Tally {
  executions: number;
  failures: Failure[];
  /** What the stacks counted, summed up: shows which paths were taken. */
  counters: Map<string, number>;
}

/** Runs sessions `first`, `first + 1`… until `enough` says so; `onSession` hears the seed before each. */
export function runSessions(
  fuzzer: Fuzzer,
  first: number,
  enough: (tally: Tally) => boolean,
  onSession: (seed: number, tally: Tally) => void = () => {},
): Tally {
  const tally: Tally = { executions: 0, failures: [], counters: new Map() };
  for (let seed = first; !enough(tally); seed++) {
    onSession(seed, tally);
    const { executions, failure, target } = fuzzer.run(seed);
    tally.executions += executions;
    if (failure !== null) tally.failures.push({ seed, error: failure });
    for (const [name, count] of Object.entries(target.stack.counters)) {
      tally.counters.set(name, (tally.counters.get(name) ?? 0) + (count as number));
    }
  }
  return tally;
}
