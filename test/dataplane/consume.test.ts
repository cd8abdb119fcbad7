import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { Address } from "../../src/base/index.js";
import type { UdpReceiver } from "../../src/netstack/index.js";
import { APPLICATION, DIAL_LIMIT_MS, DNS, VIRTUAL, World } from "./world.js";

/** A server on loopback and its port; closed with the test. */
async function listen(t: Test, onConnection: (socket: Socket) => void, path?: string): Promise<number> {
  const sockets = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true }, socket => {
    sockets.add(socket);
    socket.on("error", () => {});
    onConnection(socket);
  });
  if (path === undefined) server.listen(0, "127.0.0.1");
  else server.listen(path);
  await once(server, "listening");
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return path === undefined ? (server.address() as AddressInfo).port : 0;
}

/** A port of loopback that nobody listens on. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

t.test("bytes cross both ways, and each half closes on its own", async t => {
  const world = new World();
  let heard = "";
  const port = await listen(t, socket => {
    socket.on("data", chunk => {
      heard += chunk;
    });
    // Answers only after the client's FIN: a splice that turns half a close into a whole one fails here.
    socket.on("end", () => socket.end(`you said ${heard}`));
  });
  world.expose([{ port: 80, to: [port] }]);
  const app = world.connect(VIRTUAL, 80);
  await world.until("connected", () => app.connected);
  app.write("hello");
  app.sent.finish();
  let answer = "";
  await world.until("the answer", () => {
    answer += app.read();
    return app.received.finished && app.received.length === 0;
  });
  t.equal(answer, "you said hello");
  await world.until("everything closed", () => world.open === 0);
  t.equal(app.closed, "closed");
  t.same(world.laptop.flows(0), []);
  t.same(world.agent.flows(0), []);
  t.equal(world.context.pool.usedBytes, 0, "no ring memory is left");
});

t.test("megabytes arrive whole through small windows", async t => {
  const world = new World();
  const size = 5_000_000;
  const port = await listen(t, socket => {
    socket.end(Buffer.alloc(size, "0123456789"));
  });
  world.expose([{ port: 80, to: [port] }]);
  const app = world.connect(VIRTUAL, 80);
  let text = "";
  await world.until("the end", () => {
    // Reads in fits, so that windows close and open.
    if (app.received.length > 100_000 || app.received.finished) text += app.read();
    return app.received.finished && app.received.length === 0;
  });
  t.equal(text.length, size);
  t.ok(text === "0123456789".repeat(size / 10), "every byte in its place");
});

t.test("connect tells the truth", async t => {
  const world = new World();
  world.expose([
    { port: 80, to: [await closedPort()] },
    { port: 82, to: [] },
  ]);
  const refused = world.connect(VIRTUAL, 80);
  const noEndpoints = world.connect(VIRTUAL, 82);
  const noSuchPort = world.connect(VIRTUAL, 81);
  const noSuchAddress = world.connect(Address.from("198.18.0.99"), 80);
  await world.until("answers", () =>
    [refused, noEndpoints, noSuchPort, noSuchAddress].every(app => app.closed !== null),
  );
  t.equal(refused.closed, "refused", "the Service refuses");
  t.equal(noEndpoints.closed, "refused", "nobody behind the Service");
  t.equal(noSuchPort.closed, "refused", "not a port of the Service");
  t.equal(noSuchAddress.closed, "refused", "no Service at all");
  t.notOk(
    [refused, noSuchPort, noSuchAddress].some(app => app.connected),
    "none was accepted first",
  );
});

t.test("a tunnel that is down is said at once, whatever the routes say", async t => {
  const world = new World();
  world.expose([{ port: 80, to: [1] }]);
  world.laptop.tunnelDown = true;
  const app = world.connect(VIRTUAL, 80);
  await world.until("the answer", () => app.closed !== null);
  t.equal(app.closed, "unreachable");
});

/** A port of loopback whose SYNs are dropped: the process behind it is stopped and its backlog is full. */
async function silentPort(t: Test): Promise<number> {
  const script = `require("node:net").createServer().listen({ host: "127.0.0.1", port: 0, backlog: 1 }, function () {
    process.stdout.write(String(this.address().port)); });`;
  const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  t.teardown(() => child.kill("SIGKILL"));
  const [text] = await once(child.stdout, "data");
  child.kill("SIGSTOP");
  const port = Number(text);
  const fillers = Array.from({ length: 4 }, () => connect(port, "127.0.0.1").on("error", () => {}));
  t.teardown(() => fillers.map(filler => filler.destroy()));
  await Promise.all(fillers.slice(0, 2).map(filler => once(filler, "connect")));
  return port;
}

