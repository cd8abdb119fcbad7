/**
 * The driver: every contender in three hosts of its own (same topology), runs interleaved A B C A B C, so that
 * what the machine does meanwhile hits all alike.
 */
import { setMaxListeners } from "node:events";
import { chmodSync, mkdtempSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { missing } from "../test/lab/lab.js";
import { inSandbox, type Sandbox } from "../test/lab/sandbox.js";
import { addClusterAddresses, makeTopology, type Topology } from "../test/lab/topology.js";
import { type Contender, type Running, SERVICE_ADDRESS } from "./contender.js";
import { czctl } from "./contenders/czctl.js";
import { none } from "./contenders/none.js";
import { openvpn } from "./contenders/openvpn.js";
import { sshuttle } from "./contenders/sshuttle.js";
import { boringtun, wireguardGo, wireguardGoDebian } from "./contenders/wireguard.js";
import { describeMachine, watchOthers } from "./cpu.js";
import { type Result, summarize, table } from "./results.js";
import type { Figure, Scenario } from "./scenario.js";
import { bulk } from "./scenarios/bulk.js";
import { collections } from "./scenarios/collections.js";
import { dns } from "./scenarios/dns.js";
import { flows } from "./scenarios/flows.js";
import { footprint } from "./scenarios/footprint.js";
import { growth } from "./scenarios/growth.js";
import { http } from "./scenarios/http.js";
import { impaired } from "./scenarios/impaired.js";
import { ledger } from "./scenarios/ledger.js";
import { stack } from "./scenarios/stack.js";
import { connects, trips } from "./scenarios/trips.js";
import { udp } from "./scenarios/udp.js";

const CONTENDERS: readonly Contender[] = [
  czctl,
  wireguardGoDebian,
  wireguardGo,
  boringtun,
  openvpn,
  sshuttle,
  none,
];
const SCENARIOS: readonly Scenario[] = [
  bulk,
  trips,
  http,
  connects,
  flows,
  udp,
  stack,
  ledger,
  footprint,
  collections,
  dns,
  growth,
  impaired,
];
/** Everybody who may be named, the tunnels first. */
const EVERYBODY = [...CONTENDERS, ...SCENARIOS.flatMap(scenario => scenario.contenders ?? [])];
const SUBJECT = czctl.name;

interface Options {
  scenarios: Scenario[];
  /** Contenders by name. */
  wanted: ReadonlySet<string>;
  /** Only rounds whose name begins so; all when empty. */
  rounds: string;
  runs: number;
  seconds: number;
  json: string | undefined;
}

/** What others may have of the machine without a word about it. */
const NOTABLE_SHARE = 0.03;

class UsageError extends Error {}

function pick<T extends { name: string }>(what: string, all: readonly T[], names: readonly string[]): T[] {
  return names.map(name => {
    const found = all.find(one => one.name === name);
    if (found !== undefined) return found;
    throw new UsageError(`no such ${what}: ${name} (there are ${all.map(one => one.name).join(", ")})`);
  });
}

function readOptions(): Options {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      peers: {
        type: "string",
        default: EVERYBODY.map(one => one.name).join(","),
      },
      rounds: { type: "string", default: "" },
      runs: { type: "string", default: "5" },
      seconds: { type: "string", default: "5" },
      json: { type: "string" },
    },
  });
  const number = (text: string, name: string): number => {
    if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
    throw new UsageError(`--${name} must be a whole number from 1`);
  };
  const peers = values.peers.split(",").filter(name => name !== "");
  const scenarios = positionals.length > 0 ? positionals : SCENARIOS.map(one => one.name);
  return {
    scenarios: pick("scenario", SCENARIOS, scenarios),
    wanted: new Set([SUBJECT, ...pick("peer", EVERYBODY, peers).map(one => one.name)]),
    rounds: values.rounds,
    runs: number(values.runs, "runs"),
    seconds: number(values.seconds, "seconds"),
    json: values.json,
  };
}

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

/** Those that can be started here. The others are told about; the figures of the rest are still worth having. */
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

async function measure(
  scenario: Scenario,
  entrants: readonly Entrant[],
  options: Options,
): Promise<Result[]> {
  for (const { topology, running } of entrants) await scenario.prepare(topology, running);
  const results: Result[] = [];
  const runs = Math.min(options.runs, scenario.maxRuns ?? options.runs);
  for (const round of scenario.rounds.filter(name => name.startsWith(options.rounds))) {
    const taken = new Map<string, Figure[]>(entrants.map(({ contender }) => [contender.name, []]));
    for (let run = 1; run <= runs; run++) {
      for (const { contender, topology, running } of entrants) {
        const place = `${scenario.name} ${round} run ${run}/${runs} ${contender.name}`;
        const others = watchOthers();
        // One that breaks down is told about; the others' figures are still worth having.
        const figures = await scenario
          .measure(round, topology, running, options.seconds)
          .catch((error: Error) => {
            console.error(`${place}: ${error.message.slice(0, 300)}`);
            return [];
          });
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

async function bench(sandbox: Sandbox, options: Options): Promise<number> {
  // Every program of every contender listens to it.
  setMaxListeners(0, sandbox.signal);
  const machine = describeMachine();
  console.log(`${machine.cpu}, ${machine.cores} cores, kernel ${machine.kernel}, Node ${machine.node}`);
  const results: Result[] = [];
  let failed = false;
  const run = async (scenarios: readonly Scenario[], contenders: readonly Contender[]): Promise<void> => {
    const able = scenarios.filter(scenario => {
      const lacks = missing([...scenario.needs]);
      if (lacks.length > 0) console.log(`${scenario.name}: skipped, needs ${lacks.join(", ")}`);
      return lacks.length === 0;
    });
    if (able.length === 0) return;
    const entered = await enterAll(sandbox, contenders, options);
    failed ||= entered.failed;
    for (const scenario of able) {
      results.push(...(await measure(scenario, entered.entrants, options)));
      // What is measured is kept, should a later scenario never end.
      if (options.json !== undefined) {
        writeFileSync(resolve(options.json), `${JSON.stringify({ machine, results }, null, 2)}\n`);
      }
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
  console.log(table(results, SUBJECT));
  return results.length > 0 && !failed ? 0 : 1;
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
