import { connect, type Socket } from "node:net";
import { join } from "node:path";
import t from "tap";
import { CatalogView } from "../../src/agent/catalog-view.js";
import { ControlApi } from "../../src/agent/control-api.js";
import type { CatalogEvent } from "../../src/api/index.js";
import type { Service } from "../../src/catalog/index.js";
import { memoryLogger, temporaryDirectory, until } from "./harness.js";

const teamspace = { zone: "cluster.local", teamspace: "team", agentVersion: "1.2.3" };

function service(name: string, port: number = 80): Service {
  return {
    namespace: "shop",
    name,
    kind: "cluster",
    ports: [{ protocol: "tcp", port }],
    targets: ["10.96.0.1"],
    endpoints: [],
  };
}

const view = (...services: Service[]): CatalogView => new CatalogView(teamspace, services);

type Tap = Parameters<typeof temporaryDirectory>[0];

interface Fixture {
  api: ControlApi;
  socketPath: string;
  views: Map<string, CatalogView>;
  /** Connects as the data plane does for a device. */
  open(peer: string, request?: string): Connection;
  /** As `open`, but reads nothing until resumed; resolves when the agent has begun to answer. */
  openSleeping(peer: string): Promise<Connection>;
}

async function fixture(t: Tap, times = { pingMs: 60_000, stallMs: 60_000 }): Promise<Fixture> {
  const socketPath = join(temporaryDirectory(t), "control.sock");
  const views = new Map<string, CatalogView>();
  let asked = 0;
  const viewOf = (peer: string): CatalogView | null => {
    asked++;
    return views.get(peer) ?? null;
  };
  const api = await ControlApi.listen({ socketPath, log: memoryLogger(), viewOf, times });
  t.teardown(() => void api.close());
  const open = (peer: string, request: string = CATALOG_REQUEST): Connection =>
    new Connection(socketPath, `{"peer":"${peer}"}\n${request}`);
  const openSleeping = async (peer: string): Promise<Connection> => {
    const before = asked;
    const connection = open(peer);
    connection.socket.pause();
    // Once to let it in, once for the snapshot.
    await until("the snapshot to be on its way", () => (asked >= before + 2 ? true : undefined));
    return connection;
  };
  return { api, socketPath, views, open, openSleeping };
}

const CATALOG_REQUEST = "GET /v1/catalog HTTP/1.1\r\nHost: agent\r\n\r\n";

class Connection {
  readonly socket: Socket;
  text = "";
  closed = false;

  constructor(socketPath: string, opening: string) {
    this.socket = connect(socketPath);
    this.socket.setEncoding("utf8");
    this.socket.on("data", (chunk: string) => {
      this.text += chunk;
    });
    this.socket.on("error", () => {});
    this.socket.on("close", () => {
      this.closed = true;
    });
    this.socket.write(opening);
  }

  /** Events so far. Chunk sizes stand on lines of their own and are not JSON objects. */
  get events(): CatalogEvent[] {
    const lines = this.text.split("\n").filter(line => line.startsWith("{"));
    return lines.map(line => JSON.parse(line));
  }

  async event(index: number): Promise<CatalogEvent> {
    return until(`event ${index}`, () => this.events[index]);
  }

  async end(): Promise<void> {
    await until("the end of the connection", () => (this.closed ? true : undefined));
  }
}

t.test("draining is told, and told again to whoever stays", async t => {
  const { api, views, open } = await fixture(t);
  views.set("ann", view(service("web")));
  const ann = open("ann");
  await ann.event(0);
  t.equal(api.listeners, 1);
  api.drain();
  t.strictSame(await ann.event(1), { type: "draining" });
  t.strictSame(await ann.event(2), { type: "draining" });
  ann.socket.destroy();
  await until("nobody listens", () => (api.listeners === 0 ? true : undefined));
});

t.test("a snapshot, then the changes", async t => {
  const { api, views, open } = await fixture(t);
  views.set("ann", view(service("web"), service("db")));
  const ann = open("ann");
  t.strictSame(await ann.event(0), {
    type: "snapshot",
    ...teamspace,
    services: [service("web"), service("db")],
  });
  t.match(ann.text, /^HTTP\/1\.1 200 OK\r\n/);
  t.match(ann.text, /content-type: application\/x-ndjson/i);

  views.set("ann", view(service("web", 8080), service("cache")));
  api.sync();
  t.strictSame(await ann.event(1), { type: "remove", namespace: "shop", name: "db" });
  t.strictSame(await ann.event(2), { type: "upsert", service: service("web", 8080) });
  t.strictSame(await ann.event(3), { type: "upsert", service: service("cache") });

  api.sync();
  views.set("ann", view(service("web", 8080), service("cache")));
  api.sync();
  views.set("ann", view(service("cache")));
  api.sync();
  t.strictSame(await ann.event(4), { type: "remove", namespace: "shop", name: "web" }, "nothing in between");
  ann.socket.destroy();
});