t.test("an endpoint that answers nothing is left for the next one when its time is over", async t => {
  const world = new World();
  const port = await listen(t, socket => socket.end("ok"));
  world.expose([{ port: 80, to: [await silentPort(t), port] }]);
  const startedAt = performance.now();
  const app = world.connect(VIRTUAL, 80);
  await world.until("the answer", () => app.received.finished);
  t.equal(app.read(), "ok");
  t.ok(performance.now() - startedAt >= DIAL_LIMIT_MS, "the first was given its time");
  app.sent.finish();
  await world.until("everything closed", () => world.open === 0);
});

t.test("a few that refuse are enough: the Service refuses", async t => {
  const world = new World();
  let served = 0;
  const last = await listen(t, socket => {
    served++;
    socket.end("ok");
  });
  const closed = await closedPort();
  world.expose([{ port: 80, to: [closed, closed, closed, closed, last] }]);
  const app = world.connect(VIRTUAL, 80);
  await world.until("the answer", () => app.closed !== null);
  t.equal(app.closed, "refused");
  t.equal(served, 0);
});

t.test("a dead replica is skipped, and the others take turns", async t => {
  const world = new World();
  const served = [0, 0];
  const serve = (index: 0 | 1) =>
    listen(t, socket => {
      served[index] = (served[index] as number) + 1;
      socket.end("ok");
    });
  world.expose([{ port: 80, to: [await serve(0), await closedPort(), await serve(1)] }]);
  for (let i = 0; i < 30; i++) {
    const app = world.connect(VIRTUAL, 80);
    await world.until(`connection ${i}`, () => app.received.finished);
    t.equal(app.read(), "ok");
    app.sent.finish();
  }
  t.equal((served[0] as number) + (served[1] as number), 30);
  t.ok(Math.min(...served) >= 10, `${served}: the dead one's share goes to its successor`);
});

t.test("a reset crosses in both directions", async t => {
  const world = new World();
  const accepted: Socket[] = [];
  const ends: string[] = [];
  const port = await listen(t, socket => {
    accepted.push(socket);
    socket.on("error", error => ends.push((error as NodeJS.ErrnoException).code ?? ""));
    socket.write("x");
  });
  world.expose([{ port: 80, to: [port] }]);
  const first = world.connect(VIRTUAL, 80);
  await world.until("a byte", () => first.received.length > 0);
  (accepted[0] as Socket).resetAndDestroy();
  await world.until("the application's reset", () => first.closed !== null);
  t.equal(first.closed, "reset");

  const second = world.connect(VIRTUAL, 80);
  await world.until("a byte", () => second.received.length > 0);
  second.connection.abort();
  await world.until("the service's reset", () => ends.length > 0);
  t.same(ends, ["ECONNRESET"]);
  t.equal(world.open, 0);
});

t.test("the application gives up before the answer: nothing is left behind", async t => {
  const world = new World();
  world.expose([{ port: 80, to: [1] }]);
  // The far side never answers: its device is unknown to the agent.
  world.laptop.agent = Object.assign(Object.create(world.laptop.agent), { reserve: () => -1 });
  const app = world.connect(VIRTUAL, 80);
  await world.until("the splice", () => world.laptop.flows(0).length === 1);
  t.equal(world.laptop.flows(0)[0]?.state, "CONNECTING");
  app.connection.abort();
  // A reset before the handshake: the stack answers the next SYN of nobody.
  world.laptop.setRoutes([]);
  await world.until("no flow", () => world.laptop.flows(0).length === 0);
  t.pass();
});

