/** The catalog stream as the laptop follows it (`api/agent.ts`): events, lost streams, hostile agents. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import type { CatalogEvent } from "../../src/api/index.js";
import { textLogger } from "../../src/base/index.js";
import { Catalog } from "../../src/catalog/index.js";
import { CatalogClient } from "../../src/daemon/catalog-client.js";
import { isTooMany, parseCatalogEvent, SERVICES_MAX } from "../../src/daemon/catalog-events.js";
import { service, snapshot } from "./laptop.js";

const silent = textLogger({ now: () => new Date(0), write: () => {}, level: "info" });

interface Followed {
  events: CatalogEvent[];
  downs: string[];
  client: CatalogClient;
}

/** An agent that answers the n-th request by `answers[n]`, and a client that follows it. */
async function follow(t: Test, answers: ((response: ServerResponse) => void)[]): Promise<Followed> {
  // Not below the test's own directory: a socket's path has 107 bytes at most.
  const dir = mkdtempSync(join(tmpdir(), "czctl-test-"));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const socketPath = join(dir, "s");
  let requests = 0;
  const server = createServer((_, response) => answers[requests++]?.(response));
  await new Promise<void>(resolve => server.listen(socketPath, resolve));
  const followed: Partial<Followed> = { events: [], downs: [] };
  await new Promise<void>(resolve => {
    followed.client = new CatalogClient({
      socketPath,
      log: silent,
      onEvent: event => {
        followed.events?.push(event);
        if (event.type === "ping") resolve();
        return event.type === "remove" && event.name === "one-too-many" ? "too many" : undefined;
      },
      onDown: reason => void followed.downs?.push(reason),
    });
    followed.client.start();
  });
  followed.client?.stop();
  server.close();
  server.closeAllConnections();
  return followed as Followed;
}

const PING = '{"type":"ping"}\n';
const line = (event: CatalogEvent): string => `${JSON.stringify(event)}\n`;

t.test("events arrive however the bytes are cut", async t => {
  const first = snapshot(service("frontend", "shop", "10.96.0.1"));
  const text = line(first) + line({ type: "remove", namespace: "shop", name: "frontend" }) + PING;
  const { events, downs } = await follow(t, [
    response => {
      const cut = (at: number): void => {
        response.write(text.slice(at, at + 50));
        if (at + 50 < text.length) setImmediate(() => cut(at + 50));
      };
      cut(0);
    },
  ]);
  t.strictSame(events, [first, { type: "remove", namespace: "shop", name: "frontend" }, { type: "ping" }]);
  t.strictSame(downs, []);
});

t.test("a stream that its reader objects to is ended, and opened again", async t => {
  const { events, downs } = await follow(t, [
    response => {
      const objectionable = line({ type: "remove", namespace: "shop", name: "one-too-many" });
      response.write(line(snapshot()) + objectionable + line(snapshot()));
    },
    response => response.write(PING),
  ]);
  t.strictSame(
    events.map(({ type }) => type),
    ["snapshot", "remove", "ping"],
    "nothing after the objection",
  );
  t.strictSame(downs, ["too many"]);
});

t.test("as many services as there may be, also one by one", async t => {
  const catalog = new Catalog();
  const services = Array.from({ length: SERVICES_MAX }, (_, i) => service(`s${i}`, "shop", "10.96.0.1"));
  const next = { type: "upsert" as const, service: service("next", "shop", "10.96.0.2") };
  catalog.apply({ type: "snapshot", services: services.slice(1) });
  t.notOk(isTooMany(next, catalog));
  catalog.apply(next);
  t.notOk(isTooMany(next, catalog), "a change of one that is known");
  t.ok(isTooMany({ type: "upsert", service: service("more", "shop", "10.96.0.3") }, catalog));
});

t.test("a stream that ends is opened again", async t => {
  const { events, downs } = await follow(t, [
    response => response.end(line(snapshot())),
    response => response.writeHead(503).end(),
    response => response.write(line(snapshot()) + PING),
  ]);
  t.strictSame(
    events.map(({ type }) => type),
    ["snapshot", "snapshot", "ping"],
  );
  t.strictSame(downs, ["the agent ended the catalog stream", "the agent answered 503"]);
});

t.test("an agent that talks nonsense is left, and nothing after the nonsense is believed", async t => {
  const { events, downs } = await follow(t, [
    response => response.end(`{"type":"upsert","service":{}}\n${line(snapshot())}`),
    response => response.write(PING),
  ]);
  t.strictSame(
    events.map(({ type }) => type),
    ["ping"],
  );
  t.strictSame(downs, ["the agent sent something that is no catalog event"]);
});

t.test("what is no event", async t => {
  const good = service("frontend", "shop", "10.96.0.1");
  const { type, ...head } = snapshot(good) as Extract<CatalogEvent, { type: "snapshot" }>;
  t.ok(parseCatalogEvent(JSON.stringify({ type, ...head })));
  const bad: [string, unknown][] = [
    ["no object", 7],
    ["null", null],
    ["unknown type", { type: "reboot" }],
    ["a name with a newline", { type: "upsert", service: { ...good, name: "a\n1.2.3.4 bank" } }],
    ["a name with a dot", { type: "upsert", service: { ...good, name: "www.bank" } }],
    ["a target that is no address", { type: "upsert", service: { ...good, targets: ["localhost"] } }],
    ["a port out of range", { type: "upsert", service: { ...good, ports: [{ protocol: "tcp", port: 0 }] } }],
    ["a zone that is none", { type, ...head, zone: "cluster.local\n# /CODEZERO" }],
    ["a teamspace that steers terminals", { type, ...head, teamspace: "\u001b[2J" }],
    ["a list that is none", { type, ...head, services: {} }],
    ["one bad service among good ones", { type, ...head, services: [good, {}] }],
    ["removing what cannot be", { type: "remove", namespace: "shop", name: "*" }],
  ];
  for (const [what, value] of bad) t.equal(parseCatalogEvent(JSON.stringify(value)), null, what);
  t.equal(parseCatalogEvent("{"), null, "no JSON");
});
