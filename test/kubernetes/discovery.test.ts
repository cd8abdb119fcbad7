/**
 * Discovery against a real kube-apiserver: the agent's ServiceAccount with exactly the chart's roles, and
 * nothing else. What the agent asks for is read from the API server's own audit log.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import t from "tap";
import { parseAllDocuments } from "yaml";
import { KubernetesDiscovery } from "../../src/agent/discovery/kubernetes.js";
import { systemClock } from "../../src/agent/discovery/resource-watch.js";
import { ForbiddenAddresses } from "../../src/agent/forbidden.js";
import { spaceInstall } from "../../src/agent/index.js";
import { KubernetesClient } from "../../src/agent/kubernetes-client.js";
import { agentManifests } from "../../src/agent/manifests.js";
import type { SourceService } from "../../src/catalog/index.js";
import { memoryLogger, until } from "../agent/harness.js";
import { Cluster, kubernetesBinary, NOT_BUILT } from "./cluster.js";
import { annotate, deleteService, makeNamespace, makeService, setEndpoints } from "./objects.js";

const binary = kubernetesBinary();
if (binary === null) {
  t.plan(0, NOT_BUILT);
  process.exit();
}

const cluster = await Cluster.start(binary);
t.teardown(() => cluster.stop());
const { admin } = cluster;
const kubeconfig = cluster.kubeconfig("admin", Cluster.adminToken);
await spaceInstall({ kubeconfig, endpoint: "agent.example.com:51820" });
const tokenFile = join(cluster.dir, "agent.token");
writeFileSync(tokenFile, await cluster.serviceAccountToken("czctl", "czctl-agent"), { mode: 0o600 });
const agentConfig = cluster.kubeconfig("agent", { file: tokenFile });
await makeNamespace(admin, "shop");

/** What the agent asked of the API server, from its audit log. */
function agentEvents(): { verb: string; objectRef: { resource: string } }[] {
  const lines = readFileSync(cluster.auditLog, "utf8").split("\n").filter(Boolean);
  return lines
    .map(line => JSON.parse(line))
    .filter(event => event.user.username === "system:serviceaccount:czctl:czctl-agent");
}

class Discovered {
  readonly log = memoryLogger();
  readonly discovery: KubernetesDiscovery;
  catalog: readonly SourceService[] = [];

  constructor(namespaces: readonly string[] = [], config: string = agentConfig) {
    this.discovery = new KubernetesDiscovery({
      connect: () => KubernetesClient.connect(config),
      namespaces,
      forbidden: new ForbiddenAddresses([]),
      log: this.log,
      clock: systemClock,
    });
  }

  start(): Promise<void> {
    return this.discovery.start(catalog => {
      this.catalog = catalog;
    });
  }

  names(): string[] {
    return this.catalog.map(source => `${source.name}.${source.namespace}`);
  }

  find(name: string): SourceService | undefined {
    return this.catalog.find(source => source.name === name && source.namespace === "shop");
  }

  /** Waits for it and says how long that took. */
  async when(
    what: string,
    holds: (service: SourceService | undefined) => boolean,
    name: string,
    limitMs = 5_000,
  ) {
    const before = performance.now();
    await until(what, () => holds(this.find(name)) || undefined, limitMs);
    return performance.now() - before;
  }
}

const agent = new Discovered();
await agent.start();
t.teardown(() => agent.discovery.stop());

t.test("a service appears, changes and vanishes, each within a second", async t => {
  const made = await makeService(admin, "shop", "web", {
    ipFamilyPolicy: "RequireDualStack",
    ports: [{ name: "http", port: 80, targetPort: "http" }],
  });
  const took = [await agent.when("the service", service => service !== undefined, "web")];
  t.same(agent.find("web")?.clusterIps, made.spec.clusterIPs, "both families, as the API server chose them");
  await setEndpoints(admin, "shop", "web", ["10.244.1.1"], [{ name: "http", port: 8080 }]);
  took.push(await agent.when("its endpoint", service => service?.endpoints.length === 1, "web"));
  t.same(agent.find("web")?.endpoints, [{ address: "10.244.1.1", ready: true, ports: [8080] }]);
  await deleteService(admin, "shop", "web");
  took.push(await agent.when("the end", service => service === undefined, "web"));
  t.ok(Math.max(...took) < 1_000, `lags ${took.map(Math.round)} ms`);
  t.comment(`lags of appearing, endpoint, vanishing: ${took.map(ms => `${ms.toFixed(0)} ms`).join(", ")}`);
});

