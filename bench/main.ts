/**
 * The driver: every contender in three hosts of its own (same topology), runs interleaved A B C A B C, so that
 * what the machine does meanwhile hits all alike.
 */
import { mkdirSync, writeFileSync } from "node:fs";
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
import { describeMachine } from "./cpu.js";
import { type Result, summarize, table } from "./results.js";
import type { Figure, Scenario } from "./scenario.js";
import { bulk } from "./scenarios/bulk.js";
import { http } from "./scenarios/http.js";
import { connects, trips } from "./scenarios/trips.js";

const CONTENDERS: readonly Contender[] = [
  czctl,
  wireguardGoDebian,
  wireguardGo,
  boringtun,
  openvpn,
  sshuttle,
  none,
];
const SCENARIOS: readonly Scenario[] = [bulk, trips, http, connects];
const SUBJECT = czctl.name;

interface Options {
  scenarios: Scenario[];
  contenders: Contender[];
  runs: number;
  seconds: number;
  json: string | undefined;
}

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
        default: CONTENDERS.slice(1)
          .map(one => one.name)
          .join(","),
      },
      runs: { type: "string", default: "5" },
      seconds: { type: "string", default: "5" },
      json: { type: "string" },
    },
  });
  const number = (text: string, name: string): number => {
    if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
    throw new UsageError(`--${name} must be a whole number from 1`);
  };
  const peers = values.peers.split(",").filter(name => name !== "" && name !== SUBJECT);
  const scenarios = positionals.length > 0 ? positionals : SCENARIOS.map(one => one.name);
  return {
    scenarios: pick("scenario", SCENARIOS, scenarios),
    contenders: pick("peer", CONTENDERS, [SUBJECT, ...peers]),
    runs: number(values.runs, "runs"),
    seconds: number(values.seconds, "seconds"),
    json: values.json,
  };
}

interface Entrant {
  contender: Contender;
  topology: Topology;
  running: Running;
}

async function enter(sandbox: Sandbox, contender: Contender): Promise<Entrant> {
  const dir = join(sandbox.dir, contender.name);
  mkdirSync(dir);
  const topology = await makeTopology({ ...sandbox, dir });
  try {
    await addClusterAddresses(topology.cluster, [SERVICE_ADDRESS]);
    return { contender, topology, running: await contender.start(sandbox, topology) };
  } catch (error) {
    console.error(topology.hosts.map(host => host.tails()).join("\n"));
    throw error;
  }
}

async function measure(
  scenario: Scenario,
  entrants: readonly Entrant[],
  options: Options,
): Promise<Result[]> {
  for (const { topology, running } of entrants) await scenario.prepare(topology, running);
  const results: Result[] = [];
  for (const round of scenario.rounds) {
    const taken = new Map<string, Figure[]>(entrants.map(({ contender }) => [contender.name, []]));
    for (let run = 1; run <= options.runs; run++) {
      for (const { contender, topology, running } of entrants) {
        const place = `${scenario.name} ${round} run ${run}/${options.runs} ${contender.name}`;
        // One that breaks down is told about; the others' figures are still worth having.
        const figures = await scenario
          .measure(round, topology, running, options.seconds)
          .catch((error: Error) => {
            console.error(`${place}: ${error.message.slice(0, 300)}`);
            return [];
          });
        taken.get(contender.name)?.push(...figures);
        if (figures.length > 0) {
          console.log(`${place}: ${figures.map(one => `${one.value.toFixed(3)} ${one.unit}`).join(", ")}`);
        }
      }
    }
    results.push(...summarize(scenario.name, taken));
  }
  return results;
}

async function bench(sandbox: Sandbox, options: Options): Promise<number> {
  const machine = describeMachine();
  console.log(`${machine.cpu}, ${machine.cores} cores, kernel ${machine.kernel}, Node ${machine.node}`);
  const entrants: Entrant[] = [];
  let failed = false;
  for (const contender of options.contenders) {
    const lacks = missing([...contender.needs]);
    if (lacks.length > 0) console.log(`${contender.name}: skipped, needs ${lacks.join(", ")}`);
    else {
      // The others' figures are still worth having.
      await enter(sandbox, contender).then(
        entrant => entrants.push(entrant),
        (error: Error) => {
          console.error(`${contender.name}: ${error.message}`);
          failed = true;
        },
      );
    }
  }
  const results: Result[] = [];
  for (const scenario of options.scenarios) {
    const lacks = missing([...scenario.needs]);
    if (lacks.length > 0) console.log(`${scenario.name}: skipped, needs ${lacks.join(", ")}`);
    else results.push(...(await measure(scenario, entrants, options)));
  }
  console.log(table(results, SUBJECT));
  if (options.json !== undefined) {
    writeFileSync(resolve(options.json), `${JSON.stringify({ machine, results }, null, 2)}\n`);
  }
  await Promise.all(entrants.map(({ topology }) => topology.close()));
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
