/**
 * `npm run sim [-- --seeds N --seed S --no-table --json]`: seeded transfers under a virtual clock, between
 * two stacks and between a stack and a scripted peer, with everything checked that `run.ts` lists; then the
 * table of goodput by round trip time and loss.
 *
 * A failing seed names the command that runs it alone, and the first one is made as simple as it can be while it
 * still fails (`--scenario` runs what is printed). With `--json` the last line is
 * `{"seeds","failed","table":[{"congestion","rttMs","loss","share",…}]}`.
 *
 * `--flows N` runs N connections at once instead, and says what each costs (`flows.ts`). Exit code 1 when a seed failed.
 */
import { parseArgs } from "node:util";
import { runFlows } from "./flows.js";
import { runScenario } from "./run.js";
import { type Scenario, scenarioOf } from "./scenario.js";
import { shrink } from "./shrink.js";
import { type Cell, CONGESTION_CONTROLS, LOSSES, measureCell, RTTS_MS, tableLines } from "./table.js";

const DEFAULT_SEEDS = 300;
const SHRINK_TRIES = 500;
const USAGE = "usage: npm run sim [-- --seeds N | --seed S] [--no-table] [--json]";

interface Options {
  seeds: number[];
  table: boolean;
  json: boolean;
  /** So many at once, instead of seeds; or null. */
  flows: number | null;
  /** One that was printed, instead of seeds. */
  scenario: Scenario | null;
}

function readOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      seeds: { type: "string" },
      seed: { type: "string" },
      scenario: { type: "string" },
      flows: { type: "string" },
      "no-table": { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
  });
  const number = (text: string): number => {
    if (!/^\d{1,9}$/.test(text)) throw new Error(`not a number: ${text}`);
    return Number(text);
  };
  const one = values.seed === undefined ? null : number(values.seed);
  const many = values.seeds === undefined ? DEFAULT_SEEDS : number(values.seeds);
  return {
    seeds: one === null ? Array.from({ length: many }, (_, i) => i + 1) : [one],
    table: !values["no-table"] && one === null,
    json: values.json,
    flows: values.flows === undefined ? null : number(values.flows),
    scenario: values.scenario === undefined ? null : (JSON.parse(values.scenario) as Scenario),
  };
}

/** A line that the next one replaces, on a terminal only. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

function runSeeds(seeds: readonly number[]): number {
  const started = Date.now();
  let failed = 0;
  let first: number | null = null;
  for (const [index, seed] of seeds.entries()) {
    progress(`${index} of ${seeds.length} seeds, ${failed} failed`);
    const failure = runScenario(scenarioOf(seed));
    if (failure === null) continue;
    first ??= seed;
    failed++;
    progress("");
    console.log(`FAILED seed ${seed}: ${failure}\n  again: npm run sim -- --seed ${seed}`);
  }
  progress("");
  if (first !== null) explain(scenarioOf(first));
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  console.log(`${seeds.length} seeds in ${seconds} s: ${failed} failed`);
  return failed;
}

/** The smallest scenario that still fails, out of the first seed that does. */
function explain(scenario: Scenario): void {
  progress(`making seed ${scenario.seed} simpler`);
  const least = shrink(scenario, candidate => runScenario(candidate) !== null, SHRINK_TRIES);
  progress("");
  console.log(`the least of seed ${scenario.seed} that fails: ${runScenario(least)}`);
  console.log(`  npm run sim -- --scenario '${JSON.stringify(least)}'`);
}

function makeTable(): Cell[] {
  const cells: Cell[] = [];
  for (const congestion of CONGESTION_CONTROLS) {
    for (const rttMs of RTTS_MS) {
      for (const loss of LOSSES) {
        progress(`${congestion}, ${rttMs} ms, ${100 * loss} % loss`);
        cells.push(measureCell(congestion, rttMs, loss));
      }
    }
  }
  progress("");
  console.log(
    "\nGoodput of one download as a share of what a link of 100 Mbit/s allows, by round trip time:",
  );
  console.log(tableLines(cells).join("\n"));
  return cells;
}

function reportFlows(flows: number, json: boolean): number {
  const result = runFlows(flows, 1);
  const { failure, openedBytes, usedBytes, closedBytes, payloadBytes, lost } = result;
  console.log(`${flows} flows at once, ${payloadBytes} bytes compared, ${lost} packets lost on the way`);
  console.log(`memory of an idle connection: ${openedBytes} bytes before any traffic, ${usedBytes} after it`);
  console.log(`what stays of a closed one: ${closedBytes} bytes`);
  if (failure !== null) console.log(`FAILED: ${failure}`);
  if (json) console.log(JSON.stringify(result));
  return failure === null ? 0 : 1;
}

try {
  const { seeds, table, json, scenario, flows } = readOptions(process.argv.slice(2));
  if (flows !== null) {
    process.exitCode = reportFlows(flows, json);
  } else if (scenario !== null) {
    const failure = runScenario(scenario);
    console.log(failure === null ? "holds" : `FAILED: ${failure}`);
    process.exitCode = failure === null ? 0 : 1;
  } else {
    const failed = runSeeds(seeds);
    const cells = table ? makeTable() : [];
    if (json) console.log(JSON.stringify({ seeds: seeds.length, failed, table: cells }));
    process.exitCode = failed === 0 ? 0 : 1;
  }
} catch (error) {
  console.error(`${(error as Error).message}\n${USAGE}`);
  process.exitCode = 2;
}