t.test("scaled 0 to 50 to 0; headless, ExternalName and SCTP", async t => {
  await makeService(admin, "shop", "api", { ports: [{ port: 80 }] });
  for (const count of [0, 50, 0]) {
    const pods = Array.from({ length: count }, (_, i) => `10.244.2.${i + 1}`);
    await setEndpoints(admin, "shop", "api", pods);
    await agent.when(`${count} endpoints`, service => service?.endpoints.length === count, "api");
  }
  await makeService(admin, "shop", "db", { clusterIP: "None", ports: [{ port: 5432 }] });
  await makeService(admin, "shop", "pay", { type: "ExternalName", externalName: "pay.example.com" });
  await makeService(admin, "shop", "sig", { ports: [{ protocol: "SCTP", port: 36412 }] });
  await agent.when("the headless one", service => service?.kind === "headless", "db");
  await agent.when("the external one", service => service?.externalName === "pay.example.com", "pay");
  await until("the refusal", () =>
    agent.log.lines.find(line => /sig\.shop: port 36412\/SCTP/.test(line.message)),
  );
  t.match(agent.find("sig"), { ports: [], uncarried: ["36412/sctp"] });
});

t.test("hidden by annotation, of the service and of its namespace", async t => {
  const service = ["/api/v1/namespaces/shop/services/api", "v1", "Service"] as const;
  const namespace = ["/api/v1/namespaces/shop", "v1", "Namespace"] as const;
  const hide = { "codezero.io/consume": "false" };
  await annotate(admin, ...service, hide);
  await agent.when("hidden", found => found === undefined, "api");
  await annotate(admin, ...service, {});
  await agent.when("shown", found => found !== undefined, "api");
  await annotate(admin, ...namespace, hide);
  await agent.when("all hidden", found => found === undefined, "api");
  t.notOk(agent.names().some(name => name.endsWith(".shop")));
  await annotate(admin, ...namespace, {});
  await agent.when("all shown", found => found !== undefined, "api");
});

t.test("what the agent may not read: a named namespace is empty, the others are served", async t => {
  // Its roles reach namespaced lists too; the second agent's does not exist.
  const some = new Discovered(["shop"]);
  await some.start();
  t.ok(some.find("api"));
  t.notOk(
    some.names().some(name => !name.endsWith(".shop")),
    "and nothing of other namespaces",
  );
  some.discovery.stop();
  await admin.call("POST", "/api/v1/namespaces/default/serviceaccounts", {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name: "stranger" },
  });
  const config = cluster.kubeconfig("stranger", await cluster.serviceAccountToken("default", "stranger"));
  const options = { forbidden: new ForbiddenAddresses([]), log: memoryLogger(), clock: systemClock };
  const connect = () => KubernetesClient.connect(config);
  const refused = new KubernetesDiscovery({ connect, namespaces: [], ...options });
  await t.rejects(
    refused.start(() => {}),
    { code: "KUBERNETES_FORBIDDEN", category: "config" },
  );
  let catalog: readonly SourceService[] | undefined;
  const empty = new KubernetesDiscovery({ connect, namespaces: ["shop"], ...options });
  await empty.start(services => {
    catalog = services;
  });
  t.same(catalog, []);
  empty.stop();
});

