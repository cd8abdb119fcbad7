/**
 * Who may reach what: four devices, known to the policy by their invitation, their user, their groups and their
 * name, ask for every target under each policy, by real connections. And what a change does to connections that
 * are open, how soon, and what each side says of a refusal.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { catalogText } from "./catalog.js";
import { Agent, Czctl } from "./czctl.js";
import type { Host } from "./host.js";
import { assert, assertEqual, lab } from "./lab.js";
import type { Probe } from "./prober.js";
import { eventually } from "./program.js";
import { addClusterAddresses, addLaptop } from "./topology.js";

const script = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const SERVICE = script("../../demo/service.js");
const CLIENT = script("../../demo/client.js");
const PROBER = script("./prober.js");
const LIMIT_MS = 1_000;
const ROUNDS = 5;
const METRICS_PORT = 9464;

const [FRONTEND, ADMIN, DB, ECHO] = ["10.96.0.1", "10.96.0.2", "10.96.1.1", "10.96.1.2"] as const;
const CATALOG = catalogText([
  {
    namespace: "shop",
    name: "frontend",
    clusterIps: [FRONTEND],
    ports: [
      { name: "http", protocol: "TCP", port: 80 },
      { name: "metrics", protocol: "TCP", port: 9090 },
    ],
  },
  {
    namespace: "shop",
    name: "admin",
    clusterIps: [ADMIN],
    ports: [{ name: "http", protocol: "TCP", port: 80 }],
  },
  {
    namespace: "data",
    name: "db",
    clusterIps: [DB],
    ports: [{ name: "sql", protocol: "TCP", port: 5432 }],
  },
  {
    namespace: "data",
    name: "echo",
    clusterIps: [ECHO],
    ports: [{ name: "echo", protocol: "UDP", port: 7 }],
  },
]);

/** By one letter each, so that a row of the matrix can be read. */
const TARGETS: Readonly<Record<string, string>> = {
  f: "frontend.shop:80/tcp",
  m: "frontend.shop:9090/tcp",
  a: "admin.shop:80/tcp",
  d: "db.data:5432/tcp",
  e: "echo.data:7/udp",
};

const INVITATIONS: Readonly<Record<string, string[]>> = {
  ann: ["--allow", "frontend.shop:http"],
  bob: ["--user", "bob"],
  cat: ["--user", "cat", "--group", "backend", "--group", "ops"],
  dan: [],
};
const DEVICES = Object.keys(INVITATIONS);

const POLICIES: [name: string, policy: string, reached: Record<string, string>][] = [
  ["nothing is granted", "grants: []", { ann: "f", bob: "", cat: "", dan: "" }],
  [
    "everything to everybody",
    'grants: [{ to: ["*"], allow: ["*"] }]',
    { ann: "fmade", bob: "fmade", cat: "fmade", dan: "fmade" },
  ],
  [
    "by namespace, to a user",
    'grants: [{ to: ["user:bob"], allow: ["*.shop"] }]',
    { ann: "f", bob: "fma", cat: "", dan: "" },
  ],
  [
    "by service and port, to a group; except",
    'grants: [{ to: ["group:backend"], allow: ["*.shop", "!admin.shop", "!frontend.shop:metrics", "db.data:5432"] }]',
    { ann: "f", bob: "", cat: "fd", dan: "" },
  ],
  [
    "to a device by name; two groups; the last rule that matches",
    `grants:
      - { to: [dan], allow: ["echo.data:echo", "*:9090"] }
      - { to: ["group:backend"], allow: ["*", "!*.data"] }
      - { to: ["group:ops", ann], allow: ["db.data", "!admin.shop", "!*:80"] }`,
    { ann: "d", bob: "", cat: "md", dan: "me" },
  ],
];

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] as number;
}

