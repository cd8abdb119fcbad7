/**
 * A whole agent against a real kube-apiserver: installed by `space install`, run under its ServiceAccount with
 * the state of its Secret, devices invited and revoked, the policy changed while it runs. Only the data plane
 * is a fake one, which notes what it is told.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { agentRun, spaceInstall, spaceInvite, spaceRevoke, spaceUninstall } from "../../src/agent/index.js";
import { agentManifests } from "../../src/agent/manifests.js";
import type { ToDataplane } from "../../src/api/index.js";
import { parseCredential } from "../../src/catalog/index.js";
import { memoryLogger, until } from "../agent/harness.js";
import { Cluster, freePorts, kubernetesBinary, NOT_BUILT } from "./cluster.js";
import { makeNamespace, makeService } from "./objects.js";
import { compareRoles } from "./roles.js";

const binary = kubernetesBinary();
if (binary === null) {
  t.plan(0, NOT_BUILT);
  process.exit();
}

type Message<T extends ToDataplane["type"]> = Extract<ToDataplane, { type: T }>;

const cluster = await Cluster.start(binary);
t.teardown(() => cluster.stop());
const { admin } = cluster;
const kubeconfig = cluster.kubeconfig("admin", Cluster.adminToken);
const before = await everything();
await makeNamespace(admin, "shop");
for (const name of ["frontend", "admin", "db"])
  await makeService(admin, "shop", name, { ports: [{ port: 80 }] });

/** What `space install` may leave behind: all objects of the kinds that it makes. */
async function everything(): Promise<string[]> {
  const kinds = "ns,sa,secret,cm,svc,role,rolebinding,clusterrole,clusterrolebinding,deploy,pdb,netpol";
  const said = await cluster.kubectl(["get", kinds, "-A", "-o", "name"]);
  return said
    .split("\n")
    .filter(line => !/namespace\/shop|service\/|default$|kube-root-ca/.test(line))
    .sort();
}

class Running {
  readonly log = memoryLogger();
  readonly #told: string;
  readonly #abort = new AbortController();
  readonly ended: Promise<void>;

  constructor(name: string, config: string, metricsPort: number) {
    this.#told = join(cluster.dir, `${name}.told`);
    writeFileSync(this.#told, "");
    process.env.FAKE_DATAPLANE_LOG = this.#told;
    this.ended = agentRun({
      dir: join(cluster.dir, name),
      kubernetes: { kubeconfig: config, secret: "czctl-agent", policy: "czctl-policy" },
      metrics: { port: metricsPort, address: "127.0.0.1" },
      signal: this.#abort.signal,
      log: this.log,
      dataplaneEntry: fileURLToPath(new URL("../agent/fake-dataplane.js", import.meta.url)),
    });
    this.ended.catch(() => {});
  }

  async ready(): Promise<this> {
    const running = () => this.log.lines.some(line => line.message === "agent runs") || undefined;
    await Promise.race([until("the start", running, 20_000), this.ended]);
    return this;
  }

  stop(): Promise<void> {
    this.#abort.abort();
    return this.ended;
  }

  #messages(): ToDataplane[] {
    const lines = readFileSync(this.#told, "utf8").split("\n").slice(0, -1);
    return lines.map(line => JSON.parse(line) as ToDataplane);
  }

  /** The services that the data plane would dial for this device now. */
  reach(device: string): string[] {
    const messages = this.#messages();
    const start = messages.find((m): m is Message<"start"> => m.type === "start");
    const peers = new Map(start?.peers.map(peer => [peer.publicKey, peer]));
    for (const message of messages) {
      if (message.type !== "peers") continue;
      for (const peer of message.set ?? []) peers.set(peer.publicKey, peer);
      for (const key of message.remove ?? []) peers.delete(key);
    }
    const table = messages.findLast((m): m is Message<"targets"> => m.type === "targets");
    const grant = [...peers.values()].find(peer => peer.name === device)?.grant ?? "";
    const names = (table?.grants[grant] ?? []).map(index => table?.targets[index]?.name ?? "");
    return [...new Set(names.filter(name => name.endsWith(".shop")))].sort();
  }

  /** Waits until the device reaches just these; how long that took, in ms. */
  async reaches(device: string, services: string[]): Promise<number> {
    const startedAt = performance.now();
    const wanted = services.map(name => `${name}.shop`).join();
    await until(`${device} → ${wanted}`, () => this.reach(device).join() === wanted || undefined);
    return performance.now() - startedAt;
  }
}

async function setPolicy(grants: string): Promise<void> {
  await admin.call("PATCH", "/api/v1/namespaces/czctl/configmaps/czctl-policy?fieldManager=test&force=true", {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "czctl-policy", namespace: "czctl" },
    data: { "policy.yaml": grants },
  });
}

await spaceInstall({ kubeconfig, endpoint: "agent.example.com:30820", nodePort: 30820 });
// The context's namespace is where a pod's own is: that of Secret and ConfigMap.
const config = cluster.kubeconfig(
  "agent",
  await cluster.serviceAccountToken("czctl", "czctl-agent"),
  "czctl",
);
const [port1 = 0, port2 = 0] = await freePorts(2);
// One after the other: a data plane learns from the environment, when it is started, where to note things.
const one = await new Running("one", config, port1).ready();
t.teardown(() => one.stop());
const two = await new Running("two", config, port2).ready();
t.teardown(() => two.stop());

