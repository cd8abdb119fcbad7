/**
 * What is asked of the cluster in world.ts, and the answers that the Kubernetes DNS specification 1.1.0 and
 * CoreDNS give: the code, the answers, `/` the authority, `+` the additional records.
 */
/** A service with a cluster address. */
export const F: string = "frontend.shop.svc.cluster.local";
/** A headless one. */
export const D: string = "db.shop.svc.cluster.local";
const SOA = (owner: string) =>
  `${owner} SOA ns.dns.cluster.local hostmaster.cluster.local 42 7200 1800 86400 5`;
const REVERSE6 = (last: string) => `${last}.${"0.".repeat(26)}1.1.d.f.ip6.arpa`;
const ZONE6 = "0.0.0.0.0.0.0.0.0.0.0.0.1.1.d.f.ip6.arpa";

const NODATA = (owner: string = "cluster.local") => ["NOERROR", `/ ${SOA(owner)}`];
const NXDOMAIN = (owner: string = "cluster.local") => ["NXDOMAIN", `/ ${SOA(owner)}`];

/** Asked of the zone directly, and of the running responder over every transport. */
export const QUESTIONS: readonly [name: string, type: string, ...expected: string[]][] = [
  // The zone's own names.
  ["cluster.local", "SOA", "NOERROR", SOA("cluster.local")],
  ["cluster.local", "A", ...NODATA()],
  [
    "cluster.local",
    "NS",
    "NOERROR",
    "cluster.local NS ns.dns.cluster.local",
    "+ ns.dns.cluster.local A 198.18.0.2",
    "+ ns.dns.cluster.local AAAA fd11::2",
  ],
  ["ns.dns.cluster.local", "A", "NOERROR", "ns.dns.cluster.local A 198.18.0.2"],
  ["ns.dns.cluster.local", "AAAA", "NOERROR", "ns.dns.cluster.local AAAA fd11::2"],
  ["ns.dns.cluster.local", "TXT", ...NODATA()],
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
  [
    "loop.shop.svc.cluster.local",
    "A",
    "NOERROR",
    "loop.shop.svc.cluster.local CNAME loop.shop.svc.cluster.local",
  ],
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
  ["x.0.18.198.in-addr.arpa", "PTR", ...NXDOMAIN("18.198.in-addr.arpa")],
  ["1.7.0.18.198.in-addr.arpa", "PTR", ...NXDOMAIN("18.198.in-addr.arpa")],
  ["300.0.18.198.in-addr.arpa", "PTR", ...NXDOMAIN("18.198.in-addr.arpa")],
  ["x.198.in-addr.arpa", "PTR", "REFUSED"],
  ["18.198.in-addr.arpa", "SOA", "NOERROR", SOA("18.198.in-addr.arpa")],
  ["18.198.in-addr.arpa", "AXFR", "REFUSED"],
  [ZONE6, "SOA", "NOERROR", SOA(ZONE6)],
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