await lab(import.meta.url, async ({ sandbox, check, ...topology }) => {
  const { cluster } = topology;
  await addClusterAddresses(cluster, [FRONTEND, ADMIN, DB, ECHO]);
  const services = [
    ["tcp", FRONTEND, "80"],
    ["tcp", FRONTEND, "9090"],
    ["tcp", ADMIN, "80"],
    ["tcp", DB, "5432"],
    ["udp", ECHO, "7"],
  ].map(words => cluster.spawn(process.execPath, [SERVICE, ...words]));
  for (const service of services) await service.waitForLine(/ready/);
  const agent = await Agent.make(sandbox, cluster, { catalog: CATALOG });
  const setPolicy = (text: string): void => writeFileSync(join(agent.dir, "policy.yaml"), text);
  setPolicy("grants: []");

  const laptops = new Map<string, Host>();
  for (const [index, device] of DEVICES.entries()) {
    const laptop = await addLaptop(topology, sandbox, index);
    laptops.set(device, laptop);
    const credential = join(laptop.dir, "credential");
    const text = await agent.run(["invite", device, ...(INVITATIONS[device] as string[])]);
    writeFileSync(credential, text, { mode: 0o600 });
    const czctl = new Czctl(laptop);
    await czctl.run(["space", "add", credential]);
    await czctl.up(["--metrics-port", `${METRICS_PORT}`]);
    await czctl.waitUntilConnected();
  }
  const on = (device: string): Host => laptops.get(device) as Host;
  const czctlOn = (device: string): Czctl => new Czctl(on(device));

  const probeAll = async (device: string): Promise<Record<string, Probe>> =>
    JSON.parse(await on(device).run(process.execPath, [PROBER, "once", ...Object.values(TARGETS)]));
  const reachedBy = (probes: Record<string, Probe>): string =>
    Object.entries(TARGETS)
      .filter(([, target]) => probes[target]?.outcome === "ok")
      .map(([letter]) => letter)
      .join("");

  for (const [name, policy, expected] of POLICIES) {
    await check(`${DEVICES.length} devices × ${Object.keys(TARGETS).length} targets: ${name}`, async () => {
      setPolicy(policy);
      const slowest: number[] = [];
      for (const device of DEVICES) {
        await eventually(`${device} reaches [${expected[device]}]`, async () =>
          assertEqual(reachedBy(await probeAll(device)), expected[device], device),
        );
      }
      // Again, now that all is in force: what is denied is refused, and at once.
      for (const device of DEVICES) {
        const probes = await probeAll(device);
        assertEqual(reachedBy(probes), expected[device], device);
        for (const [target, { outcome, ms }] of Object.entries(probes)) {
          if (outcome === "ok") continue;
          assertEqual(outcome, "ECONNREFUSED", `${device} → ${target}`);
          slowest.push(ms);
        }
      }
      if (slowest.length === 0) return undefined;
      assert(Math.max(...slowest) < LIMIT_MS, `refused only after ${Math.max(...slowest)} ms`);
      return `${slowest.length} refused, after ${Math.max(...slowest).toFixed(0)} ms at most`;
    });
  }

  const GRANTED = 'grants: [{ to: [dan], allow: ["frontend.shop:80"] }]';
  await check("a change while connected: open connections and new ones, within a second", async () => {
    const took: Record<string, number[]> = { "granted, new": [], "denied, open": [], "denied, new": [] };
    setPolicy("grants: []");
    const watch = on("dan").spawn(process.execPath, [PROBER, "watch", "frontend.shop:80/tcp"]);
    const outcomes = (): { outcome: string; at: number }[] =>
      watch.stdout
        .split("\n")
        .filter(Boolean)
        .map(line => JSON.parse(line));
    const next = (outcome: string, since: number): Promise<number> =>
      eventually(outcome, () => {
        const last = outcomes().at(-1);
        assert(last !== undefined && last.outcome === outcome && last.at >= since, `still ${last?.outcome}`);
        return last.at - since;
      });
    await next("ECONNREFUSED", 0);
    for (let round = 0; round < ROUNDS; round++) {
      const grantedAt = Date.now();
      setPolicy(GRANTED);
      took["granted, new"]?.push(await next("ok", grantedAt));
      const open = on("dan").spawn(process.execPath, [CLIENT, "hold", "frontend.shop", "80"]);
      await open.waitForLine(/connected/);
      const deniedAt = Date.now();
      setPolicy("grants: []");
      took["denied, new"]?.push(await next("ECONNREFUSED", deniedAt));
      await open.exited;
      took["denied, open"]?.push(Date.now() - deniedAt);
      assert(/ECONNRESET/.test(open.stdout), `the open connection ended with ${open.stdout}`);
    }
    await watch.stop();
    assert(
      outcomes().every(({ outcome }) => outcome === "ok" || outcome === "ECONNREFUSED"),
      `other outcomes: ${watch.stdout}`,
    );
    const figures = Object.entries(took).map(([what, ms]) => {
      assert(Math.max(...ms) <= LIMIT_MS, `${what}: ${ms.join(", ")} ms`);
      return `${what}: median ${median(ms)}, worst ${Math.max(...ms)} ms`;
    });
    return `${ROUNDS} rounds; ${figures.join("; ")}`;
  });

  await check("the laptop says why: services list, status, the daemon's log", async () => {
    setPolicy('grants: [{ to: [dan], allow: ["frontend.shop:80"] }]');
    await eventually("granted", async () => assertEqual(reachedBy(await probeAll("dan")), "f", "dan"));
    const czctl = czctlOn("dan");
    const rows = await czctl.services();
    const missing = Object.fromEntries(rows.map(row => [row.name, row.missingRules ?? []]));
    assertEqual(
      missing,
      { db: ["db.data"], echo: ["echo.data"], admin: ["admin.shop"], frontend: ["frontend.shop:9090"] },
      "missing rules",
    );
    const { services: counts } = await czctl.status();
    assertEqual(counts, { known: 4, consumed: 1, denied: 3 }, "counts");
    const list = await czctl.run(["services", "list"]);
    assert(/^shop +admin +80 .*not allowed by policy$/m.test(list), `services list:\n${list}`);
    assert(/would have to allow: .*admin\.shop/.test(list), `services list:\n${list}`);
    assert(/3 not allowed by policy/.test(await czctl.run(["status"])), "status says nothing");
    const log = await on("dan").run("cat", ["/var/lib/czctl/daemon.log"]);
    const line = log
      .split("\n")
      .find(text => /not allowed by policy service=admin\.shop protocol=tcp/.test(text));
    assert(line !== undefined, "no line in the daemon's log");
    return line;
  });

  await check("the figures say it: czctl metrics, and the same on loopback", async () => {
    const listening = await on("dan").run("curl", ["-sS", `http://127.0.0.1:${METRICS_PORT}/metrics`]);
    for (const text of [await czctlOn("dan").run(["metrics"]), listening]) {
      assert(/^czctl_daemon_denied_total\{reason="notAllowed"\} \d+$/m.test(text), `metrics:\n${text}`);
      assert(/^czctl_daemon_services\{state="denied"\} 3$/m.test(text), `metrics:\n${text}`);
      assert(/^czctl_daemon_round_trip_seconds_count [1-9]/m.test(text), `metrics:\n${text}`);
    }
    const { code } = await on("dan").exec("curl", ["-sS", `http://198.51.100.14:${METRICS_PORT}/metrics`]);
    assertEqual(code, 7, "curl to another address than loopback: refused");
    return undefined;
  });

  await check("the agent says who and what", async () => {
    const line = agent.program?.stderr
      .split("\n")
      .find(text => /denied device=cat user=cat groups=backend,ops service=db\.data protocol=tcp/.test(text));
    assert(line !== undefined, `no line in the agent's log:\n${agent.program?.tail()}`);
    return line;
  });

  await check("showDenied: false, and a device does not hear of what it may not reach", async () => {
    const czctl = czctlOn("dan");
    setPolicy(`showDenied: false\n${GRANTED}`);
    await eventually("hidden", async () =>
      assertEqual(
        (await czctl.services()).map(row => [row.name, row.ports.map(port => port.port)]),
        [["frontend", [80]]],
        "services",
      ),
    );
    await eventually("no name", async () => {
      const { outcome } = (await probeAll("dan"))[TARGETS.a as string] as Probe;
      assert(/^(ENOTFOUND|EAI_AGAIN)$/.test(outcome), `still ${outcome}`);
    });
    return undefined;
  });

  for (const device of DEVICES) await czctlOn(device).run(["down"]);
});