t.test("a device that is invited is known to both replicas within a second", async t => {
  const startedAt = performance.now();
  const made = await spaceInvite({ kubeconfig, name: "ann", allow: ["frontend.shop"] });
  t.match(parseCredential(made.credential), {
    device: "ann",
    agent: { endpoint: "agent.example.com:30820" },
  });
  await Promise.all([one.reaches("ann", ["frontend"]), two.reaches("ann", ["frontend"])]);
  const tookMs = performance.now() - startedAt;
  t.ok(tookMs < 1_000, `${tookMs} ms`);
  t.comment(`invited and known to both replicas after ${tookMs.toFixed(0)} ms`);
  await t.rejects(spaceInvite({ kubeconfig, name: "Ann" }), { code: "DEVICE_EXISTS" });
});

t.test("administrators at the same moment lose nothing", async t => {
  const names = ["bob", "cat", "dan"];
  const groups: Record<string, string[]> = { bob: ["backend"], cat: ["backend", "ops"] };
  const made = await Promise.all(
    names.map(name =>
      spaceInvite({
        kubeconfig,
        name,
        user: `user-of-${name}`,
        ...(groups[name] === undefined ? {} : { groups: groups[name] }),
      }),
    ),
  );
  t.equal(new Set(made.map(device => device.addresses[0])).size, 3, "no address twice");
  await one.reaches("dan", []);
});

t.test("the policy: devices × grants × targets, each change in force within a second", async t => {
  t.same(one.reach("bob"), [], "nothing until it is granted");
  const all = ["admin", "db", "frontend"];
  const cases: [string, Record<string, string[]>][] = [
    ['grants: [{to: ["*"], allow: ["*.shop"]}]', { ann: all, bob: all, cat: all, dan: all }],
    [
      'grants: [{to: ["group:backend"], allow: ["*.shop", "!admin.shop"]}, {to: ["group:ops"], allow: [admin.shop]}]',
      { ann: ["frontend"], bob: ["db", "frontend"], cat: all, dan: [] },
    ],
    [
      "grants: [{to: ['user:user-of-dan', ann], allow: ['db.shop:80', 'admin.shop:81']}]",
      { ann: ["db", "frontend"], bob: [], cat: [], dan: ["db"] },
    ],
    ["grants: []", { ann: ["frontend"], bob: [], cat: [], dan: [] }],
  ];
  const took: number[] = [];
  for (const [policy, expected] of cases) {
    await setPolicy(policy);
    for (const agent of [one, two]) {
      for (const [device, services] of Object.entries(expected))
        took.push(await agent.reaches(device, services));
    }
  }
  t.ok(Math.max(...took) < 1_000, `${Math.max(...took)} ms`);
  t.comment(`slowest change of policy: ${Math.max(...took).toFixed(0)} ms`);
});

t.test("a wrong policy changes nothing; none at all grants nothing", async t => {
  await setPolicy("grants: [{to: [dan], allow: ['*.shop']}]");
  await one.reaches("dan", ["admin", "db", "frontend"]);
  await setPolicy("grants: [{to: [dan], allow: ['*..shop']}]");
  await until("the complaint", () =>
    one.log.lines.find(line => /policy\.yaml.*grants\.0\.allow/.test(line.message)),
  );
  t.same(one.reach("dan"), ["admin.shop", "db.shop", "frontend.shop"]);
  await admin.call("DELETE", "/api/v1/namespaces/czctl/configmaps/czctl-policy");
  await one.reaches("dan", []);
  t.same(one.reach("ann"), ["frontend.shop"], "invitations hold");
});

t.test("metrics and probes", async t => {
  const get = async (path: string): Promise<Response> => fetch(`http://127.0.0.1:${port1}${path}`);
  t.equal((await get("/healthz")).status, 200);
  t.equal((await get("/readyz")).status, 200);
  const text = await (await get("/metrics")).text();
  t.match(text, /^czctl_agent_devices 4$/m);
  t.match(text, /^czctl_agent_dataplane_up 1$/m);
  t.match(text, /^czctl_agent_sent_bytes_total\{device="[^"]*"\} 6$/m);
  // Text format 0.0.4: names, labels, one number.
  const wrong = text
    .split("\n")
    .filter(
      line => !/^($|# (HELP|TYPE) |[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [\d.e+-]+$)/.test(line),
    );
  t.same(wrong, []);
});

t.test("revoked: both replicas forget the device", async t => {
  await spaceRevoke({ kubeconfig, name: "ann" });
  await Promise.all([one.reaches("ann", []), two.reaches("ann", [])]);
  t.ok([one, two].every(agent => agent.log.lines.some(line => line.message === "device revoked")));
  await t.rejects(spaceRevoke({ kubeconfig, name: "ann" }), { code: "DEVICE_NOT_FOUND" });
});

t.test("the agent's own roles allow what it asked for and no more (audit log)", async t => {
  const username = "system:serviceaccount:czctl:czctl-agent";
  const compared = compareRoles(cluster.auditLog, username, agentManifests("czctl", {}));
  t.same(compared, { unused: [], refused: [] });
});

t.test("a second installation keeps the keys; uninstalled, the cluster is as it was", async t => {
  const again = await spaceInstall({ kubeconfig, endpoint: "other.example.com:51820" });
  t.equal(again.newKeys, false);
  const made = await spaceInvite({ kubeconfig, name: "eve" });
  t.match(parseCredential(made.credential).agent.endpoint, "agent.example.com:30820");
  await Promise.all([one.stop(), two.stop()]);
  await spaceUninstall({ kubeconfig });
  // The namespace itself goes when a controller has emptied it, and there is none here.
  const after = (await everything()).filter(name => name !== "namespace/czctl");
  t.same(after, before);
  const namespace = (await admin.call("GET", "/api/v1/namespaces/czctl")) as { status: { phase: string } };
  t.equal(namespace.status.phase, "Terminating");
  await t.rejects(spaceInvite({ kubeconfig, name: "fay" }), { code: "SPACE_NOT_INSTALLED" });
});
