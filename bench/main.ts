/**
 * The driver: every contender in three hosts of its own (same topology), runs interleaved A B C A B C, so that
 * what the machine does meanwhile hits all alike. What one scenario gave is kept before the next one begins.
 */
import { setMaxListeners } from "node:events";
import { chmodSync, mkdtempSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { missing } from "../test/lab/lab.js";
import { inSandbox, type Sandbox } from "../test/lab/sandbox.js";
import { addClusterAddresses, makeTopology, type Topology } from "../test/lab/topology.js";
import { type Contender, type Running, SERVICE_ADDRESS } from "./contender.js";
import { describeCommit, describeMachine, watchOthers } from "./cpu.js";
import { CONTENDERS, type Options, readOptions, SUBJECT, UsageError } from "./options.js";
import { duration, merge, type Report, type Result, summarize, table } from "./results.js";
import type { Figure, Scenario } from "./scenario.js";

/** What others may have of the machine without a word about it. */
const NOTABLE_SHARE = 0.03;

function describe({ value, unit, cpuSecondsPerGB }: Figure): string {
  const cost = cpuSecondsPerGB === undefined ? "" : ` at ${cpuSecondsPerGB.toFixed(2)} CPU s/GB`;
  return `${value.toFixed(3)} ${unit}${cost}`;
}

interface Entrant {
  contender: Contender;
  topology: Topology;
  running: Running;
}

async function enter(sandbox: Sandbox, contender: Contender): Promise<Entrant> {
  const dir = mkdtempSync(join(sandbox.dir, `${contender.name}-`));
  chmodSync(dir, 0o755);
  const topology = await makeTopology({ ...sandbox, dir });
  try {
    await addClusterAddresses(topology.cluster, [SERVICE_ADDRESS]);
    return { contender, topology, running: await contender.start(sandbox, topology) };
  } catch (error) {
    console.error(topology.hosts.map(host => host.tails()).join("\n"));
    await topology.close();
    throw error;
  }
}

/** Those of whom something is wanted and that can be started here. The others' figures are still worth having. */
async function enterAll(
  sandbox: Sandbox,
  contenders: readonly Contender[],
  options: Options,
): Promise<{ entrants: Entrant[]; failed: boolean }> {
  const entrants: Entrant[] = [];
  let failed = false;
  for (const contender of contenders.filter(one => options.wanted.has(one.name))) {
    const lacks = missing([...contender.needs]);
    if (lacks.length > 0) {
      console.log(`${contender.name}: skipped, needs ${lacks.join(", ")}`);
      continue;
    }
    try {
      entrants.push(await enter(sandbox, contender));
    } catch (error) {
      console.error(`${contender.name}: ${(error as Error).message}`);
      failed = true;
    }
  }
  return { entrants, failed };
}

/** The contenders that take part in a scenario, each with its number of runs. */
async function prepare(
  scenario: Scenario,
  entrants: readonly Entrant[],
  options: Options,
): Promise<Map<Entrant, number>> {
  const runs = new Map<Entrant, number>();
  for (const entrant of entrants) {
    const { contender, topology, running } = entrant;
    const most = scenario.maxRunsOf?.[contender.name] ?? options.runs;
    if (most === 0) continue;
    try {
      await scenario.prepare(topology, running);
      runs.set(entrant, Math.min(options.runs, most, scenario.maxRuns ?? options.runs));
    } catch (error) {
      console.error(`${scenario.name} ${contender.name}: ${(error as Error).message.slice(0, 300)}`);
    }
  }
  return runs;
}

async function measure(
  scenario: Scenario,
  entrants: readonly Entrant[],
  options: Options,
  signal: AbortSignal,
): Promise<Result[]> {
  const runs = await prepare(scenario, entrants, options);
  const results: Result[] = [];
  for (const round of scenario.rounds.filter(name => name.startsWith(options.rounds))) {
    const taken = new Map<string, Figure[]>([...runs.keys()].map(({ contender }) => [contender.name, []]));
    for (let run = 1; run <= Math.max(...runs.values()); run++) {
      for (const [{ contender, topology, running }, most] of runs) {
        if (run > most) continue;
        const place = `${scenario.name} ${round} run ${run}/${most} ${contender.name}`;
        const others = watchOthers();
        // One that breaks down is told about; the others' figures are still worth having.
        const figures = await scenario
          .measure(round, topology, running, options.seconds)
          .catch((error: Error) => {
            signal.throwIfAborted();
            console.error(`${place}: ${error.message.slice(0, 300)}`);
            return [];
          });
        // Programs that were killed half way have figures too.
        signal.throwIfAborted();
        const share = others();
        taken.get(contender.name)?.push(...figures.map(one => ({ ...one, others: share })));
        if (figures.length > 0) {
          const note =
            share < NOTABLE_SHARE ? "" : `; others had ${(share * 100).toFixed(0)} % of the machine`;
          console.log(`${place}: ${figures.map(describe).join(", ")}${note}`);
        }
      }
    }
    results.push(...summarize(scenario.name, taken));
  }
  return results;
}

/** Whole or not at all: what stands in the file is what a later run goes on with. */
function save(file: string, report: Report): void {
  writeFileSync(`${file}.new`, `${JSON.stringify(report, null, 2)}\n`);
  renameSync(`${file}.new`, file);
}

async function bench(sandbox: Sandbox, options: Options): Promise<number> {
  // Every program of every contender listens to it.
  setMaxListeners(0, sandbox.signal);
  const machine = describeMachine();
  console.log(`${machine.cpu}, ${machine.cores} cores, kernel ${machine.kernel}, Node ${machine.node}`);
  const report: Report = { machine, taken: [], results: [] };
  const commit = describeCommit();
  let failed = false;
  const run = async (scenarios: readonly Scenario[], contenders: readonly Contender[]): Promise<void> => {
    const able = scenarios.filter(scenario => {
      const lacks = missing([...scenario.needs]);
      if (lacks.length > 0) console.log(`${scenario.name}: skipped, needs ${lacks.join(", ")}`);
      return lacks.length === 0;
    });
    if (able.length === 0) return;
    console.log(`${able.map(one => one.name).join(", ")}: starting the contenders`);
    let start = performance.now();
    const entered = await enterAll(sandbox, contenders, options);
    failed ||= entered.failed;
    for (const scenario of able) {
      const place = `${options.scenarios.indexOf(scenario) + 1} of ${options.scenarios.length}`;
      console.log(`${scenario.name}: scenario ${place}`);
      report.results.push(...(await measure(scenario, entered.entrants, options, sandbox.signal)));
      const seconds = Math.round((performance.now() - start) / 1000);
      start = performance.now();
      report.taken.push({ scenario: scenario.name, commit, finished: new Date().toISOString(), seconds });
      console.log(`${scenario.name}: took ${duration(seconds)}`);
      if (options.json === undefined) continue;
      save(options.json, options.earlier === undefined ? report : merge(options.earlier, report));
    }
    await Promise.all(entered.entrants.map(({ topology }) => topology.close()));
  };
  await run(
    options.scenarios.filter(scenario => scenario.contenders === undefined),
    CONTENDERS,
  );
  for (const scenario of options.scenarios) {
    if (scenario.contenders !== undefined) await run([scenario], scenario.contenders);
  }
  console.log(table(report.results, SUBJECT));
  for (const { scenario, seconds } of report.taken) {
    console.log(`${scenario.padEnd(12)} ${duration(seconds).padStart(12)}`);
  }
  const total = report.taken.reduce((sum, { seconds }) => sum + seconds, 0);
  console.log(`${"all".padEnd(12)} ${duration(total).padStart(12)}`);
  const isComplete = options.scenarios.length === report.taken.length && !failed;
  return isComplete && (report.results.length > 0 || options.earlier !== undefined) ? 0 : 1;
}

try {
  const options = readOptions();
  await inSandbox(import.meta.url, sandbox => bench(sandbox, options));
} catch (error) {
  if (!(error instanceof UsageError || (error as { code?: string }).code?.startsWith("ERR_PARSE_ARGS")))
    throw error;
  console.error((error as Error).message);
  process.exitCode = 2;
}