t.test("what rules or grants no longer allow is reset at once", async t => {
  const world = new World();
  const port = await listen(t, socket => socket.write("x"));
  world.expose([{ port: 80, to: [port] }]);
  const byRule = world.connect(VIRTUAL, 80);
  await world.until("a byte", () => byRule.received.length > 0);
  world.laptop.setRoutes([]);
  await world.until("reset by the laptop", () => byRule.closed !== null);
  t.equal(byRule.closed, "reset");

  world.expose([{ port: 80, to: [port] }]);
  const byGrant = world.connect(VIRTUAL, 80);
  await world.until("a byte", () => byGrant.received.length > 0);
  t.match(world.agent.flows(0), [{ name: "web.shop", peer: "laptop", state: "ESTABLISHED" }]);
  world.agent.setDevice(world.tunnelEnd, { name: "laptop", publicKey: "KEY", grant: "" });
  await world.until("reset by the agent", () => byGrant.closed !== null);
  t.equal(byGrant.closed, "reset");
  const late = world.connect(VIRTUAL, 80);
  await world.until("refused", () => late.closed !== null);
  t.equal(late.closed, "refused");
  t.match(world.told, [
    {
      type: "denied",
      peer: "KEY",
      name: "web.shop",
      protocol: "tcp",
      destination: "10.96.0.7:80",
      omitted: 0,
    },
  ]);
});

t.test(
  "a port that the policy denies is asked for all the same: both ends tell, the agent decides",
  async t => {
    const world = new World();
    const port = await listen(t, socket => socket.end("x"));
    world.expose([{ port: 80, to: [port] }]);
    const ports = [{ protocol: "tcp" as const, port: 80, denied: true as const }];
    world.laptop.setRoutes([{ virtual: VIRTUAL.toString(), target: "10.96.0.7", name: "web.shop", ports }]);
    const grant = (name: string): void =>
      world.agent.setDevice(world.tunnelEnd, { name: "laptop", publicKey: "KEY", grant: name });
    const outcome = async (): Promise<string> => {
      const app = world.connect(VIRTUAL, 80);
      await world.until("an answer", () => app.connected || app.closed !== null);
      return app.connected ? "connected" : `${app.closed}`;
    };
    grant("");
    t.equal(await outcome(), "refused");
    t.match(world.told, [
      { type: "denied", name: "web.shop", destination: `${VIRTUAL}:80` },
      { type: "denied", name: "web.shop", destination: "10.96.0.7:80", peer: "KEY" },
    ]);
    for (let i = 0; i < 20; i++) t.equal(await outcome(), "refused");
    t.equal(world.told.length, 2, "told once");
    t.match(world.agent.denials, { notAllowed: 21, noSuchService: 0 }, "and counted each time");
    grant("all");
    t.equal(await outcome(), "connected", "granted since: the laptop's table is late, and does not matter");
  },
);

t.test("attempts at nothing that could be granted are another reason", async t => {
  const world = new World();
  world.expose([{ port: 80, to: [1] }]);
  world.laptop.setRoutes([
    {
      virtual: VIRTUAL.toString(),
      target: "10.96.0.99",
      name: "gone.shop",
      ports: [{ protocol: "tcp", port: 80 }],
    },
  ]);
  for (let i = 0; i < 30; i++) {
    const app = world.connect(VIRTUAL, 80);
    await world.until("refused", () => app.closed !== null);
  }
  t.match(world.agent.denials, { notAllowed: 0, noSuchService: 30 });
  t.ok(world.told.length <= 11, "a scan fills no log");
  t.notOk((world.told[0] as { name?: string }).name);
});

t.test("what the machine forwards for a neighbour is not carried", async t => {
  const world = new World();
  const port = await listen(t, socket => socket.end("secret"));
  world.expose([{ port: 80, to: [port] }]);
  const neighbour = world.connect(VIRTUAL, 80, Address.from("192.168.1.66"));
  await world.until("the answer", () => neighbour.closed !== null);
  t.equal(neighbour.closed, "prohibited");
});

