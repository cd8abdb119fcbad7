import t from "tap";
import { answer, type DnsRecord, type ZoneAnswer } from "../../src/dns/index.js";
import { makeZone } from "./world.js";

const F = "frontend.shop.svc.cluster.local";
const D = "db.shop.svc.cluster.local";
const SOA = (owner: string) =>
  `${owner} SOA ns.dns.cluster.local hostmaster.cluster.local 42 7200 1800 86400 5`;
const REVERSE6 = (last: string) => `${last}.${"0.".repeat(26)}1.1.d.f.ip6.arpa`;
const ZONE6 = "0.0.0.0.0.0.0.0.0.0.0.0.1.1.d.f.ip6.arpa";

function text(record: DnsRecord): string {
  const { name, type, data } = record;
  const shown = typeof data === "string" ? data : Object.values(data).join(" ");
  return `${name} ${type} ${shown}`;
}

/** One line: the code, the answers, `/` the authority, `+` the additional records. */
function brief({ rcode, answers, authority, additional }: ZoneAnswer): string[] {
  return [
    rcode,
    ...answers.map(text),
    ...authority.map(record => `/ ${text(record)}`),
    ...additional.map(record => `+ ${text(record)}`),
  ];
}

const NODATA = (owner: string = "cluster.local") => ["NOERROR", `/ ${SOA(owner)}`];
const NXDOMAIN = (owner: string = "cluster.local") => ["NXDOMAIN", `/ ${SOA(owner)}`];