t.test("each device sees its own", async t => {
  const { api, views, open } = await fixture(t);
  const shared = view(service("web"));
  views.set("ann", shared).set("bob", shared).set("cid", view());
  const [ann, bob, cid] = ["ann", "bob", "cid"].map(name => open(name)) as [
    Connection,
    Connection,
    Connection,
  ];
  t.match(await cid.event(0), { services: [] });
  for (const device of [ann, bob]) t.match(await device.event(0), { services: [{ name: "web" }] });
  const next = view(service("web"), service("db"));
  views.set("ann", next).set("bob", next);
  api.sync();
  for (const device of [ann, bob])
    t.match(await device.event(1), { type: "upsert", service: { name: "db" } });
  t.equal(cid.events.length, 1);
  for (const device of [ann, bob, cid]) device.socket.destroy();
});

t.test("a ping after silence", async t => {
  const { views, open } = await fixture(t, { pingMs: 10, stallMs: 60_000 });
  views.set("ann", view());
  const ann = open("ann");
  for (const index of [1, 2]) t.strictSame(await ann.event(index), { type: "ping" });
  ann.socket.destroy();
});

t.test("the stream of a revoked device ends, and others go on", async t => {
  const { api, views, open } = await fixture(t);
  views.set("ann", view()).set("bob", view());
  const [ann, bob] = [open("ann"), open("bob")];
  await Promise.all([ann.event(0), bob.event(0)]);
  views.delete("ann");
  api.sync();
  await ann.end();
  t.notOk(bob.closed);
  const again = open("ann");
  await again.end();
  t.equal(again.text, "", "and it gets no further");
  bob.socket.destroy();
});

t.test("the preamble may come in pieces, and the request with it", async t => {
  const { socketPath, views } = await fixture(t);
  views.set("ann", view());
  const ann = new Connection(socketPath, '{"pe');
  ann.socket.write('er":"ann"}');
  await until("the pieces to be written", () => (ann.socket.bytesWritten > 10 ? true : undefined));
  ann.socket.write(`\n${CATALOG_REQUEST.slice(0, 9)}`);
  ann.socket.write(CATALOG_REQUEST.slice(9));
  t.match(await ann.event(0), { type: "snapshot" });
  ann.socket.destroy();
});

t.test("a bad preamble is the end", async t => {
  const { socketPath, views } = await fixture(t);
  views.set("ann", view());
  for (const opening of [
    CATALOG_REQUEST,
    "\n",
    "{}\n",
    '{"peer":7}\n',
    `{"peer":"bob"}\n${CATALOG_REQUEST}`,
    `{"peer":"ann","pad":"${"x".repeat(300)}"}\n${CATALOG_REQUEST}`,
    "x".repeat(300),
  ]) {
    const connection = new Connection(socketPath, opening);
    await connection.end();
    t.equal(connection.text, "", opening.slice(0, 20));
  }
});

t.test("other requests are refused", async t => {
  const { views, open } = await fixture(t);
  views.set("ann", view());
  for (const [request, status] of [
    ["GET / HTTP/1.1", 404],
    ["GET /v1/catalog/../x HTTP/1.1", 404],
    ["POST /v1/catalog HTTP/1.1", 405],
    ["nonsense", 400],
  ] as const) {
    const ann = open("ann", `${request}\r\nHost: agent\r\nConnection: close\r\n\r\n`);
    await ann.end();
    t.match(ann.text, new RegExp(`^HTTP/1\\.1 ${status} `), request);
  }
});

t.test("pipelining behind a stream ends it", async t => {
  const { views, open } = await fixture(t);
  views.set("ann", view());
  const ann = open("ann", CATALOG_REQUEST + CATALOG_REQUEST);
  await ann.end();
  t.ok(ann.closed);
});

t.test("a device has four connections; a fifth ends its oldest", async t => {
  const { views, open } = await fixture(t);
  views.set("ann", view());
  const connections: Connection[] = [];
  for (let i = 0; i < 5; i++) {
    const connection = open("ann");
    await connection.event(0);
    connections.push(connection);
  }
  await connections[0]?.end();
  t.strictSame(
    connections.map(connection => connection.closed),
    [true, false, false, false, false],
  );
  for (const connection of connections) connection.socket.destroy();
});

/** Larger than what a Unix socket buffers. */
const large = Array.from({ length: 6_000 }, (_, i) => service(`service-${i}`));

t.test("a device that does not read is cut off", async t => {
  const { views, openSleeping } = await fixture(t, { pingMs: 60_000, stallMs: 20 });
  views.set("ann", view(...large));
  const ann = await openSleeping("ann");
  // One that does not read learns of the end when it writes. Empty lines between requests mean nothing.
  await until("the end", () => {
    ann.socket.write("\r\n");
    return ann.closed ? true : undefined;
  });
  t.equal(ann.text, "");
});

t.test("a slow device skips what it missed", async t => {
  const { api, views, openSleeping } = await fixture(t);
  views.set("ann", view(...large));
  const ann = await openSleeping("ann");
  for (let round = 1; round <= 50; round++) {
    views.set("ann", view(...large, service("busy", round)));
    api.sync();
  }
  ann.socket.resume();
  await until("the last change", () => (ann.text.includes('"busy"') ? true : undefined));
  await ann.event(1);
  t.match(ann.events[1], { type: "upsert", service: { name: "busy", ports: [{ port: 50 }] } });
  t.equal(ann.events.length, 2);
  ann.socket.destroy();
});
