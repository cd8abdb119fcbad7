/** Who may import whom, and what the pure rooms do without: docs/architecture.md's table, held. */
import { dirname, join, normalize } from "node:path";
import t from "tap";
import ts from "typescript";
import { findImports, type Import, lineOf, parse, readSources, type Source } from "./sources.js";

interface Room {
  rooms: readonly string[];
  /** Packages from the registry, by prefix. */
  packages: readonly string[];
}

const ALL_BELOW = [
  "base",
  "wire",
  "netstack",
  "wireguard",
  "machine",
  "crypto",
  "linux",
  "dns",
  "catalog",
  "api",
  "dataplane",
];

const TABLE: Readonly<Record<string, Room>> = {
  base: { rooms: [], packages: [] },
  wire: { rooms: ["base"], packages: [] },
  netstack: { rooms: ["wire", "base"], packages: [] },
  wireguard: { rooms: ["wire", "base"], packages: [] },
  machine: { rooms: ["base"], packages: ["koffi"] },
  crypto: { rooms: ["base", "machine"], packages: ["@noble/", "koffi"] },
  linux: { rooms: ["base"], packages: ["koffi"] },
  catalog: { rooms: ["base"], packages: ["zod", "yaml"] },
  dns: { rooms: ["base", "catalog"], packages: ["dns-packet"] },
  api: { rooms: ["base", "catalog"], packages: ["zod"] },
  dataplane: {
    rooms: ["base", "wire", "netstack", "wireguard", "machine", "crypto", "linux", "api"],
    packages: ["zod"],
  },
  telemetry: { rooms: ["base", "api"], packages: ["pino"] },
  daemon: { rooms: [...ALL_BELOW, "telemetry"], packages: ["zod"] },
  agent: { rooms: [...ALL_BELOW, "telemetry"], packages: ["zod", "yaml", "@kubernetes/client-node"] },
  // Daemon and agent by their entry points, to start them.
  cli: { rooms: ["base", "catalog", "api", "telemetry", "daemon", "agent"], packages: ["uqr", "yargs"] },
};

const isPure = (source: { path: string; room: string }): boolean =>
  ["base", "wire", "netstack", "wireguard", "catalog"].includes(source.room) ||
  source.path.startsWith("src/dns/zone");

/** What a pure file would reach for, and why it must be given it instead. */
const AMBIENT: Readonly<Record<string, string>> = {
  "Date.now": "time is an argument: tests run under a virtual clock",
  "new Date": "time is an argument: tests run under a virtual clock",
  performance: "time is an argument: tests run under a virtual clock",
  "Math.random": "randomness is an argument: a failing run must be repeatable by its seed",
  "crypto.getRandomValues": "randomness is an argument: a failing run must be repeatable by its seed",
  "crypto.randomUUID": "randomness is an argument: a failing run must be repeatable by its seed",
  setTimeout: "deadlines are values (`pollAt`): a hidden timer cannot be walked through",
  setInterval: "deadlines are values (`pollAt`): a hidden timer cannot be walked through",
  setImmediate: "work is done when the caller says so, in an order that tests can state",
  queueMicrotask: "work is done when the caller says so, in an order that tests can state",
  process: "the environment comes in as arguments: a pure room has no machine below it",
  console: "what happened is returned or counted; only the outer rooms have somewhere to write",
  fetch: "packets come in as arguments: a pure room owns no socket",
};

const TIMERS_AND_CALLS = new Set(["setTimeout", "setInterval", "setImmediate", "queueMicrotask", "fetch"]);

/** References to ambient things: `name.x`, `name(…)`, `new Date`. Methods of the same name are not meant. */
function ambientUses(ast: ts.SourceFile): { name: string; line: number }[] {
  const found: { name: string; line: number }[] = [];
  const visit = (node: ts.Node): void => {
    const name = ambientName(node);
    if (name !== undefined) found.push({ name, line: lineOf(ast, node) });
    ts.forEachChild(node, visit);
  };
  visit(ast);
  return found;
}

