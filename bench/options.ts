/** Who and what there is to be measured, and what the command line asks for of it. */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import type { Contender } from "./contender.js";
import { czctl } from "./contenders/czctl.js";
import { none } from "./contenders/none.js";
import { openvpn } from "./contenders/openvpn.js";
import { sshuttle } from "./contenders/sshuttle.js";
import { boringtun, wireguardGo, wireguardGoDebian } from "./contenders/wireguard.js";
import type { Report } from "./results.js";
import type { Scenario } from "./scenario.js";
import { bulk } from "./scenarios/bulk.js";
import { collections } from "./scenarios/collections.js";
import { dns } from "./scenarios/dns.js";
import { flows } from "./scenarios/flows.js";
import { footprint } from "./scenarios/footprint.js";
import { growth } from "./scenarios/growth.js";
import { http } from "./scenarios/http.js";
import { impaired } from "./scenarios/impaired.js";
import { ledger } from "./scenarios/ledger.js";
import { loaded } from "./scenarios/loaded.js";
import { share } from "./scenarios/share.js";
import { stack } from "./scenarios/stack.js";
import { connects, trips } from "./scenarios/trips.js";
import { udp } from "./scenarios/udp.js";

/** The tunnels. */
export const CONTENDERS: readonly Contender[] = [
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
  loaded,
  http,
  connects,
  udp,
  flows,
  stack,
  ledger,
  share,
  footprint,
  collections,
  dns,
  impaired,
  growth,
];
/** Everybody who may be named, the tunnels first. */
const EVERYBODY = [...CONTENDERS, ...SCENARIOS.flatMap(scenario => scenario.contenders ?? [])];
export const SUBJECT: string = czctl.name;

export interface Options {
  scenarios: Scenario[];
  /** Contenders by name. */
  wanted: ReadonlySet<string>;
  /** Only rounds whose name begins so; all when empty. */
  rounds: string;
  runs: number;
  seconds: number;
  json: string | undefined;
  /** What the file held before: its other scenarios stay. */
  earlier: Report | undefined;
}

export class UsageError extends Error {}

function pick<T extends { name: string }>(what: string, all: readonly T[], names: readonly string[]): T[] {
  return names.map(name => {
    const found = all.find(one => one.name === name);
    if (found !== undefined) return found;
    throw new UsageError(`no such ${what}: ${name} (there are ${all.map(one => one.name).join(", ")})`);
  });
}

export function readOptions(): Options {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      peers: {
        type: "string",
        default: EVERYBODY.map(one => one.name).join(","),
      },
      rounds: { type: "string", default: "" },
      runs: { type: "string", default: "5" },
      seconds: { type: "string", default: "3" },
      json: { type: "string" },
      resume: { type: "boolean", default: false },
    },
  });
  const number = (text: string, name: string): number => {
    if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
    throw new UsageError(`--${name} must be a whole number from 1`);
  };
  const json = values.json === undefined ? undefined : resolve(values.json);
  if (values.resume && json === undefined) throw new UsageError("--resume goes on with the file of --json");
  const earlier =
    values.resume && json !== undefined && existsSync(json)
      ? (JSON.parse(readFileSync(json, "utf8")) as Report)
      : undefined;
  const peers = values.peers.split(",").filter(name => name !== "");
  const there = new Set(earlier?.results.map(one => one.scenario));
  const scenarios =
    positionals.length > 0
      ? pick("scenario", SCENARIOS, positionals)
      : SCENARIOS.filter(one => !there.has(one.name));
  return {
    scenarios,
    wanted: new Set([SUBJECT, ...pick("peer", EVERYBODY, peers).map(one => one.name)]),
    rounds: values.rounds,
    runs: number(values.runs, "runs"),
    seconds: number(values.seconds, "seconds"),
    json,
    earlier,
  };
}
