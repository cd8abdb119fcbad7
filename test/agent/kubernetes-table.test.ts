/** What Kubernetes objects become in the catalog. */
import t from "tap";
import type { KubernetesService } from "../../src/agent/discovery/kubernetes-objects.js";
import { KubernetesTable } from "../../src/agent/discovery/kubernetes-table.js";
import { ForbiddenAddresses } from "../../src/agent/forbidden.js";
import { Prefix } from "../../src/base/index.js";
import type { SourceService } from "../../src/catalog/index.js";

interface Port {
  name?: string;
  protocol?: string;
  port: number;
  targetPort?: number | string;
}

function service(name: string, spec: Record<string, unknown>, annotations: Record<string, string> = {}) {
  return { metadata: { name, namespace: "shop", annotations }, spec };
}

function cluster(name: string, ports: Port[], ips: string[] = ["10.96.0.7"]) {
  return service(name, { type: "ClusterIP", clusterIP: ips[0], clusterIPs: ips, ports });
}

function slice(name: string, of: string, endpoints: unknown[], ports: Port[], addressType: string = "IPv4") {
  const labels = { "kubernetes.io/service-name": of };
  return { metadata: { name, namespace: "shop", labels }, addressType, endpoints, ports };
}

function world(): { table: KubernetesTable; warnings: string[]; one(): SourceService } {
  const warnings: string[] = [];
  const forbidden = new ForbiddenAddresses([Prefix.from("100.126.0.0/16")]);
  const table = new KubernetesTable(forbidden, warning => warnings.push(warning));
  const one = (): SourceService => table.services()[0] as SourceService;
  return { table, warnings, one };
}

const at = (address: string, conditions?: object, hostname?: string) => ({
  addresses: [address],
  ...(conditions === undefined ? {} : { conditions }),
  ...(hostname === undefined ? {} : { hostname }),
});

t.test("ClusterIP, dual-stack, with numbered and named target ports", async t => {
  const { table, one } = world();
  table.set(
    "services",
    cluster(
      "web",
      [
        { name: "http", port: 80, targetPort: 8080 },
        { name: "admin", port: 81, targetPort: "admin" },
      ],
      ["10.96.0.7", "fd00:10:96:0::7"],
    ),
  );
  const http = { name: "http", port: 8080 };
  table.set(
    "endpointslices",
    slice("web-1", "web", [at("10.244.1.9")], [http, { name: "admin", port: 9001 }]),
  );
  // Another version of the pod names another number.
  table.set(
    "endpointslices",
    slice("web-2", "web", [at("10.244.1.2")], [http, { name: "admin", port: 9002 }]),
  );
  t.same(one(), {
    namespace: "shop",
    name: "web",
    kind: "cluster",
    ports: [
      { name: "http", protocol: "tcp", port: 80, targetPort: 8080 },
      { name: "admin", protocol: "tcp", port: 81, targetPort: 81 },
    ],
    clusterIps: ["10.96.0.7", "fd00:10:96::7"],
    endpoints: [
      { address: "10.244.1.2", ready: true, ports: [8080, 9002] },
      { address: "10.244.1.9", ready: true, ports: [8080, 9001] },
    ],
  });
});

t.test("headless: hostnames, both families, an endpoint that is not ready", async t => {
  const { table, one } = world();
  table.set("services", service("db", { clusterIP: "None", clusterIPs: ["None"], ports: [{ port: 5432 }] }));
  const port = [{ name: "", port: 5432 }];
  const pods = [at("10.244.1.1", { ready: true }, "db-0"), at("10.244.1.2", { ready: false }, "db-1")];
  table.set("endpointslices", slice("db-4", "db", pods, port));
  table.set("endpointslices", slice("db-6", "db", [at("fd00::1", {}, "db-0")], port, "IPv6"));
  t.equal(one().kind, "headless");
  t.same(one().clusterIps, []);
  t.same(one().endpoints, [
    { address: "10.244.1.1", hostname: "db-0", ready: true, ports: [5432] },
    { address: "10.244.1.2", hostname: "db-1", ready: false, ports: [5432] },
    { address: "fd00::1", hostname: "db-0", ready: true, ports: [5432] },
  ]);
});

