/**
 * 2,000 services with 10 endpoints each, then churn. Whether everything arrives is asserted; how fast, and at
 * what cost in an agent of its own process with its real data plane, is printed.
 */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import t from "tap";
import { KubernetesDiscovery } from "../../src/agent/discovery/kubernetes.js";
import { systemClock } from "../../src/agent/discovery/resource-watch.js";
import { ForbiddenAddresses } from "../../src/agent/forbidden.js";
import { agentInit, spaceInstall } from "../../src/agent/index.js";
import { KubernetesClient } from "../../src/agent/kubernetes-client.js";
import type { SourceService } from "../../src/catalog/index.js";
import { memoryLogger, until } from "../agent/harness.js";
import { Cluster, freePorts, kubernetesBinary, NOT_BUILT } from "./cluster.js";
import { makeNamespace, makeService, setEndpoints } from "./objects.js";

const SERVICES = 2_000;
const ENDPOINTS = 10;
const NAMESPACES = 20;
const CHURN_MS = 15_000;
const CHURN_PER_SECOND = 40;
const PARALLEL = 16;
const TICK_MS = 10;
const LIMIT_MS = 500_000;

const binary = kubernetesBinary();
if (binary === null) {
  t.plan(0, NOT_BUILT);
  process.exit();
}

t.setTimeout(LIMIT_MS);
const cluster = await Cluster.start(binary);
t.teardown(() => cluster.stop());
const { admin } = cluster;
await spaceInstall({
  kubeconfig: cluster.kubeconfig("admin", Cluster.adminToken),
  endpoint: "agent.example.com:51820",
});
const kubeconfig = cluster.kubeconfig("agent", await cluster.serviceAccountToken("czctl", "czctl-agent"));
const namespaceOf = (i: number): string => `team-${i % NAMESPACES}`;
const nameOf = (i: number): string => `service-${i}`;
const pods = (i: number, generation: number): string[] =>
  Array.from(
    { length: ENDPOINTS },
    (_, pod) => `10.${100 + (generation % 100)}.${i >> 4}.${(i & 15) * 16 + pod}`,
  );

async function inParallel(count: number, make: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) await make(next++);
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}

/** CPU seconds and resident megabytes of a process and its children, from proc(5). */
function usage(pid: number): { cpuSeconds: number; residentMb: number } {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
    .trim()
    .split(" ")
    .filter(Boolean);
  const own = [pid, ...children.map(Number)].map(id => {
    const stat = readFileSync(`/proc/${id}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    const resident = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${id}/status`, "utf8"))?.[1];
    return { cpuSeconds: (Number(stat[11]) + Number(stat[12])) / 100, residentMb: Number(resident) / 1024 };
  });
  return own.reduce((a, b) => ({
    cpuSeconds: a.cpuSeconds + b.cpuSeconds,
    residentMb: a.residentMb + b.residentMb,
  }));
}

t.test("2,000 services × 10 endpoints, and churn", { timeout: LIMIT_MS }, async t => {
  await inParallel(NAMESPACES, i => makeNamespace(admin, namespaceOf(i)));
  const fillAt = performance.now();
  await inParallel(SERVICES, async i => {
    await makeService(admin, namespaceOf(i), nameOf(i), { ports: [{ port: 80, targetPort: 8080 }] });
    await setEndpoints(admin, namespaceOf(i), nameOf(i), pods(i, 0));
  });
  t.comment(`filling the cluster took ${((performance.now() - fillAt) / 1000).toFixed(1)} s`);

  const dir = join(cluster.dir, "agent");
  const [udp = 0, metricsPort = 0] = await freePorts(2);
  await agentInit({ dir, endpoint: `127.0.0.1:${udp}` });
  const main = fileURLToPath(new URL("../../bundle/cli/main.js", import.meta.url));
  const words = [
    "--dir",
    dir,
    "--kubernetes",
    "--kubeconfig",
    kubeconfig,
    "--metrics-port",
    `${metricsPort}`,
  ];
  const agent = spawn(process.execPath, [main, "agent", "run", ...words], { stdio: "ignore" });
  t.teardown(() => agent.kill());
  const metrics = async (): Promise<string> => {
    const answer = await fetch(`http://127.0.0.1:${metricsPort}/metrics`).catch(() => null);
    return (await answer?.text()) ?? "";
  };
  const startedAt = performance.now();
  // With the API server's own service and the agent's.
  while (!(await metrics()).includes(`czctl_agent_services ${SERVICES + 2}`)) {
    if (performance.now() - startedAt > 60_000) throw new Error("the agent does not see the cluster");
    await sleep(50);
  }
  t.comment(
    `the agent was up with ${SERVICES} services ${(performance.now() - startedAt).toFixed(0)} ms after its start`,
  );

  let catalog: readonly SourceService[] = [];
  const waiting = new Map<string, number>();
  const lags: number[] = [];
  const discovery = new KubernetesDiscovery({
    connect: () => KubernetesClient.connect(kubeconfig),
    namespaces: [],
    forbidden: new ForbiddenAddresses([]),
    log: memoryLogger(),
    clock: systemClock,
  });
  t.teardown(() => discovery.stop());
  await discovery.start(services => {
    catalog = services;
    for (const { name, endpoints } of services) {
      const key = `${name} ${endpoints[0]?.address.split(".")[1]}`;
      const writtenAt = waiting.get(key);
      if (writtenAt === undefined) continue;
      lags.push(performance.now() - writtenAt);
      waiting.delete(key);
    }
  });
  const ofUs = (): SourceService[] => catalog.filter(source => source.namespace.startsWith("team-"));
  t.equal(ofUs().length, SERVICES);
  t.ok(ofUs().every(source => source.endpoints.length === ENDPOINTS && source.clusterIps.length === 1));

  const before = usage(agent.pid as number);
  const churnAt = performance.now();
  let changes = 0;
  while (performance.now() - churnAt < CHURN_MS) {
    const due = ((performance.now() - churnAt) / 1000) * CHURN_PER_SECOND;
    for (; changes < due; changes++) {
      const [i, generation] = [changes % SERVICES, 1 + Math.floor(changes / SERVICES)];
      const written = setEndpoints(admin, namespaceOf(i), nameOf(i), pods(i, generation));
      written.then(() => waiting.set(`${nameOf(i)} ${100 + generation}`, performance.now())).catch(t.threw);
    }
    await sleep(TICK_MS);
  }
  const seconds = (performance.now() - churnAt) / 1000;
  const after = usage(agent.pid as number);
  // The last ones may have been seen before their answer came.
  await until("the rest", () => lags.length + waiting.size >= changes || undefined, 20_000);
  await sleep(1_000);
  lags.sort((a, b) => a - b);
  const at = (share: number): string => `${lags[Math.floor((lags.length - 1) * share)]?.toFixed(0)} ms`;
  t.comment(
    `${changes} changes in ${seconds.toFixed(0)} s; lag p50 ${at(0.5)}, p99 ${at(0.99)}, most ${at(1)}`,
  );
  const cpu = (100 * (after.cpuSeconds - before.cpuSeconds)) / seconds;
  t.comment(
    `agent with its data plane under churn: ${cpu.toFixed(0)} % of a core, ${after.residentMb.toFixed(0)} MB`,
  );
  const behind = ofUs().filter(
    ({ name, endpoints }) =>
      Number(name.split("-")[1]) < changes && endpoints[0]?.address.startsWith("10.100."),
  );
  t.equal(behind.length, 0, "every change has arrived");
});
