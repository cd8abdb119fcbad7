/** The chart under the real helm: the same objects as the plain manifests, every value with its effect. */
import { readFileSync } from "node:fs";
import t from "tap";
import { parse, parseAllDocuments } from "yaml";
import { agentManifests } from "../../src/agent/manifests.js";
import { agentOf, CASES, DEPLOY, find, helm, NO_HELM, render, renderText } from "./chart.js";
import { helmBinary } from "./cluster.js";

if (helmBinary() === null) {
  t.plan(0, NO_HELM);
  process.exit();
}

t.test("helm lint", async t => {
  t.match(helm("lint", "--strict", "chart"), /1 chart\(s\) linted, 0 chart\(s\) failed/);
});

t.test("deploy/czctl.yaml is the chart (node scripts/render-chart.mjs HELM)", async t => {
  const plain = parseAllDocuments(readFileSync(`${DEPLOY}czctl.yaml`, "utf8"));
  t.same(
    plain.map(document => document.toJS()),
    render("createNamespace=true"),
  );
});

t.test("no root, no capability, nothing to write on, probes, limits", async t => {
  const pod = agentOf(render());
  const [container, ...others] = pod.containers;
  t.same(others, [], "one container");
  t.match(pod.securityContext, {
    runAsNonRoot: true,
    runAsUser: 65532,
    seccompProfile: { type: "RuntimeDefault" },
  });
  t.same(container.securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    privileged: false,
    capabilities: { drop: ["ALL"] },
  });
  t.same(pod.volumes, [{ name: "state", emptyDir: { medium: "Memory", sizeLimit: "64Mi" } }]);
  t.notOk(pod.hostNetwork || pod.hostPID || pod.hostIPC, "no namespace of the host's");
  const paths = { startupProbe: "/healthz", livenessProbe: "/healthz", readinessProbe: "/readyz" };
  for (const [probe, path] of Object.entries(paths))
    t.match(container[probe].httpGet, { path, port: "metrics" }, probe);
  t.match(container.resources, { requests: { cpu: String, memory: String }, limits: { memory: String } });
});

t.test("replicas: apart from one another, one at a time disturbed, all behind one Service", async t => {
  const objects = render();
  const { template, selector } = find(objects, "Deployment").spec;
  const { labels } = template.metadata;
  t.match(labels, selector.matchLabels);
  const [{ podAffinityTerm: apart }] =
    template.spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution;
  t.same(apart, { topologyKey: "kubernetes.io/hostname", labelSelector: { matchLabels: labels } });
  const budget = find(objects, "PodDisruptionBudget").spec;
  t.same(budget, { maxUnavailable: 1, selector: { matchLabels: labels } });
  const { spec: service } = find(objects, "Service");
  t.match(service, { selector: labels, sessionAffinity: "ClientIP", ports: [{ protocol: "UDP" }] });
});

t.test("network policy: the tunnel from anywhere, metrics from the cluster, nothing else", async t => {
  const objects = render();
  const { podSelector, policyTypes, ingress } = find(objects, "NetworkPolicy").spec;
  t.same(podSelector.matchLabels, find(objects, "Deployment").spec.template.metadata.labels);
  t.same(policyTypes, ["Ingress"]);
  t.same(ingress, [
    { ports: [{ protocol: "UDP", port: 51820 }] },
    { from: [{ namespaceSelector: {} }], ports: [{ protocol: "TCP", port: 9090 }] },
  ]);
});

t.test("air-gapped: one image, no other chart, no address of anybody's", async t => {
  const chart = parse(readFileSync(`${DEPLOY}chart/Chart.yaml`, "utf8"));
  t.equal(chart.dependencies, undefined);
  const text = renderText(['image.repository="r.example/czctl"', 'imagePullSecrets=[{"name":"login"}]']);
  t.same(text.match(/\bimage: .*/g), ['image: "r.example/czctl:0.1.0"']);
  t.notMatch(text, /https?:/);
  t.match(text, /imagePullSecrets: \[\{"name":"login"\}\]/);
});

t.test("`space install` makes what the chart makes of the same wishes", async t => {
  const sorted = (objects: ReturnType<typeof render>) =>
    Object.fromEntries(
      objects.map(one => [`${one.kind} ${one.metadata.namespace ?? ""}/${one.metadata.name}`, one]),
    );
  const plain = "createNamespace=true";
  t.same(sorted(agentManifests("czctl", {})), sorted(render(plain)));
  t.same(
    sorted(
      agentManifests("czctl", {
        image: "r.example/czctl:9",
        imagePullSecret: "login",
        replicas: 3,
        nodePort: 30820,
        namespaces: ["a", "b"],
      }),
    ),
    sorted(
      render(
        plain,
        'image={"repository":"r.example/czctl","tag":"9"}',
        'imagePullSecrets=[{"name":"login"}]',
        "replicas=3",
        'service={"type":"NodePort","nodePort":30820}',
        'namespaces=["a","b"]',
      ),
    ),
  );
});

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