t.test("a stream that found the pool empty goes on when there is memory again", async t => {
  const world = new World();
  const port = await listen(t, socket => socket.end("at last"));
  world.expose([{ port: 80, to: [port] }]);
  const app = world.connect(VIRTUAL, 80);
  await world.until("connected", () => app.connected);
  const { pool } = world.context;
  const taken: number[] = [];
  for (let at = pool.allocate(4096); at !== -1; at = pool.allocate(4096)) taken.push(at);
  const probe = world.connect(VIRTUAL, 80);
  await world.until("another connection without memory", () => probe.connected);
  for (let turn = 0; turn < 20; turn++) world.context.loop.turn(1);
  t.equal(probe.received.length, 0, "nothing could be read");
  for (const at of taken) pool.release(at);
  await world.until("the bytes", () => probe.received.finished);
  t.equal(probe.read(), "at last");
});

t.test("DNS over TCP goes to the responder's own port", async t => {
  const port = await listen(t, socket => socket.end("resolved"));
  const world = new World({ dnsPorts: { udp: 0, tcp: port } });
  const app = world.connect(DNS, 53);
  await world.until("the answer", () => app.received.finished);
  t.equal(app.read(), "resolved");
});

t.test("the control API learns first who is calling", async t => {
  const directory = mkdtempSync(join(tmpdir(), "czctl-test-"));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "control.sock");
  let heard = "";
  await listen(
    t,
    socket => {
      socket.on("data", chunk => {
        heard += chunk;
      });
    },
    path,
  );
  const world = new World({ control: { port: 4646, path } });
  world.laptop.setRoutes([
    {
      virtual: VIRTUAL.toString(),
      target: "100.126.0.1",
      name: "control",
      ports: [{ protocol: "tcp", port: 4646 }],
    },
  ]);
  const app = world.connect(VIRTUAL, 4646);
  await world.until("connected", () => app.connected);
  app.write("GET /");
  await world.until("the request", () => heard.endsWith("GET /"));
  t.equal(heard, '{"peer":"KEY"}\nGET /');
});

t.test("UDP: there and back, and refused", async t => {
  const echo = createSocket("udp4");
  echo.on("message", (message, from) => echo.send(`echo ${message}`, from.port, from.address));
  echo.bind(0, "127.0.0.1");
  await once(echo, "listening");
  t.teardown(() => echo.close());
  const { port } = echo.address();
  const world = new World();
  world.expose(
    [
      { port: 5000, to: [port] },
      { port: 5001, to: [await closedPort()] },
    ],
    "udp",
  );
  const { arena, scratchDatagram, loop } = world.context;
  const open = (address: Address, remotePort: number) => {
    const heard: string[] = [];
    const receiver: UdpReceiver = {
      onUdpData: (offset, length) => heard.push(Buffer.from(arena.buffer, offset, length).toString()),
      onUdpUnreachable: why => heard.push(`unreachable: ${why}`),
      onUdpClosed: () => heard.push("closed"),
    };
    const flow = world.application.openUdp(world.applicationLink, APPLICATION, address, remotePort, loop.now);
    flow.receiver = receiver;
    const send = (text: string) => {
      arena.u8.set(Buffer.from(text), scratchDatagram);
      flow.send(scratchDatagram, text.length, loop.now);
    };
    return { heard, send };
  };
  const service = open(VIRTUAL, 5000);
  service.send("one");
  await world.until("an echo", () => service.heard.length === 1);
  service.send("two");
  await world.until("another", () => service.heard.length === 2);
  t.same(service.heard, ["echo one", "echo two"]);

  const nobody = open(VIRTUAL, 5001);
  nobody.send("anyone?");
  await world.until("port unreachable", () => nobody.heard.length > 0);
  t.equal(nobody.heard[0], "unreachable: port", "the kernel's refusal comes all the way back");

  const notConsumed = open(VIRTUAL, 9);
  notConsumed.send("anyone?");
  await world.until("port unreachable", () => notConsumed.heard.length > 0);
  t.equal(notConsumed.heard[0], "unreachable: port");

  t.same(world.agent.counts(), { tcp: 0, udp: 1 }, "what was refused is forgotten on both sides");
  t.same(world.laptop.counts(), { tcp: 0, udp: 1 });

  world.laptop.setRoutes([]);
  await world.until("the open flow is refused too", () => service.heard.length === 3);
  t.equal(service.heard[2], "unreachable: port");
  world.agent.setDevice(world.tunnelEnd, { name: "laptop", publicKey: "KEY", grant: "" });
  await world.until("and the agent's", () => world.agent.counts().udp === 0);
});