function ambientName(node: ts.Node): string | undefined {
  if (ts.isNewExpression(node) && node.expression.getText() === "Date") return "new Date";
  if (ts.isCallExpression(node) && ts.isIdentifier(node.expression)) {
    return TIMERS_AND_CALLS.has(node.expression.text) ? node.expression.text : undefined;
  }
  if (!ts.isPropertyAccessExpression(node) || !ts.isIdentifier(node.expression)) return undefined;
  const object = node.expression.text;
  const member = `${object}.${node.name.text}`;
  if (member in AMBIENT) return member;
  if (object === "globalThis" && node.name.text in AMBIENT) return node.name.text;
  return ["performance", "process", "console"].includes(object) ? object : undefined;
}

/** The room that a relative import leads to, and whether it enters by the door. */
function target(source: Source, specifier: string): { room: string; byIndex: boolean } {
  const path = normalize(join(dirname(source.path), specifier)).split("/");
  return { room: path[1] ?? "", byIndex: path.length === 3 && path[2] === "index.js" };
}

function importFault(source: Source, { specifier, typeOnly }: Import): string | undefined {
  const room = TABLE[source.room];
  if (room === undefined) return `src/${source.room} is no room of the table`;
  if (specifier.startsWith("node:")) {
    return isPure(source) && !typeOnly ? "a pure room imports nothing of Node but types" : undefined;
  }
  if (!specifier.startsWith(".")) {
    const known = room.packages.some(
      name => specifier === name || specifier.startsWith(name.endsWith("/") ? name : `${name}/`),
    );
    return known ? undefined : `the package is not in ${source.room}'s list`;
  }
  const to = target(source, specifier);
  if (to.room === source.room) return undefined;
  if (!room.rooms.includes(to.room)) return `${source.room} may not import ${to.room}`;
  return to.byIndex ? undefined : "another room is imported by its index.ts only";
}

const sources = readSources();

t.test("every import is one that the table allows", async t => {
  t.ok(sources.length > 10, "sources found");
  for (const source of sources) {
    const faults = source.imports
      .map(one => ({ where: `${source.path}:${one.line} ${one.specifier}`, why: importFault(source, one) }))
      .filter(fault => fault.why !== undefined);
    t.same(faults, [], source.path);
  }
});

t.test("pure rooms reach for no clock, timer, randomness, process or console", async t => {
  for (const source of sources.filter(isPure)) {
    const faults = ambientUses(source.ast).map(
      use => `${source.path}:${use.line} ${use.name}: ${AMBIENT[use.name]}`,
    );
    t.same(faults, [], source.path);
  }
});

t.test("rooms do not import each other in a circle", async t => {
  const graph = new Map<string, Set<string>>();
  for (const source of sources) {
    const edges = graph.get(source.room) ?? new Set<string>();
    graph.set(source.room, edges);
    for (const { specifier } of source.imports) {
      const room = specifier.startsWith(".") ? target(source, specifier).room : source.room;
      if (room !== source.room) edges.add(room);
    }
  }
  const circle = (room: string, path: string[]): string[] | undefined => {
    if (path.includes(room)) return [...path.slice(path.indexOf(room)), room];
    for (const next of graph.get(room) ?? []) {
      const found = circle(next, [...path, room]);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  for (const room of graph.keys()) t.equal(circle(room, [])?.join(" → "), undefined, room);
});

t.test("the check itself finds what it is for", async t => {
  const text = `
    import { readFileSync } from "node:fs";
    import type { Socket } from "node:net";
    export { x } from "../linux/tun.js";
    const later = () => import("../linux/index.js");
    const a = Date.now() + new Date().getTime() + performance.now() + Math.random();
    crypto.getRandomValues(bytes);
    setTimeout(() => console.log(process.env.HOME), 1);
    class Machine { process(packet: unknown) { this.process(packet); } }
  `;
  const ast = parse("src/netstack/fake.ts", text);
  const source: Source = { path: "src/netstack/fake.ts", room: "netstack", ast, imports: findImports(ast) };
  t.same(
    source.imports.map(one => importFault(source, one)),
    [
      "a pure room imports nothing of Node but types",
      undefined,
      "netstack may not import linux",
      "netstack may not import linux",
    ],
  );
  const names = ambientUses(ast).map(use => use.name);
  t.same(names.sort(), [
    "Date.now",
    "Math.random",
    "console",
    "crypto.getRandomValues",
    "new Date",
    "performance",
    "process",
    "setTimeout",
  ]);
});
