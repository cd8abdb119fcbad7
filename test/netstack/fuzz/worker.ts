/**
 * The thread that fuzzes. It writes down what it is at in memory that `main.ts` watches, since a loop without
 * end could not tell anybody.
 */
import { parentPort, workerData } from "node:worker_threads";
import { reproducerOf, runSessions } from "./run.js";
import { Fuzzer, type Reproducer } from "./session.js";

export interface WorkerData {
  firstSeed: number;
  executions: number;
  milliseconds: number;
  /** Seed, executions, failures. */
  progress: Float64Array;
}

export interface Result {
  executions: number;
  failures: { seed: number; error: string; reproducer: Reproducer | null }[];
  counters: Map<string, number>;
}

/** A stack that fails in many ways need not be told of all. */
const MAX_FAILURES = 10;

const { firstSeed, executions, milliseconds, progress } = workerData as WorkerData;
const fuzzer = new Fuzzer();
const end = Date.now() + milliseconds;
const tally = runSessions(
  fuzzer,
  firstSeed,
  so => so.executions >= executions || Date.now() >= end || so.failures.length >= MAX_FAILURES,
  (seed, so) => {
    progress[0] = seed;
    progress[1] = so.executions;
    progress[2] = so.failures.length;
  },
);
const result: Result = {
  executions: tally.executions,
  counters: tally.counters,
  failures: tally.failures.map(({ seed, error }) => ({
    seed,
    error: String(error.stack),
    reproducer: reproducerOf(fuzzer, seed),
  })),
};
parentPort?.postMessage(result);
