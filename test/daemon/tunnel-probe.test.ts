/** The doctor's measurements, against the agent's real control API with nothing but a pipe in between. */
import { once } from "node:events";
import { createServer as createHttpServer, type Server as HttpServer } from "node:http";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import t, { type Test } from "tap";
import { CatalogView } from "../../src/agent/catalog-view.js";
import { ControlApi } from "../../src/agent/control-api.js";
import { PROBE_BYTES_MAX } from "../../src/api/index.js";
import { probeTunnel, type TunnelProbe } from "../../src/daemon/tunnel-probe.js";
import { memoryLogger, temporaryDirectory } from "../agent/harness.js";

async function listening(t: Test, server: Server | HttpServer): Promise<string> {
  const path = join(temporaryDirectory(t), "socket");
  await once(server.listen(path), "listening");
  t.teardown(() => void server.close());
  return path;
}

/** What the two data planes do: a connection here is one there, preceded by who it is. */
async function tunnel(t: Test): Promise<string> {
  const socketPath = join(temporaryDirectory(t), "control");
  const view = new CatalogView({ zone: "cluster.local", teamspace: "team", agentVersion: "1" }, []);
  const api = await ControlApi.listen({ socketPath, log: memoryLogger(), viewOf: () => view });
  t.teardown(() => void api.close());
  const near = createServer(socket => {
    const far = connect(socketPath);
    far.write('{"peer":"a"}\n');
    socket.pipe(far).pipe(socket);
    for (const each of [socket, far]) each.on("error", () => {});
    socket.on("close", () => far.destroy());
  });
  return listening(t, near);
}

t.test("round trips, and a download on request", async t => {
  const path = await tunnel(t);
  const quick = (await probeTunnel(path, false)) as TunnelProbe;
  t.equal(quick.roundTripsMs.length, 20);
  t.strictSame(
    quick.roundTripsMs,
    [...quick.roundTripsMs].sort((a, b) => a - b),
  );
  t.match(quick, { late: 0, throughput: null });
  const whole = (await probeTunnel(path, true)) as TunnelProbe;
  t.match(whole, { throughput: { bytes: PROBE_BYTES_MAX } });
});

t.test("the agent sends no more than it should", async t => {
  const path = await tunnel(t);
  for (const [request, status] of [
    ["GET /v1/probe/3", "200"],
    [`GET /v1/probe/${PROBE_BYTES_MAX + 1}`, "404"],
    ["GET /v1/probe/", "404"],
    ["GET /v1/probe/-1", "404"],
    ["GET /v1/probe/1e3", "404"],
    ["POST /v1/probe/3", "405"],
  ] as const) {
    const socket = connect(path);
    socket.write(`${request} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n`);
    const text = (await socket.toArray()).join("");
    t.ok(text.startsWith(`HTTP/1.1 ${status} `), `${request}: ${text.slice(0, 40)}`);
    if (status === "200") t.ok(text.endsWith("\r\n\r\n\0\0\0"), "three zeros");
  }
});

t.test("an agent that is older, gone, or silent in the middle", async t => {
  const old = await listening(
    t,
    createHttpServer((_, res) => res.writeHead(404).end()),
  );
  t.equal(await probeTunnel(old, false), null, "cannot be measured, which is no fault");
  const upset = await listening(
    t,
    createHttpServer((_, res) => res.writeHead(500).end()),
  );
  t.match(await probeTunnel(upset, false), { error: /answered 500/ });
  t.match(await probeTunnel(join(temporaryDirectory(t), "nobody"), false), { error: /ENOENT/ });
  let asked = 0;
  const mute = createHttpServer((_, res) => void (asked++ < 5 && res.writeHead(200).end()));
  t.match(await probeTunnel(await listening(t, mute), false), { error: /no answer through the tunnel/ });
});