const TABLE: [name: string, type: string, ...expected: string[]][] = [
  // The zone's own names.
  ["cluster.local", "SOA", "NOERROR", SOA("cluster.local")],
  ["cluster.local", "A", ...NODATA()],
  ["dns-version.cluster.local", "TXT", "NOERROR", "dns-version.cluster.local TXT 1.1.0"],
  ["dns-version.cluster.local", "A", ...NODATA()],
  ["svc.cluster.local", "A", ...NODATA()],
  ["pod.cluster.local", "A", ...NODATA()],
  ["shop.svc.cluster.local", "A", ...NODATA()],
  ["shop.pod.cluster.local", "A", ...NODATA()],
  ["nowhere.svc.cluster.local", "A", ...NXDOMAIN()],
  ["nowhere.pod.cluster.local", "A", ...NXDOMAIN()],
  ["other.cluster.local", "A", ...NXDOMAIN()],
  ["frontend.shop.cluster.local", "A", ...NXDOMAIN()],
  // A service with an address.
  [F, "A", "NOERROR", `${F} A 198.18.0.7`],
  [`${F}.`, "A", "NOERROR", `${F} A 198.18.0.7`],
  [F, "AAAA", ...NODATA()],
  [F, "TXT", ...NODATA()],
  [F, "MX", ...NODATA()],
  [F, "HTTPS", ...NODATA()],
  [F, "ANY", ...NODATA()],
  [F, "SOA", ...NODATA()],
  ["dual.shop.svc.cluster.local", "A", "NOERROR", "dual.shop.svc.cluster.local A 198.18.0.8"],
  ["dual.shop.svc.cluster.local", "AAAA", "NOERROR", "dual.shop.svc.cluster.local AAAA fd11::8"],
  ["missing.shop.svc.cluster.local", "A", ...NXDOMAIN()],
  ["frontend.other.svc.cluster.local", "A", ...NXDOMAIN()],
  [`www.${F}`, "A", ...NXDOMAIN()],
  [`a.b.c.${F}`, "A", ...NXDOMAIN()],
  // The case of the question is kept (RFC 4343 §3).
  ["FrontEnd.SHOP.svc.Cluster.Local", "A", "NOERROR", "FrontEnd.SHOP.svc.Cluster.Local A 198.18.0.7"],
  // SRV: named ports, the target is the service.
  [`_http._tcp.${F}`, "SRV", "NOERROR", `_http._tcp.${F} SRV 0 100 80 ${F}`, `+ ${F} A 198.18.0.7`],
  [`_quic._udp.${F}`, "SRV", "NOERROR", `_quic._udp.${F} SRV 0 100 443 ${F}`, `+ ${F} A 198.18.0.7`],
  [`_HTTP._tcp.${F}`, "SRV", "NOERROR", `_HTTP._tcp.${F} SRV 0 100 80 ${F}`, `+ ${F} A 198.18.0.7`],
  [`_http._udp.${F}`, "SRV", ...NXDOMAIN()],
  [`_nope._tcp.${F}`, "SRV", ...NXDOMAIN()],
  [`http.tcp.${F}`, "SRV", ...NXDOMAIN()],
  [`_tcp.${F}`, "SRV", ...NXDOMAIN()],
  [`_http._tcp.${F}`, "A", "NOERROR", `_http._tcp.${F} A 198.18.0.7`],
  [F, "SRV", "NOERROR", `${F} SRV 0 100 80 ${F}`, `${F} SRV 0 100 443 ${F}`, `+ ${F} A 198.18.0.7`],
  // Headless: ready endpoints only; with a host name, or else called by their address.
  [D, "A", "NOERROR", `${D} A 198.18.0.20`, `${D} A 198.18.0.21`, `${D} A 198.18.0.22`],
  [D, "AAAA", "NOERROR", `${D} AAAA fd11::17`],
  [`db-0.${D}`, "A", "NOERROR", `db-0.${D} A 198.18.0.20`],
  [`db-0.${D}`, "AAAA", ...NODATA()],
  [`db-3.${D}`, "AAAA", "NOERROR", `db-3.${D} AAAA fd11::17`],
  [`db-2.${D}`, "A", ...NXDOMAIN()],
  [`10-1-0-2.${D}`, "A", "NOERROR", `10-1-0-2.${D} A 198.18.0.21`],
  [`10-1-0-1.${D}`, "A", ...NXDOMAIN()],
  ["idle.shop.svc.cluster.local", "A", ...NXDOMAIN()],
  [
    `_pg._tcp.${D}`,
    "SRV",
    "NOERROR",
    `_pg._tcp.${D} SRV 0 33 5432 db-0.${D}`,
    `_pg._tcp.${D} SRV 0 33 5432 10-1-0-2.${D}`,
    `_pg._tcp.${D} SRV 0 33 5432 db-3.${D}`,
    `+ db-0.${D} A 198.18.0.20`,
    `+ 10-1-0-2.${D} A 198.18.0.21`,
    `+ db-3.${D} A 198.18.0.22`,
    `+ db-3.${D} AAAA fd11::17`,
  ],
  // Pods, as far as a headless service consumes them.
  ["10-1-0-1.shop.pod.cluster.local", "A", "NOERROR", "10-1-0-1.shop.pod.cluster.local A 198.18.0.20"],
  ["fd00--4.shop.pod.cluster.local", "AAAA", "NOERROR", "fd00--4.shop.pod.cluster.local AAAA fd11::17"],
  ["10-9-9-9.shop.pod.cluster.local", "A", ...NXDOMAIN()],
  ["x.10-1-0-1.shop.pod.cluster.local", "A", ...NXDOMAIN()],
  // ExternalName.
  [
    "billing.shop.svc.cluster.local",
    "A",
    "NOERROR",
    "billing.shop.svc.cluster.local CNAME billing.example.com",
  ],
  [
    "billing.shop.svc.cluster.local",
    "CNAME",
    "NOERROR",
    "billing.shop.svc.cluster.local CNAME billing.example.com",
  ],
  ["x.billing.shop.svc.cluster.local", "A", ...NXDOMAIN()],
  [
    "alias.shop.svc.cluster.local",
    "A",
    "NOERROR",
    `alias.shop.svc.cluster.local CNAME ${F}`,
    `${F} A 198.18.0.7`,
  ],
  ["alias.shop.svc.cluster.local", "AAAA", "NOERROR", `alias.shop.svc.cluster.local CNAME ${F}`],
  ["alias.shop.svc.cluster.local", "CNAME", "NOERROR", `alias.shop.svc.cluster.local CNAME ${F}`],
  // Reverse, both families.
  ["7.0.18.198.in-addr.arpa", "PTR", "NOERROR", `7.0.18.198.in-addr.arpa PTR ${F}`],
  ["20.0.18.198.in-addr.arpa", "PTR", "NOERROR", `20.0.18.198.in-addr.arpa PTR db-0.${D}`],
  ["21.0.18.198.in-addr.arpa", "PTR", "NOERROR", `21.0.18.198.in-addr.arpa PTR 10-1-0-2.${D}`],
  [REVERSE6("8.0"), "PTR", "NOERROR", `${REVERSE6("8.0")} PTR dual.shop.svc.cluster.local`],
  [REVERSE6("7.1"), "PTR", "NOERROR", `${REVERSE6("7.1")} PTR db-3.${D}`],
  ["7.0.18.198.in-addr.arpa", "A", ...NODATA("18.198.in-addr.arpa")],
  ["99.0.18.198.in-addr.arpa", "PTR", ...NXDOMAIN("18.198.in-addr.arpa")],
  [REVERSE6("f.f"), "PTR", ...NXDOMAIN(ZONE6)],
  ["18.198.in-addr.arpa", "PTR", ...NODATA("18.198.in-addr.arpa")],
  ["0.18.198.in-addr.arpa", "NS", ...NODATA("18.198.in-addr.arpa")],
  ["9.3.96.10.in-addr.arpa", "PTR", "REFUSED"],
  ["198.in-addr.arpa", "PTR", "REFUSED"],
  ["x.0.18.198.in-addr.arpa", "PTR", "REFUSED"],
  ["in-addr.arpa", "PTR", "REFUSED"],
  // Short names, as in the hosts file: only those that exist.
  ["frontend", "A", "NOERROR", "frontend A 198.18.0.7"],
  ["frontend", "AAAA", ...NODATA("frontend")],
  ["frontend.shop", "A", "NOERROR", "frontend.shop A 198.18.0.7"],
  ["frontend.shop.svc", "A", "NOERROR", "frontend.shop.svc A 198.18.0.7"],
  ["db-0.db.shop", "A", "NOERROR", "db-0.db.shop A 198.18.0.20"],
  ["billing.shop", "A", "NOERROR", "billing.shop CNAME billing.example.com"],
  ["frontend.other", "A", "REFUSED"],
  ["missing", "A", "REFUSED"],
  ["www.frontend.shop", "A", "REFUSED"],
  // Not ours.
  ["www.example.com", "A", "REFUSED"],
  ["local", "A", "REFUSED"],
  ["xcluster.local", "A", "REFUSED"],
  ["cluster.local.corp.example", "A", "REFUSED"],
  [".", "NS", "REFUSED"],
  ["", "A", "REFUSED"],
  ["cluster.local", "AXFR", "REFUSED"],
  [F, "IXFR", "REFUSED"],
];