t.test("ExternalName; one that is no name", async t => {
  const { table, one, warnings } = world();
  table.set("services", service("pay", { type: "ExternalName", externalName: "Pay.Example.com." }));
  t.match(one(), { kind: "external", externalName: "pay.example.com", endpoints: [] });
  table.set("services", service("pay", { type: "ExternalName", externalName: "no name\n1.2.3.4 bank" }));
  t.same(table.services(), []);
  t.match(warnings, [/^pay\.shop: its externalName is no domain name/]);
});

t.test("SCTP is refused with a reason, once; the other ports stay", async t => {
  const { table, one, warnings } = world();
  const ports = [
    { name: "sig", protocol: "SCTP", port: 36412 },
    { name: "http", protocol: "TCP", port: 80 },
  ];
  table.set("services", cluster("core", ports));
  table.set("services", cluster("core", ports));
  t.same(one().ports, [{ name: "http", protocol: "tcp", port: 80, targetPort: 80 }]);
  t.same(warnings, ["core.shop: port 36412/SCTP: only TCP and UDP can be carried"]);
  table.set("services", cluster("core", [ports[0] as Port]));
  t.match(one(), { ports: [], uncarried: ["36412/sctp"] }, "nothing to connect to, and shown with that");
});

t.test("other names for a service, in its namespace only, where they are free", async t => {
  const { table, warnings } = world();
  const aliased = (name: string, aliases: string): KubernetesService => ({
    ...cluster(name, [{ port: 80 }]),
    metadata: { name, namespace: "shop", annotations: { "codezero.io/aliases": aliases } },
  });
  const names = (): string[] => table.services().map(({ name, clusterIps }) => `${name} ${clusterIps[0]}`);
  table.set("services", aliased("orders", "orders-v2, api,orders"));
  t.same(names(), ["api 10.96.0.7", "orders 10.96.0.7", "orders-v2 10.96.0.7"]);
  table.set("services", cluster("api", [{ port: 81 }]));
  t.same(names(), ["api 10.96.0.7", "orders 10.96.0.7", "orders-v2 10.96.0.7"]);
  t.same(
    table.services().map(({ ports }) => ports[0]?.port),
    [81, 80, 80],
    "a service of that name wins",
  );
  t.same(warnings, ["orders.shop: alias api: that name is taken"]);
  table.set("services", aliased("basket", "orders-v2,github.com,*"));
  t.same(names().length, 4, "the first in order keeps it");
  t.match(warnings.slice(1), [/"github\.com" is no DNS label/, /alias orders-v2: that name is taken/]);
  table.delete("services", aliased("orders", ""));
  table.delete("services", aliased("api", ""));
  t.same(names(), ["basket 10.96.0.7", "orders-v2 10.96.0.7"]);
  table.set("services", aliased("basket", ""));
  t.same(names(), ["basket 10.96.0.7"]);
});

t.test("TCP and UDP on one number keep their endpoints apart", async t => {
  const { table, one } = world();
  const ports = [
    { name: "dns", protocol: "UDP", port: 53 },
    { name: "dns-tcp", protocol: "TCP", port: 53 },
  ];
  table.set("services", cluster("dns", ports));
  const own = [
    { name: "dns-tcp", protocol: "TCP", port: 5354 },
    { name: "dns", protocol: "UDP", port: 5353 },
  ];
  table.set("endpointslices", slice("dns-1", "dns", [at("10.244.0.1")], own));
  t.same(one().endpoints[0]?.ports, [5353, 5354]);
});

t.test("selectorless: manual slices, one naming hosts, addresses that nobody may open", async t => {
  const { table, one, warnings } = world();
  table.set("services", cluster("legacy", [{ port: 80 }]));
  const port = [{ name: "", port: 80 }];
  const all = [at("192.168.7.7"), at("127.0.0.1"), at("169.254.169.254"), at("100.126.0.1"), at("rubbish")];
  table.set("endpointslices", slice("legacy-manual", "legacy", all, port));
  table.set("endpointslices", slice("legacy-fqdn", "legacy", [at("db.example.com")], port, "FQDN"));
  t.same(
    one().endpoints.map(endpoint => endpoint.address),
    ["192.168.7.7"],
  );
  t.match(warnings, [
    /100\.126\.0\.1 is refused.*127\.0\.0\.1 is refused: loopback.*169\.254\.169\.254 is refused.*metadata/,
  ]);
});

