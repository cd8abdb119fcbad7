import t from "tap";
import type { CatalogEvent } from "../../src/api/agent.js";
import {
  Catalog,
  parseService,
  type Service,
  type SourceService,
  serviceKey,
  toService,
} from "../../src/catalog/index.js";

function service(name: string, namespace: string, target: string = "10.96.0.1"): Service {
  return {
    namespace,
    name,
    kind: "cluster",
    ports: [{ protocol: "tcp", port: 80 }],
    targets: [target],
    endpoints: [],
  };
}

t.test("events of the control API in, changes out, order stable", async t => {
  const catalog = new Catalog();
  t.equal(catalog.synced, false);
  const snapshot: CatalogEvent = {
    type: "snapshot",
    zone: "cluster.local",
    teamspace: "dev",
    agentVersion: "0",
    services: [service("web", "shop"), service("db", "shop"), service("web", "blog")],
  };
  const first = catalog.apply(snapshot);
  const order = ["web.blog", "db.shop", "web.shop"];
  t.equal(catalog.synced, true);
  t.strictSame(first.upserted.map(serviceKey), order);
  t.strictSame(catalog.services.map(serviceKey), order);

  t.strictSame(catalog.apply(snapshot), { upserted: [], removed: [] }, "the same again changes nothing");
  t.strictSame(catalog.apply({ type: "ping" }), { upserted: [], removed: [] });

  const before = catalog.services;
  t.strictSame(catalog.apply({ type: "upsert", service: service("db", "shop") }).upserted, [], "equal");
  t.equal(catalog.services, before, "nor is the list made anew");
  const moved = catalog.apply({ type: "upsert", service: service("db", "shop", "10.96.0.2") });
  t.strictSame(moved.upserted.map(serviceKey), ["db.shop"]);
  t.equal(catalog.get("db.shop")?.targets[0], "10.96.0.2");
  t.strictSame(catalog.services.map(serviceKey), order);

  t.strictSame(catalog.apply({ type: "remove", namespace: "shop", name: "db" }).removed.map(serviceKey), [
    "db.shop",
  ]);
  t.strictSame(catalog.apply({ type: "remove", namespace: "shop", name: "db" }).removed, [], "gone already");
  const last = catalog.apply({ type: "snapshot", services: [service("api", "shop")] });
  t.strictSame(last.upserted.map(serviceKey), ["api.shop"]);
  t.strictSame(
    last.removed.map(serviceKey),
    ["web.blog", "web.shop"],
    "a snapshot removes what it does not name",
  );
});

t.test("property order of a parsed message is no change", async t => {
  const catalog = new Catalog();
  catalog.apply({ type: "upsert", service: service("web", "shop") });
  const { endpoints, targets, ports, kind, name, namespace } = service("web", "shop");
  const shuffled: Service = { endpoints, targets, ports, kind, name, namespace };
  t.strictSame(catalog.apply({ type: "upsert", service: shuffled }).upserted, []);
});

t.test("every field of a service counts as a change", async t => {
  const variants: Partial<Service>[] = [
    { kind: "headless" },
    { ports: [{ protocol: "udp", port: 80 }] },
    { ports: [{ protocol: "tcp", port: 81 }] },
    { ports: [{ protocol: "tcp", port: 80, name: "http" }] },
    { targets: [] },
    { endpoints: [{ address: "10.0.0.1", ready: true }] },
    { externalName: "x" },
  ];
  for (const variant of variants) {
    const catalog = new Catalog();
    catalog.apply({ type: "upsert", service: service("web", "shop") });
    const { upserted } = catalog.apply({
      type: "upsert",
      service: { ...service("web", "shop"), ...variant },
    });
    t.equal(upserted.length, 1, JSON.stringify(variant));
  }
});

t.test("parseService lets no hostile name through", async t => {
  t.strictSame(parseService({ ...service("web", "shop"), extra: 1 }), service("web", "shop"));
  const headless = {
    ...service("web", "shop"),
    kind: "headless",
    endpoints: [{ address: "fd00::1", hostname: "a", ready: true }],
  };
  t.ok(parseService(headless));
  const hostile: unknown[] = [
    null,
    "web",
    { ...service("web\n6.6.6.6 bank.example.com", "shop") },
    { ...service("web", "shop evil") },
    { ...service("Web", "shop") },
    { ...service("web", "shop"), targets: ["10.0.0.1; rm"] },
    { ...service("web", "shop"), ports: [{ protocol: "tcp", port: 0 }] },
    { ...service("web", "shop"), ports: [{ protocol: "sctp", port: 1 }] },
    { ...service("web", "shop"), endpoints: [{ address: "10.0.0.1", hostname: "a b", ready: true }] },
    { ...service("web", "shop"), kind: "external", externalName: "a b" },
    { ...service("web", "shop"), kind: "other" },
  ];
  for (const value of hostile) t.equal(parseService(value), null, JSON.stringify(value));
});

t.test("toService: what a device is told of a source", async t => {
  const source: SourceService = {
    namespace: "shop",
    name: "db",
    kind: "cluster",
    ports: [{ name: "pg", protocol: "tcp", port: 5432, targetPort: 15432 }],
    clusterIps: ["10.96.0.7"],
    endpoints: [
      { address: "10.1.0.1", hostname: "db-0", ready: true, ports: [15432] },
      { address: "10.1.0.2", ready: false, ports: [25432] },
    ],
  };
  const endpoints = [
    { address: "10.1.0.1", hostname: "db-0", ready: true },
    { address: "10.1.0.2", ready: false },
  ];
  const pg = (port: number) => ({ name: "pg", protocol: "tcp", port });
  const told = { namespace: "shop", name: "db", endpoints };
  t.strictSame(toService(source, ["10.96.0.7"]), {
    ...told,
    kind: "cluster",
    ports: [pg(5432)],
    targets: ["10.96.0.7"],
  });
  const headless: SourceService = { ...source, kind: "headless", clusterIps: [] };
  t.strictSame(
    toService(headless, ["10.96.0.7"]),
    { ...told, kind: "headless", ports: [pg(15432), pg(25432)], targets: [] },
    "headless: the ports that endpoints listen on",
  );
  t.strictSame(toService({ ...headless, endpoints: [] }, []).ports, [pg(15432)]);
});
