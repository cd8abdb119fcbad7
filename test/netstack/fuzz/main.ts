/**
 * `npm run fuzz [-- --seconds S --executions N --seed S --json]`: forged packets into live connections, for a
 * minute unless told otherwise. Nothing may throw, hang, grow, or leave anything behind.
 *
 * A failure is reduced and written to `reproducers/`, which the unit tier replays: mend the stack, give the file
 * a name and say in `about` what it was. With `--json` the last line is `{"executions","seconds","failures"}`.
 * Exit code 1 on any failure.
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import type { Result, WorkerData } from "./worker.js";

const DEFAULT_SECONDS = 60;
/** A session takes milliseconds; one that shows no sign of life for so long hangs. */
const HANG_MS = 30_000;
const USAGE = "usage: npm run fuzz [-- --seconds S] [--executions N] [--seed FIRST] [--json]";
const REPRODUCERS = fileURLToPath(new URL("../../../../test/netstack/fuzz/reproducers/", import.meta.url));

interface Options {
  seconds: number;
  executions: number;
  seed: number;
  json: boolean;
}

function readOptions(args: string[]): Options {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    args,
    options: { seconds: text, executions: text, seed: text, json: { type: "boolean", default: false } },
  });
  const number = (value: string | undefined, otherwise: number): number => {
    if (value === undefined) return otherwise;
    if (!/^\d{1,12}$/.test(value)) throw new Error(`not a number: ${value}`);
    return Number(value);
  };
  const executions = number(values.executions, Number.POSITIVE_INFINITY);
  const endless = values.executions === undefined ? DEFAULT_SECONDS : Number.POSITIVE_INFINITY;
  return {
    seconds: number(values.seconds, endless),
    executions,
    seed: number(values.seed, Math.floor(Date.now() / 1000) * 1000),
    json: values.json,
  };
}

/** The worker's result, or the seed of the session in which it hangs. */
function fuzz(options: Options, progress: Float64Array): Promise<Result | { hangs: number }> {
  const workerData: WorkerData = {
    firstSeed: options.seed,
    executions: options.executions,
    milliseconds: options.seconds * 1000,
    progress,
  };
  const worker = new Worker(new URL("worker.js", import.meta.url), { workerData });
  const started = Date.now();
  return new Promise((resolve, reject) => {
    let last = -1;
    let changed = Date.now();
    const timer = setInterval(() => {
      const [seed = 0, executions = 0, failures = 0] = progress;
      if (executions !== last || seed === 0) {
        last = executions;
        changed = Date.now();
      } else if (failures === 0 && Date.now() - changed > HANG_MS) {
        clearInterval(timer);
        worker.terminate();
        resolve({ hangs: seed });
      }
      if (!process.stderr.isTTY) return;
      const rate = (executions / (Date.now() - started)).toFixed(0);
      process.stderr.write(`\r\x1b[K${executions} executions, ${rate},000 a second, ${failures} failures`);
    }, 500);
    const settle = (): void => {
      clearInterval(timer);
      if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
    };
    worker.once("message", (result: Result) => {
      settle();
      resolve(result);
    });
    worker.once("error", error => {
      settle();
      reject(error);
    });
  });
}

function report(result: Result, firstSeed: number, seconds: number): void {
  for (const { seed, error, reproducer } of result.failures) {
    console.log(`FAILED session ${seed}: ${error.split("\n").slice(0, 4).join("\n")}`);
    if (reproducer === null) continue;
    const path = `${REPRODUCERS}${seed}.json`;
    writeFileSync(path, `${JSON.stringify(reproducer, null, 1)}\n`);
    console.log(`  ${reproducer.ops.length} steps: ${path}`);
  }
  const never = [...result.counters].filter(([, count]) => count === 0).map(([name]) => name);
  const rate = Math.round(result.executions / seconds);
  console.log(
    `${result.executions} executions in ${seconds.toFixed(1)} s, ${rate} a second, sessions from ${firstSeed} on`,
  );
  console.log(`what was never counted: ${never.join(" ") || "nothing"}`);
}

async function main(args: string[]): Promise<number> {
  const options = readOptions(args);
  const started = Date.now();
  const progress = new Float64Array(new SharedArrayBuffer(24));
  const result = await fuzz(options, progress);
  const seconds = (Date.now() - started) / 1000;
  const hangs = "hangs" in result;
  if (hangs)
    console.log(`FAILED session ${result.hangs}: it hangs; again: npm run fuzz -- --seed ${result.hangs}`);
  else report(result, options.seed, seconds);
  const executions = hangs ? (progress[1] as number) : result.executions;
  const failures = hangs ? 1 : result.failures.length;
  if (options.json)
    console.log(JSON.stringify({ executions, seconds: Number(seconds.toFixed(1)), failures }));
  return failures === 0 ? 0 : 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(`${(error as Error).message}\n${USAGE}`);
  process.exitCode = 2;
}