t.test("conditions as kube-proxy reads them: ready, else serving and terminating (KEP-1669)", async t => {
  const { table, one } = world();
  table.set("services", cluster("web", [{ port: 80 }]));
  const port = [{ name: "", port: 80 }];
  const leaving = at("10.1.0.1", { ready: false, serving: true, terminating: true });
  const broken = at("10.1.0.2", { ready: false, serving: false });
  const usable = (): string[] =>
    one()
      .endpoints.filter(endpoint => endpoint.ready)
      .map(endpoint => endpoint.address);
  table.set("endpointslices", slice("web-1", "web", [leaving, broken, at("10.1.0.3", {})], port));
  t.same(usable(), ["10.1.0.3"]);
  table.set("endpointslices", slice("web-1", "web", [leaving, broken], port));
  t.same(usable(), ["10.1.0.1"]);
  const gone = at("10.1.0.4", { ready: false, serving: false, terminating: true });
  table.set("endpointslices", slice("web-1", "web", [leaving, broken, gone, at("10.1.0.3", {})], port));
  t.same(
    one().endpoints.map(({ ready, leaving: how }) => how ?? ready),
    ["serving", false, true, "terminating"],
    "and as `services list --endpoints` shows them",
  );
});

t.test("an endpoint in two slices at once is one", async t => {
  const { table, one } = world();
  table.set(
    "services",
    cluster("web", [
      { name: "a", port: 1 },
      { name: "b", port: 2 },
    ]),
  );
  table.set("endpointslices", slice("x", "web", [at("10.1.0.1")], [{ name: "a", port: 11 }]));
  table.set("endpointslices", slice("y", "web", [at("10.1.0.1")], [{ name: "b", port: 12 }]));
  t.same(one().endpoints, [{ address: "10.1.0.1", ready: true, ports: [11, 12] }]);
});

t.test("hidden by annotation or label, service or namespace, and back again", async t => {
  const { table } = world();
  const names = (): string[] => table.services().map(source => source.name);
  const ports = [{ port: 80 }];
  const namespace = (labels: Record<string, string>) => ({ metadata: { name: "shop", labels } });
  table.set("services", cluster("web", ports));
  table.set(
    "services",
    service("secret", { ports, clusterIP: "10.96.0.8" }, { "codezero.io/consume": "false" }),
  );
  t.same(names(), ["web"]);
  table.set("services", service("secret", { ports, clusterIP: "10.96.0.8" }));
  t.same(names(), ["secret", "web"]);
  table.set("namespaces", namespace({ "codezero.io/consume": "false" }));
  t.same(names(), []);
  table.set("namespaces", namespace({}));
  t.same(names(), ["secret", "web"]);
});

t.test("a relist removes what vanished meanwhile, in its own scope only", async t => {
  const { table } = world();
  const names = (): string[] => table.services().map(source => `${source.name}.${source.namespace}`);
  const other = { metadata: { name: "web", namespace: "blog" }, spec: cluster("web", [{ port: 80 }]).spec };
  table.replace("services", [cluster("web", [{ port: 80 }]), cluster("api", [{ port: 80 }])], "shop");
  table.replace("services", [other], "blog");
  table.replace("endpointslices", [slice("s", "web", [at("10.1.0.1")], [{ name: "", port: 80 }])], "shop");
  t.same(names(), ["web.blog", "api.shop", "web.shop"]);
  table.replace("services", [cluster("web", [{ port: 80 }])], "shop");
  t.same(names(), ["web.blog", "web.shop"]);
  table.replace("endpointslices", [], "shop");
  t.same(table.services()[1]?.endpoints, []);
});

t.test("services come in any order with their slices; a slice may change hands", async t => {
  const { table } = world();
  const port = [{ name: "", port: 80 }];
  table.set("endpointslices", slice("s", "web", [at("10.1.0.1")], port));
  table.set("services", cluster("web", [{ port: 80 }]));
  table.set("services", cluster("api", [{ port: 80 }]));
  const counts = (): number[] => table.services().map(source => source.endpoints.length);
  t.same(counts(), [0, 1]);
  table.set("endpointslices", slice("s", "api", [at("10.1.0.1")], port));
  t.same(counts(), [1, 0]);
  table.delete("services", cluster("api", []));
  t.same(counts(), [0]);
});
