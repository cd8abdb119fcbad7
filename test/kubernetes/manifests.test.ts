/**
 * The manifests against a real API server: it takes what helm renders for every value, its own Pod Security admission
 * takes the pods, and an agent that may read two namespaces has just the rights that it uses.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { stringify } from "yaml";
import { agentRun, spaceInstall, spaceUninstall } from "../../src/agent/index.js";
import { agentManifests } from "../../src/agent/manifests.js";
import { memoryLogger, until } from "../agent/harness.js";
import { CASES, NO_HELM, renderText } from "./chart.js";
import { Cluster, helmBinary, kubernetesBinary, NOT_BUILT } from "./cluster.js";
import { makeNamespace, makeService } from "./objects.js";
import { compareRoles } from "./roles.js";

const binary = kubernetesBinary();
if (binary === null) {
  t.plan(0, NOT_BUILT);
  process.exit();
}

const cluster = await Cluster.start(binary);
t.teardown(() => cluster.stop());
const { admin } = cluster;
const kubeconfig = cluster.kubeconfig("admin", Cluster.adminToken);
for (const name of ["a", "b", "shop", "blog", "other"]) await makeNamespace(admin, name);

const dryRun = (text: string): Promise<string> =>
  cluster.kubectl(["apply", "--dry-run=server", "-f", "-"], text);

t.test(
  "kubectl apply --dry-run=server: defaults and every value of the chart",
  { skip: helmBinary() === null ? NO_HELM : false },
  async t => {
    const releases = ["", ...Object.entries(CASES).map(([name, [value]]) => name + value)];
    const texts: string[] = [];
    for (const [i, value] of releases.entries()) {
      await makeNamespace(admin, `release-${i}`);
      texts.push(renderText(value === "" ? [] : [value], `release-${i}`));
    }
    const said = (await dryRun(texts.join("---\n"))).trim().split("\n");
    const objects = texts.join("").match(/^kind: /gm)?.length;
    t.equal(said.length, objects, "every object");
    t.comment(`${said.length} objects of ${releases.length} renderings`);
    await t.rejects(
      dryRun(texts[0]?.replace("replicas: 2", 'replicas: "two"') ?? ""),
      /replicas/,
      "it does look",
    );
  },
);

t.test(
  "Pod Security admission, profile restricted: the pod is taken, one with more rights is not",
  async t => {
    const objects = agentManifests("guarded", {});
    const namespace = objects.find(object => object.kind === "Namespace");
    t.equal(namespace?.metadata.labels?.["pod-security.kubernetes.io/enforce"], "restricted");
    await cluster.kubectl(["apply", "-f", "-"], stringify(namespace));
    const deployment = objects.find(object => object.kind === "Deployment");
    for (const kind of ["ServiceAccount"]) {
      const object = objects.find(one => one.kind === kind);
      await cluster.kubectl(["apply", "-f", "-"], stringify(object));
    }
    const pod = (change: (spec: Record<string, never>) => void = () => {}): string => {
      const spec = structuredClone(deployment?.spec.template.spec);
      change(spec);
      return stringify({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "p", namespace: "guarded" },
        spec,
      });
    };
    t.match(await dryRun(pod()), /pod\/p created/);
    // biome-ignore lint/suspicious/noExplicitAny: a pod's spec as it was parsed
    const worse: Record<string, (spec: any) => void> = {
      capabilities: spec => {
        spec.containers[0].securityContext.capabilities = { add: ["NET_ADMIN"] };
      },
      runAsNonRoot: spec => {
        spec.securityContext.runAsNonRoot = false;
      },
      seccompProfile: spec => {
        delete spec.securityContext.seccompProfile;
      },
      allowPrivilegeEscalation: spec => {
        spec.containers[0].securityContext.allowPrivilegeEscalation = true;
      },
    };
    for (const [what, change] of Object.entries(worse))
      await t.rejects(dryRun(pod(change)), new RegExp(`violates PodSecurity.*${what}`), what);
  },
);

t.test("space install --namespaces: just these, by roles of their own that are all used", async t => {
  const namespaces = ["shop", "blog"];
  for (const [i, namespace] of [...namespaces, "other"].entries())
    await makeService(admin, namespace, `web-${i}`, { ports: [{ port: 80 }] });
  await spaceInstall({ kubeconfig, endpoint: "agent.example.com:30820", namespaces });
  const token = await cluster.serviceAccountToken("czctl", "czctl-agent");
  const config = cluster.kubeconfig("agent", token, "czctl");
  const log = memoryLogger();
  const abort = new AbortController();
  process.env.FAKE_DATAPLANE_LOG = join(cluster.dir, "told");
  const ended = agentRun({
    dir: join(cluster.dir, "state"),
    kubernetes: { kubeconfig: config, secret: "czctl-agent", policy: "czctl-policy", namespaces },
    signal: abort.signal,
    log,
    dataplaneEntry: fileURLToPath(new URL("../agent/fake-dataplane.js", import.meta.url)),
  });
  ended.catch(() => {});
  const runs = () => log.lines.find(line => line.message === "agent runs");
  await Promise.race([until("the start", runs, 20_000), ended]);
  const catalog = log.lines.findLast(line => line.message === "catalog");
  t.equal(catalog?.fields?.services, 2, "the services of two namespaces");
  // A watch follows each list.
  const username = "system:serviceaccount:czctl:czctl-agent";
  const compared = () => compareRoles(cluster.auditLog, username, agentManifests("czctl", { namespaces }));
  await until("every right is used", () => compared().unused.length === 0 || undefined).catch(() => {});
  abort.abort();
  await ended;
  t.same(compared(), { unused: [], refused: [] });
  const without = agentManifests("czctl", { namespaces: ["shop", "other"] });
  t.not(
    compareRoles(cluster.auditLog, username, without).unused.length,
    0,
    "the comparison can find something",
  );
});

t.test("other namespaces later, and none in the end: no role is forgotten", async t => {
  const roles = async (): Promise<string[]> => {
    const said = await cluster.kubectl(["get", "role,rolebinding", "-A", "--no-headers"]);
    const lines = said.split("\n").filter(line => line.includes("czctl-discovery-czctl"));
    return lines.map(line => line.split(/ +/)[0] as string).sort();
  };
  t.same(await roles(), ["blog", "blog", "shop", "shop"]);
  await spaceInstall({ kubeconfig, endpoint: "agent.example.com:30820", namespaces: ["shop", "other"] });
  t.same(await roles(), ["other", "other", "shop", "shop"]);
  await t.rejects(
    spaceInstall({ kubeconfig, endpoint: "agent.example.com:30820", namespaces: ["nowhere"] }),
    /namespaces "nowhere" not found/,
  );
  const { deleted } = await spaceUninstall({ kubeconfig });
  t.ok(deleted.includes("Role/czctl-discovery-czctl of other"));
  t.same(await roles(), []);
});