t.test(`Kubernetes DNS specification 1.1.0: ${TABLE.length} questions`, async t => {
  const zone = makeZone();
  for (const [name, type, ...expected] of TABLE)
    t.strictSame(brief(answer(zone, name, type)), expected, `${name} ${type}`);
});

t.test("every record lives five seconds", async t => {
  const { answers, additional } = answer(makeZone(), `_pg._tcp.${D}`, "SRV");
  for (const record of [...answers, ...additional]) t.equal(record.ttl, 5);
  t.equal(answer(makeZone(), "x.cluster.local", "A").authority[0]?.ttl, 5);
});

t.test("not synced: SERVFAIL for what is ours, REFUSED as ever for the rest", async t => {
  const zone = makeZone({ services: null });
  t.strictSame(brief(answer(zone, F, "A")), ["SERVFAIL"]);
  t.strictSame(brief(answer(zone, "cluster.local", "SOA")), ["SERVFAIL"]);
  t.strictSame(brief(answer(zone, "7.0.18.198.in-addr.arpa", "PTR")), ["SERVFAIL"]);
  t.strictSame(brief(answer(zone, "frontend.shop", "A")), ["REFUSED"]);
  t.strictSame(brief(answer(zone, "example.com", "A")), ["REFUSED"]);
});

t.test("an alias of itself ends", async t => {
  const { answers } = answer(makeZone(), "loop.shop.svc.cluster.local", "A");
  t.ok(answers.length <= 8);
});

t.test("no primary namespace: no bare names; another domain: other long names", async t => {
  const zone = makeZone({ primaryNamespace: null, domain: "k8s.test" });
  t.strictSame(brief(answer(zone, "frontend", "A")), ["REFUSED"]);
  t.strictSame(brief(answer(zone, F, "A")), ["REFUSED"]);
  t.strictSame(brief(answer(zone, "frontend.shop.svc.k8s.test", "A")), [
    "NOERROR",
    "frontend.shop.svc.k8s.test A 198.18.0.7",
  ]);
});

t.test("a service in a namespace called svc is found as well", async t => {
  const services = [
    {
      namespace: "svc",
      name: "web",
      kind: "cluster" as const,
      ports: [],
      targets: ["10.0.0.1"],
      endpoints: [],
    },
  ];
  const zone = makeZone({}, services);
  t.equal(answer(zone, "web.svc", "A").answers.length, 1);
  t.equal(answer(zone, "web.svc.svc", "A").answers.length, 1);
  t.equal(answer(zone, "web.svc.svc.cluster.local", "A").answers.length, 1);
});
