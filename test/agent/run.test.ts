import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { agentInit, agentInvite, agentPeers, agentRevoke, agentRun } from "../../src/agent/index.js";
import type { ToDataplane } from "../../src/api/index.js";
import { parseCredential } from "../../src/catalog/index.js";
import { type MemoryLogger, memoryLogger, temporaryDirectory, until } from "./harness.js";

const dataplaneEntry = fileURLToPath(new URL("./fake-dataplane.js", import.meta.url));
const CATALOG = "namespaces:\n  shop:\n    web: { clusterIP: 10.96.0.1, ports: [80] }\n";

type Message<T extends ToDataplane["type"]> = Extract<ToDataplane, { type: T }>;
type Tap = Parameters<typeof temporaryDirectory>[0];

class Running {
  readonly dir: string;
  readonly catalog: string;
  readonly log: MemoryLogger = memoryLogger();
  readonly #told: string;
  readonly #abort = new AbortController();
  ended: Promise<void> = Promise.resolve();
  drainMs = 0;

  constructor(t: Tap, subdirectory = "agent") {
    const base = temporaryDirectory(t);
    this.dir = join(base, subdirectory);
    this.catalog = join(base, "services.yaml");
    this.#told = join(base, "told");
    writeFileSync(this.catalog, CATALOG);
    writeFileSync(this.#told, "");
    t.teardown(() => this.stop().catch(() => {}));
  }

  async start(): Promise<void> {
    process.env.FAKE_DATAPLANE_LOG = this.#told;
    const { dir, catalog, log } = this;
    const { drainMs } = this;
    this.ended = agentRun({ dir, catalog, log, signal: this.#abort.signal, dataplaneEntry, drainMs });
    let over = false;
    const end = (): void => {
      over = true;
    };
    this.ended.then(end, end);
    await until("the start", () =>
      over || this.log.lines.some(line => line.message === "agent runs") ? true : undefined,
    );
    if (over) await this.ended;
  }

  stop(): Promise<void> {
    this.#abort.abort();
    return this.ended;
  }

  /** What the data planes were told so far. */
  told<T extends ToDataplane["type"]>(type: T): Message<T>[] {
    const lines = readFileSync(this.#told, "utf8")
      .split("\n")
      .filter(line => line !== "");
    return lines
      .map(line => JSON.parse(line) as ToDataplane)
      .filter(message => message.type === type) as Message<T>[];
  }

  nextTold<T extends ToDataplane["type"]>(type: T, index: number): Promise<Message<T>> {
    return until(`${type} ${index}`, () => this.told(type)[index]);
  }

  line(message: string | RegExp, index: number = 0): Promise<MemoryLogger["lines"][number]> {
    const fits = (text: string) => (typeof message === "string" ? text === message : message.test(text));
    return until(`the line ${message}`, () => this.log.lines.filter(line => fits(line.message))[index]);
  }

  async control(publicKey: string): Promise<{ socket: Socket; text(): string }> {
    const path = this.told("start")[0]?.control?.socketPath as string;
    const socket = connect(path);
    let text = "";
    socket.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
    socket.on("error", () => {});
    socket.write(`{"peer":"${publicKey}"}\nGET /v1/catalog HTTP/1.1\r\nHost: agent\r\n\r\n`);
    await until("a snapshot", () => (text.includes('"snapshot"') ? true : undefined));
    return { socket, text: () => text };
  }
}

async function running(t: Tap, subdirectory?: string): Promise<Running> {
  const agent = new Running(t, subdirectory);
  await agentInit({ dir: agent.dir, endpoint: "192.0.2.7:51820" });
  return agent;
}

async function publicKeyOf(dir: string, name: string): Promise<string> {
  return (await agentPeers({ dir })).find(row => row.name === name)?.publicKey as string;
}

t.test("a data plane is started with everything it needs, and stopped", async t => {
  const agent = await running(t);
  const { credential } = await agentInvite({ dir: agent.dir, name: "ann", allow: ["shop/*"] });
  await agent.start();
  const [start] = agent.told("start");
  const { presharedKey, innerAddresses } = parseCredential(credential);
  t.match(start, {
    role: "agent",
    innerAddresses: ["100.126.0.1", /^fd/],
    mtu: 1420,
    listenPort: 51820,
    control: { remote: "100.126.0.1:4646" },
    peers: [
      {
        publicKey: await publicKeyOf(agent.dir, "ann"),
        presharedKey,
        allowedIps: [`${innerAddresses[0]}/32`, `${innerAddresses[1]}/128`],
        name: "ann",
        grant: "*.shop",
      },
    ],
  });
  const targets = await agent.nextTold("targets", 0);
  t.match(targets, {
    targets: [{ address: "10.96.0.1", port: 80, name: "web.shop" }],
    grants: { "*.shop": [0] },
  });
  await agent.stop();
  t.equal(agent.told("stop").length, 1);
  t.strictSame(
    readdirSync(agent.dir).sort(),
    ["agent.json", "agent.lock", "peers.json", "peers.lock"],
    "no socket left",
  );
  t.notOk(JSON.stringify(agent.log.lines).includes(presharedKey));
});

t.test("a second run is refused; after the first has ended it is not", async t => {
  const agent = await running(t);
  await agent.start();
  const { dir, log } = agent;
  const again = agentRun({ dir, log, signal: new AbortController().signal, dataplaneEntry });
  await t.rejects(again, {
    code: "AGENT_RUNNING",
    category: "user",
    message: new RegExp(`pid ${process.pid}`),
  });
  t.ok((await agentPeers({ dir })) && existsSync(join(dir, "admin.sock")), "and harms nothing");
  await agent.stop();
  const next = new AbortController();
  const ended = agentRun({ dir, log, signal: next.signal, dataplaneEntry });
  await agent.line("agent runs", 1);
  next.abort();
  await ended;
});

t.test("invite and revoke reach the running agent before they return", async t => {
  const agent = await running(t);
  await agent.start();
  const { dir } = agent;
  t.match(await agentInvite({ dir, name: "ann" }), { live: true });
  t.match(await agentInvite({ dir, name: "bob" }), { live: true });
  const [ann, bob] = [await publicKeyOf(dir, "ann"), await publicKeyOf(dir, "bob")];
  t.strictSame(
    agent.told("peers").map(message => message.set?.map(peer => peer.publicKey)),
    [[ann], [bob]],
  );
  const [annStream, bobStream] = [await agent.control(ann), await agent.control(bob)];
  t.strictSame(await agentRevoke({ dir, name: "ann" }), { name: "ann", live: true });
  t.match(agent.told("peers").at(-1), { set: [{ publicKey: ann, grant: "" }] }, "no access from now on");
  t.strictSame(await agent.nextTold("peers", 3), { type: "peers", remove: [ann] });
  t.match(annStream.text(), /\{"type":"revoked"\}/);
  await until("the end of the stream", () => (annStream.socket.closed ? true : undefined));
  t.notOk(bobStream.socket.closed);
  t.match(await agentPeers({ dir }), [
    { name: "bob", live: { endpoint: "192.0.2.1:1000", lastHandshakeAt: 1234, rxBytes: 5, txBytes: 6 } },
  ]);
  bobStream.socket.destroy();
});

t.test("a new kind of grant is told before the device that has it", async t => {
  const agent = await running(t);
  await agent.start();
  await agentInvite({ dir: agent.dir, name: "ann", allow: ["data/*"] });
  t.strictSame(agent.told("targets").at(-1)?.grants, { "*.data": [] });
  t.strictSame(agent.told("targets").length, 2);
  await agentInvite({ dir: agent.dir, name: "bob", allow: ["*.data"] });
  t.strictSame(agent.told("targets").length, 2, "the same rules are the same grant");
});

t.test("a changed peers.json is taken up without being told", async t => {
  const agent = await running(t);
  await agentInvite({ dir: agent.dir, name: "ann" });
  const ann = await publicKeyOf(agent.dir, "ann");
  await agent.start();
  writeFileSync(join(agent.dir, "peers.json"), '{"version":1,"pee');
  await agent.line(/peers\.json is damaged.*last good peers stand/);
  t.equal(agent.told("peers").length, 0);
  writeFileSync(join(agent.dir, "peers.json"), '{"version":1,"peers":[]}');
  t.match(await agent.nextTold("peers", 0), { set: [{ publicKey: ann, grant: "" }] });
  t.strictSame(await agent.nextTold("peers", 1), { type: "peers", remove: [ann] });
});

t.test("a new service is told to data plane and devices", async t => {
  const agent = await running(t);
  await agentInvite({ dir: agent.dir, name: "ann" });
  await agent.start();
  const { socket, text } = await agent.control(await publicKeyOf(agent.dir, "ann"));
  const before = performance.now();
  writeFileSync(agent.catalog, `${CATALOG}    db: { endpoints: [10.1.0.1], ports: [5432] }\n`);
  await until("the change", () => (text().includes('"upsert"') ? true : undefined));
  t.ok(performance.now() - before < 1_000, "within a second");
  // Told before the device, but by a process of its own that may write it down later.
  const targets = await until("the targets", () =>
    agent.told("targets").find(message => message.targets.length === 2),
  );
  t.strictSame(
    targets.targets.map(target => target.name),
    ["db.shop", "web.shop"],
  );
  t.strictSame(targets.grants, { "*": [0, 1] });
  socket.destroy();
});

t.test("a killed data plane is replaced by one that knows everything", async t => {
  const agent = await running(t);
  await agent.start();
  await agentInvite({ dir: agent.dir, name: "ann" });
  const { pid } = (await agent.line("data plane ready")).fields as { pid: number };
  process.kill(pid, "SIGKILL");
  t.match(await agent.line("data plane ended; starting it again"), {
    level: "error",
    fields: { why: "SIGKILL", delayMs: 0 },
  });
  // A command waits for the new one.
  t.match(await agentInvite({ dir: agent.dir, name: "bob" }), { live: true });
  t.equal(agent.told("start").length, 2);
  const known = [
    ...(agent.told("start")[1]?.peers ?? []),
    ...agent
      .told("peers")
      .slice(1)
      .flatMap(m => m.set ?? []),
  ];
  t.strictSame(new Set(known.map(peer => peer.name)), new Set(["ann", "bob"]));
  t.same(agent.told("targets").at(-1)?.grants, { "*": [0] });
});

t.test("one that keeps dying is restarted ever more slowly", async t => {
  const agent = await running(t);
  await agent.start();
  for (let death = 0; death < 3; death++) {
    const { pid } = (await agent.line("data plane ready", death)).fields as { pid: number };
    process.kill(pid, "SIGKILL");
  }
  await agent.line("data plane ready", 3);
  const ends = agent.log.lines.filter(line => line.message.startsWith("data plane ended"));
  t.strictSame(
    ends.map(line => line.fields.delayMs),
    [0, 100, 200],
  );
});

t.test("a start that fails says why", async t => {
  const agent = await running(t);
  process.env.FAKE_DATAPLANE_FAIL = "PORT_TAKEN";
  t.teardown(() => delete process.env.FAKE_DATAPLANE_FAIL);
  const expected = {
    code: "PORT_TAKEN",
    category: "environment",
    message: "port 51820 is taken",
    hint: "Use another.",
  };
  await t.rejects(agent.start(), expected);
  delete process.env.FAKE_DATAPLANE_FAIL;
  writeFileSync(agent.catalog, "namespaces: [");
  await t.rejects(agent.start(), { code: "CATALOG_INVALID" });
  writeFileSync(agent.catalog, CATALOG);
  await agent.start();
  t.pass("and leaves nothing that is in the way");
});

t.test("files that others can read are refused", async t => {
  const agent = await running(t);
  writeFileSync(join(agent.dir, "agent.json.bak"), "");
  const { chmodSync } = await import("node:fs");
  chmodSync(join(agent.dir, "agent.json"), 0o644);
  await t.rejects(agent.start(), { code: "AGENT_STATE_PERMISSIONS", category: "config", hint: /chmod/ });
});

t.test("a directory whose name is too long for a socket's", async t => {
  const agent = await running(t, "x".repeat(120));
  await agent.start();
  t.match(await agentInvite({ dir: agent.dir, name: "ann" }), { live: true });
  const path = agent.told("start")[0]?.control?.socketPath as string;
  t.ok(path.length < 108 && existsSync(path));
  await agent.stop();
  t.notOk(existsSync(path));
});

t.test("told to stop, it goes on while flows are open, but not for ever", async t => {
  for (const [drainMs, closes] of [
    [20_000, true],
    [300, false],
  ] as const) {
    const agent = await running(t);
    const flows = join(agent.dir, "flows");
    writeFileSync(flows, "2");
    process.env.FAKE_DATAPLANE_FLOWS = flows;
    t.teardown(() => delete process.env.FAKE_DATAPLANE_FLOWS);
    agent.drainMs = drainMs;
    await agent.start();
    const stopped = agent.stop();
    await agent.line("agent drains");
    // Still an agent: who is revoked now is cut off now.
    await agentInvite({ dir: agent.dir, name: "ann" });
    t.match(await agentRevoke({ dir: agent.dir, name: "ann" }), { live: true });
    t.notOk(agent.log.lines.some(line => line.message === "agent stops"));
    if (closes) writeFileSync(flows, "0");
    await stopped;
    t.ok(agent.log.lines.some(line => line.message === "agent stops"));
  }
});

t.test(
  "the only device of its grant is revoked while it listens: told once, and the agent lives on",
  async t => {
    const agent = await running(t);
    await agentInvite({ dir: agent.dir, name: "ann", allow: ["web.shop"] });
    await agent.start();
    const { text } = await agent.control(await publicKeyOf(agent.dir, "ann"));
    await until("the snapshot", () => (text().includes("snapshot") ? true : undefined));
    t.match(await agentRevoke({ dir: agent.dir, name: "ann" }), { live: true });
    await until("the news", () => (text().includes("revoked") ? true : undefined));
    t.equal(text().match(/"revoked"/g)?.length, 1);
  },
);

t.test(
  "a policy file that disappears opens nothing: the last policy stands until there is another",
  async t => {
    const agent = await running(t);
    await agentInvite({ dir: agent.dir, name: "ann", allow: [] });
    const path = join(agent.dir, "policy.yaml");
    writeFileSync(path, "grants: []\n");
    await agent.start();
    rmSync(path);
    await until("the complaint", () =>
      agent.log.lines.some(({ level, message }) => level === "error" && /policy.yaml is gone/.test(message))
        ? true
        : undefined,
    );
    writeFileSync(path, 'grants: [{ to: ["*"], allow: ["web.shop"] }]\n');
    const opened = await until("the new policy", () =>
      agent.told("targets").find(({ grants }) => Object.values(grants).some(indexes => indexes.length > 0)),
    );
    t.same(Object.keys(opened.grants), ["?web.shop"]);
  },
);
