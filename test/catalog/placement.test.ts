import t from "tap";
import { Prefix } from "../../src/base/index.js";
import {
  hostEntries,
  parseRules,
  placeServices,
  type Service,
  VirtualAddresses,
  virtualRoutes,
} from "../../src/catalog/index.js";

const RANGE = Prefix.from("198.18.0.0/16");
const ULA = Prefix.from("fd11::/64");
const AGENT = Prefix.from("fdaa::/64");
// Chosen numbers instead of hashes, so that the expectations can be read.
const PERSISTED = {
  "frontend.shop": 7,
  "api.shop": 8,
  "pool.shop": 9,
  "10.1.0.1@db.shop": 20,
  "10.1.0.2@db.shop": 21,
  "fd00::1@db6.shop": 30,
};
const tcp = (port: number) => ({ protocol: "tcp", port }) as const;

const SERVICES: Service[] = [
  {
    namespace: "shop",
    name: "api",
    kind: "cluster",
    ports: [tcp(80)],
    targets: ["10.96.0.8", "fd00:96::8"],
    endpoints: [],
  },
  {
    namespace: "shop",
    name: "billing",
    kind: "external",
    ports: [],
    targets: [],
    endpoints: [],
    externalName: "b.example.com",
  },
  {
    namespace: "shop",
    name: "db",
    kind: "headless",
    ports: [tcp(5432)],
    targets: [],
    endpoints: [
      { address: "10.1.0.1", hostname: "db-0", ready: true },
      { address: "10.1.0.2", ready: true },
      { address: "10.1.0.3", ready: false },
    ],
  },
  {
    namespace: "shop",
    name: "db6",
    kind: "headless",
    ports: [tcp(5432)],
    targets: [],
    endpoints: [{ address: "fd00::1", ready: true }],
  },
  {
    namespace: "shop",
    name: "frontend",
    kind: "cluster",
    ports: [tcp(80), tcp(9090)],
    targets: ["10.96.3.9"],
    endpoints: [],
  },
  {
    namespace: "shop",
    name: "pool",
    kind: "cluster",
    ports: [tcp(80)],
    targets: ["fdaa::99"],
    endpoints: [],
  },
];

function place(rules: string, services: Service[] = SERVICES) {
  const virtual = new VirtualAddresses(RANGE, ULA, PERSISTED);
  return placeServices(services, parseRules(rules).rules, virtual, AGENT).placed;
}

t.test("routes: every virtual address, to a target of its family where there is one", async t => {
  const routes = virtualRoutes(place("*\n!*:9090")).map(r => [
    r.virtual,
    r.target,
    r.name,
    r.ports.map(p => p.port),
  ]);
  t.strictSame(routes, [
    ["198.18.0.8", "10.96.0.8", "api.shop", [80]],
    ["fd11::8", "fd00:96::8", "api.shop", [80]],
    ["198.18.0.20", "10.1.0.1", "db.shop", [5432]],
    ["198.18.0.21", "10.1.0.2", "db.shop", [5432]],
    ["198.18.0.30", "fd00::1", "db6.shop", [5432]],
    ["fd11::1e", "fd00::1", "db6.shop", [5432]],
    ["198.18.0.7", "10.96.3.9", "frontend.shop", [80]],
    ["198.18.0.9", "fdaa::99", "pool.shop", [80]],
  ]);
});

t.test("names: by service, short to long, bare only in the primary namespace", async t => {
  const placed = place("frontend.shop\ndb.shop\napi.shop\nbilling.shop");
  const three = (name: string) => [`${name}.shop`, `${name}.shop.svc`, `${name}.shop.svc.k8s.test`];
  t.strictSame(hostEntries(placed, "k8s.test", null), [
    { address: "198.18.0.8", names: three("api") },
    { address: "fd11::8", names: three("api") },
    { address: "198.18.0.20", names: three("db") },
    { address: "198.18.0.20", names: three("db-0.db") },
    { address: "198.18.0.21", names: three("db") },
    { address: "198.18.0.7", names: three("frontend") },
  ]);
  t.strictSame(hostEntries(placed, "k8s.test", "other"), hostEntries(placed, "k8s.test", null));
  t.strictSame(hostEntries(place("frontend.shop"), "cluster.local", "shop"), [
    {
      address: "198.18.0.7",
      names: ["frontend", "frontend.shop", "frontend.shop.svc", "frontend.shop.svc.cluster.local"],
    },
  ]);
});

t.test("RFC 6761 §6.3: no service takes localhost", async t => {
  const local: Service[] = [
    { ...SERVICES[0]!, name: "localhost", targets: ["10.96.0.8"] },
    { ...SERVICES[0]!, namespace: "localhost", targets: ["10.96.0.9"] },
  ];
  const names = hostEntries(place("*", local), "cluster.local", "shop").flatMap(entry => entry.names);
  t.notOk(names.includes("localhost"));
  t.notOk(names.includes("api.localhost"));
  t.ok(names.includes("localhost.shop"));
});

t.test("what is no longer consumed gives its address back, and the range can run out", async t => {
  const virtual = new VirtualAddresses(Prefix.from("10.0.0.0/29"), ULA);
  const many = Array.from({ length: 5 }, (_, i): Service => ({ ...SERVICES[4]!, name: `s${i}` }));
  const all = parseRules("*").rules;
  const first = placeServices(many, all, virtual);
  t.strictSame(first.unplaced, ["s4.shop"], "four addresses: 3 to 6");
  t.strictSame(first.placed[4]?.addresses, []);
  t.equal(virtualRoutes(first.placed).length, 4);
  const second = placeServices(many, parseRules("*\n!s0.shop").rules, virtual);
  t.strictSame(second.unplaced, []);
  t.strictSame(second.placed[0]?.addresses, first.placed[1]?.addresses, "the others stay where they were");
});