t.test("the API server is killed, things change, the agent's token too: it catches up", async t => {
  await cluster.killApiServer();
  await until("the trouble", () => agent.log.lines.find(line => line.message === "kubernetes: cannot watch"));
  t.ok(agent.find("api"), "the last good catalog stands");
  const failures = agent.log.lines.length;
  await cluster.startApiServer();
  // A ServiceAccount made anew: tokens of the old one are void, as after a rotation that was missed.
  const path = "/api/v1/namespaces/czctl/serviceaccounts";
  await admin.call("DELETE", `${path}/czctl-agent`);
  await admin.call("POST", path, {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name: "czctl-agent" },
  });
  writeFileSync(tokenFile, await cluster.serviceAccountToken("czctl", "czctl-agent"));
  const before = performance.now();
  await makeService(admin, "shop", "late", { ports: [{ port: 80 }] });
  await agent.when("what was made meanwhile", service => service !== undefined, "late", 30_000);
  t.comment(`caught up ${(performance.now() - before).toFixed(0)} ms after the API server was back`);
  t.ok(agent.log.lines.slice(failures).some(line => line.message === "kubernetes: watches again"));
});

/** A way to the API server that can be cut. */
class Line {
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;
  #cut = false;

  constructor(to: number) {
    this.#server = createServer(near => {
      if (this.#cut) return void near.destroy();
      const far = connect(to, "127.0.0.1");
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(one);
        one.pipe(other).on("error", () => {});
        one.on("error", () => {}).once("close", () => other.destroy());
      }
    });
  }

  async open(): Promise<string> {
    await new Promise<void>(resolve => this.#server.listen(0, "127.0.0.1", resolve));
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  cut(): void {
    this.#cut = true;
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  mend(): void {
    this.#cut = false;
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}

t.test(
  "watches that expired while the agent was cut off (410 of the real server): it lists anew",
  async t => {
    const line = new Line(Number(new URL(cluster.server).port));
    const server = await line.open();
    t.teardown(() => line.close());
    const config = cluster.kubeconfig("cut-off", { file: tokenFile }, "default", server);
    const cutOff = new Discovered([], config);
    await cutOff.start();
    t.teardown(() => cutOff.discovery.stop());
    const { metadata } = (await admin.call("GET", "/api/v1/services?limit=1")) as {
      metadata: { resourceVersion: string };
    };
    line.cut();
    await deleteService(admin, "shop", "late");
    await makeService(admin, "shop", "later", { ports: [{ port: 80 }] });
    // A new API server knows nothing of what was before its start, so nobody can watch from there.
    await cluster.killApiServer();
    await cluster.startApiServer();
    const watch = `/api/v1/services?watch=1&resourceVersion=${metadata.resourceVersion}`;
    for await (const event of admin.lines(watch, 5_000, AbortSignal.timeout(10_000))) {
      t.match(JSON.parse(event), { type: "ERROR", object: { code: 410 } }, "expired indeed");
      break;
    }
    const listed = (): number => agentEvents().filter(({ verb }) => verb === "list").length;
    const before = listed();
    const startedAt = performance.now();
    line.mend();
    await cutOff.when("what was made meanwhile", service => service !== undefined, "later", 40_000);
    t.equal(cutOff.find("late"), undefined, "what was deleted meanwhile is gone");
    t.ok(listed() > before, "by a list");
    t.comment(`right again ${(performance.now() - startedAt).toFixed(0)} ms after the line was mended`);
  },
);

t.test("the agent asks for what its roles allow, and for no less (audit log)", async t => {
  const asked = new Set(agentEvents().map(({ verb, objectRef }) => `${verb} ${objectRef.resource}`));
  // The state of the agent itself is agent.test.ts's.
  const discovery = agentManifests("czctl", {}).filter(object => object.kind === "ClusterRole");
  const allowed = new Set<string>();
  for (const { rules } of discovery) {
    for (const { verbs, resources } of rules) {
      for (const verb of verbs) for (const resource of resources) allowed.add(`${verb} ${resource}`);
    }
  }
  t.ok(allowed.size > 0);
  t.same([...allowed].sort(), [...asked].sort());
});

t.test("kubectl apply --dry-run=server takes the manifests", async t => {
  const text = readFileSync(new URL("../../../deploy/czctl.yaml", import.meta.url), "utf8");
  const said = await cluster.kubectl(["apply", "--dry-run=server", "-f", "-"], text);
  t.equal(said.trim().split("\n").length, parseAllDocuments(text).length, "every object");
});
