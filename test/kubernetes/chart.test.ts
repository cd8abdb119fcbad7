/** The chart under the real helm: the same objects as the plain manifests, every value with its effect. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import t from "tap";
import { parse, parseAllDocuments } from "yaml";
import type { Manifest } from "../../src/agent/space.js";
import { helmBinary } from "./cluster.js";

const helm = helmBinary();
if (helm === null) {
  t.plan(0, "helm is not built: npm run test:kubernetes (needs Go)");
  process.exit();
}

const DEPLOY = fileURLToPath(new URL("../../../deploy/", import.meta.url));

function run(...words: string[]): string {
  // A HOME of nobody's: helm keeps its settings there.
  const env = { PATH: process.env.PATH, HOME: tmpdir() };
  return execFileSync(helm as string, words, { cwd: DEPLOY, encoding: "utf8", env });
}

function render(...set: string[]): Manifest[] {
  const values = set.flatMap(one => ["--set-json", one]);
  const text = run(
    "template",
    "czctl",
    "chart",
    "--namespace",
    "czctl",
    "--kube-version",
    "1.36.0",
    ...values,
  );
  return parseAllDocuments(text).map(document => document.toJS() as Manifest);
}

const find = (objects: Manifest[], kind: string, name?: string): Manifest =>
  objects.find(
    object => object.kind === kind && (name ?? object.metadata.name) === object.metadata.name,
  ) as Manifest;
const agentOf = (objects: Manifest[]) => find(objects, "Deployment").spec.template.spec;

t.test("helm lint", async t => {
  t.match(run("lint", "--strict", "chart"), /1 chart\(s\) linted, 0 chart\(s\) failed/);
});

t.test("deploy/czctl.yaml is the chart (node scripts/render-chart.mjs HELM)", async t => {
  const plain = parseAllDocuments(readFileSync(`${DEPLOY}czctl.yaml`, "utf8"));
  t.same(
    plain.map(document => document.toJS()),
    render("createNamespace=true"),
  );
});

t.test("no root, no capability, nothing to write on", async t => {
  const pod = agentOf(render());
  t.match(pod.securityContext, { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } });
  t.same(pod.containers[0].securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    privileged: false,
    capabilities: { drop: ["ALL"] },
  });
  t.same(pod.volumes, [{ name: "state", emptyDir: { medium: "Memory", sizeLimit: "64Mi" } }]);
  for (const probe of ["startupProbe", "livenessProbe", "readinessProbe"])
    t.ok(pod.containers[0][probe], probe);
});

/** Value as `--set-json` takes it, and what must then be so. */
const CASES: Record<string, [string, (objects: Manifest[]) => unknown, unknown]> = {
  "image.repository": ['="r.example/czctl"', o => agentOf(o).containers[0].image, "r.example/czctl:0.1.0"],
  "image.tag": ['="9"', o => agentOf(o).containers[0].image, "czctl:9"],
  "image.pullPolicy": ['="Always"', o => agentOf(o).containers[0].imagePullPolicy, "Always"],
  imagePullSecrets: ['=[{"name":"x"}]', o => agentOf(o).imagePullSecrets, [{ name: "x" }]],
  replicas: ["=3", o => find(o, "Deployment").spec.replicas, 3],
  secretName: ['="s"', o => find(o, "Role").rules[0].resourceNames, ["s"]],
  policyName: ['="p"', o => find(o, "Role").rules[1].resourceNames, ["p"]],
  namespaces: ['=["a","b"]', o => o.filter(one => one.metadata.name === "czctl-discovery-czctl").length, 4],
  "service.type": ['="NodePort"', o => find(o, "Service").spec.type, "NodePort"],
  "service.port": ["=443", o => find(o, "Service").spec.ports[0].port, 443],
  "service.nodePort": ["=30820", o => find(o, "Service").spec.ports[0].nodePort, 30820],
  "service.annotations": ['={"a":"b"}', o => find(o, "Service").metadata.annotations, { a: "b" }],
  listenPort: ["=1234", o => agentOf(o).containers[0].ports[0].containerPort, 1234],
  metricsPort: ["=99", o => agentOf(o).containers[0].args.includes("--metrics-port=99"), true],
  logFormat: ['="text"', o => agentOf(o).containers[0].args.includes("--log-format=text"), true],
  logLevel: ['="debug"', o => agentOf(o).containers[0].args.includes("--log-level=debug"), true],
  drainSeconds: ["=5", o => agentOf(o).terminationGracePeriodSeconds, 15],
  resources: ['={"limits":{"cpu":"1"}}', o => agentOf(o).containers[0].resources.limits.cpu, "1"],
  "networkPolicy.enabled": ["=false", o => find(o, "NetworkPolicy"), undefined],
  createNamespace: ["=true", o => find(o, "Namespace").metadata.name, "czctl"],
  nodeSelector: ['={"a":"b"}', o => agentOf(o).nodeSelector, { a: "b" }],
  tolerations: ['=[{"key":"a"}]', o => agentOf(o).tolerations, [{ key: "a" }]],
};

t.test("every value of values.yaml has its effect", async t => {
  for (const [name, [value, look, expected]] of Object.entries(CASES)) {
    t.same(look(render(`${name}${value}`)), expected, name);
  }
  const leaves = (node: unknown, path: string): string[] =>
    ["image", "service", "networkPolicy", ""].includes(path)
      ? Object.entries(node as object).flatMap(([key, child]) =>
          leaves(child, path === "" ? key : `${path}.${key}`),
        )
      : [path];
  const values = parse(readFileSync(`${DEPLOY}chart/values.yaml`, "utf8"));
  t.same(leaves(values, "").sort(), Object.keys(CASES).sort(), "none is forgotten here");
});

t.test("limited to namespaces, no role reaches the whole cluster but for their names", async t => {
  const objects = render('namespaces=["a","b"]');
  t.same(find(objects, "ClusterRole").rules, [
    { apiGroups: [""], resources: ["namespaces"], resourceNames: ["a", "b"], verbs: ["list", "watch"] },
  ]);
  t.ok(agentOf(objects).containers[0].args.includes("--namespaces=b"));
});
