/**
 * `npm run demo`: a laptop, an internet and a cluster in namespaces of their own, czctl between them, and what
 * a user gets from it, a timed line each. With `--json` the last line is one JSON object.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Agent, Czctl } from "../test/lab/czctl.js";
import type { Host } from "../test/lab/host.js";
import { assert, assertEqual, missing } from "../test/lab/lab.js";
import type { Program } from "../test/lab/program.js";
import { inSandbox, type Sandbox } from "../test/lab/sandbox.js";
import { addClusterAddresses, LAPTOP_HOSTS, makeTopology, type Topology } from "../test/lab/topology.js";
import { Steps } from "./steps.js";

const SERVICE = fileURLToPath(new URL("service.js", import.meta.url));
const CLIENT = fileURLToPath(new URL("client.js", import.meta.url));
const CATALOG = fileURLToPath(new URL("../../demo/services.yaml", import.meta.url));

const FRONTEND = ["frontend", "frontend.shop", "frontend.shop.svc", "frontend.shop.svc.cluster.local"];
const REPLICAS = { "replica-1": "10.244.0.11", "replica-2": "10.244.0.12" } as const;
const DOWNLOAD_BYTES = 256 * 1024 * 1024;
const POLL_MS = 1_200;

async function act<T>(laptop: Host, ...args: string[]): Promise<T> {
  return JSON.parse(await laptop.run(process.execPath, [CLIENT, ...args], { timeoutMs: 30_000 })) as T;
}

async function startService(
  cluster: Host,
  kind: string,
  address: string,
  port: number,
  id = kind,
): Promise<Program> {
  const program = cluster.spawn(process.execPath, [SERVICE, kind, address, String(port), id]);
  await program.waitForLine(/^ready$/m);
  return program;
}

async function startServices(cluster: Host): Promise<Program> {
  await addClusterAddresses(cluster, [...Object.values(REPLICAS), "10.96.0.20", "10.96.0.21"]);
  const [first] = await Promise.all([
    startService(cluster, "http", REPLICAS["replica-1"], 8080, "replica-1"),
    startService(cluster, "http", REPLICAS["replica-2"], 8080, "replica-2"),
    startService(cluster, "tcp", "10.96.0.20", 7),
    startService(cluster, "udp", "10.96.0.21", 7),
  ]);
  return first;
}

async function replicaKilled(laptop: Host, replica: Program): Promise<string> {
  const poll = laptop.spawn(process.execPath, [CLIENT, "poll", `http://${FRONTEND[0]}/`, String(POLL_MS)]);
  await poll.waitForLine(/replica-1/);
  replica.kill("SIGKILL");
  const killedAt = Date.now();
  await poll.exited;
  const lines = poll.stdout.trim().split("\n").slice(0, -1);
  const requests = lines.map(
    line => JSON.parse(line) as { startedAt: number; body?: string; error?: string },
  );
  const after = requests.filter(request => request.startedAt > killedAt);
  // A request that the killed replica already had is lost with it, in the cluster as well.
  const failed = after.filter(request => request.body !== "replica-2");
  assert(after.length > 10, `only ${after.length} requests after the kill`);
  assertEqual(failed, [], "failed requests");
  return `replica-1 killed (SIGKILL); ${after.length} requests since, all answered by replica-2`;
}

async function consume(steps: Steps, topology: Topology, sandbox: Sandbox): Promise<void> {
  const { laptop, cluster } = topology;
  const replica = await steps.run("services", async () => {
    const started = await startServices(cluster);
    return [started, "HTTP ×2 replicas, TCP echo, UDP echo in the cluster"];
  });
  const agent = await steps.run("agent", async () => {
    const made = await Agent.make(sandbox, cluster, { catalog: readFileSync(CATALOG, "utf8") });
    return [made, "Space Agent runs, without any privilege"];
  });
  const czctl = new Czctl(laptop);
  await steps.run("invite", async () => {
    await czctl.run(["space", "add", await agent.invite("laptop")]);
    await czctl.run(["primary-namespace", "select", "shop"]);
    return [undefined, "agent invite laptop; space add; primary-namespace select shop"];
  });
  await steps.run("up", async () => {
    await czctl.up();
    const { device, endpoint } = await czctl.waitUntilConnected();
    return [undefined, `${device.name} ${device.ranges.join(" ")} → ${endpoint}`];
  });

  await steps.check("catalog", async () => {
    const rows = await czctl.services();
    assertEqual(rows.length, 3, "services");
    return rows.map(row => `${row.name}.${row.namespace} ${row.addresses[0]}`).join(", ");
  });
  await steps.check("names", async () => {
    const { addresses } = await act<{ addresses: Record<string, string> }>(laptop, "lookup", ...FRONTEND);
    const distinct = new Set(Object.values(addresses));
    assertEqual(distinct.size, 1, "distinct addresses of the four names");
    return `getaddrinfo: ${FRONTEND.join(", ")} → ${[...distinct][0]}`;
  });
  await steps.check("http", async () => {
    const urls = FRONTEND.map(name => `http://${name}/`);
    const { bodies } = await act<{ bodies: string[] }>(laptop, "get", "1", ...urls);
    assert(bodies.length === 4 && bodies.every(body => body in REPLICAS), `answers: ${bodies}`);
    return `GET by each of the four names → ${bodies.join(" ")}`;
  });
  await steps.check("tcp", async () => {
    const { echo } = await act<{ echo: string }>(laptop, "tcp", "echo.shop", "7", "hello");
    assertEqual(echo, "hello", "echo");
    return "TCP echo, closed half by half";
  });
  await steps.check("round-robin", async () => {
    const { bodies } = await act<{ bodies: string[] }>(laptop, "get", "20", "http://frontend.shop/");
    const counts = Object.keys(REPLICAS).map(id => bodies.filter(body => body === id).length);
    assertEqual(counts, [10, 10], "connections per replica");
    return `20 connections: ${counts.join(" + ")}`;
  });
  await steps.check("replica-killed", () => replicaKilled(laptop, replica));
  await steps.check("refused", async () => {
    const result = await act<{ outcome: string; connectMs: number }>(
      laptop,
      "connect",
      "frontend.shop",
      "81",
    );
    assertEqual(result.outcome, "ECONNREFUSED", "outcome");
    assert(result.connectMs < 1_000, `took ${result.connectMs} ms`);
    return `frontend.shop:81 refused in ${result.connectMs.toFixed(1)} ms`;
  });
  await steps.check("udp", async () => {
    const result = await act<{ echo: string; roundTripMs: number }>(laptop, "udp", "clock.shop", "7", "tick");
    assertEqual(result.echo, "tick", "echo");
    return `UDP echo in ${result.roundTripMs.toFixed(1)} ms`;
  });
  await steps.check("throughput", async () => {
    const url = `http://frontend.shop/bytes/${DOWNLOAD_BYTES}`;
    const result = await act<{ bytes: number; gigabitsPerSecond: number }>(laptop, "download", url);
    assertEqual(result.bytes, DOWNLOAD_BYTES, "bytes");
    return `${DOWNLOAD_BYTES / 1024 / 1024} MiB by HTTP at ${result.gigabitsPerSecond.toFixed(2)} Gbit/s`;
  });
  if (missing(["wg"]).length > 0) {
    steps.skip("wg-show", "wireguard-tools is not installed");
  } else {
    await steps.check("wg-show", async () => {
      const { device } = await czctl.status();
      const text = await laptop.run("wg", ["show", device.name]);
      const facts = text.match(/(latest handshake|transfer): .*/g) ?? [];
      assertEqual(facts.length, 2, "lines of wg show");
      return facts.join(", ");
    });
  }
  await steps.check("down", async () => {
    assert(laptop.readHosts() !== LAPTOP_HOSTS, "the hosts file never had a section");
    await czctl.run(["down"]);
    assertEqual(laptop.readHosts(), LAPTOP_HOSTS, "hosts file");
    assertEqual((await laptop.run("ip", ["-o", "tuntap", "show"])).trim(), "", "TUN devices");
    return "hosts file as it was, device gone";
  });
}

await inSandbox(import.meta.url, async sandbox => {
  const steps = new Steps(process.argv.includes("--json"));
  let topology: Topology | undefined;
  try {
    const made = await steps.run("network", async () => {
      const obstacle = missing(["/dev/net/tun"]).length > 0;
      assert(!obstacle, "this user may not open /dev/net/tun: run as root, or: sudo chmod 666 /dev/net/tun");
      const network = await makeTopology(sandbox);
      return [
        network,
        `laptop, internet, cluster: three namespaces (${sandbox.root ? "root" : "ordinary user"})`,
      ];
    });
    topology = made;
    await consume(steps, made, sandbox);
  } catch {
    // The step has said what happened; those after it could not run.
  }
  if (steps.failed) console.error(topology?.hosts.map(host => host.tails()).join("\n") ?? "");
  await topology?.close();
  return steps.end();
});
