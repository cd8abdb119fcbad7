/** The cluster that the DNS tests ask about, with readable virtual addresses. */
import { Prefix } from "../../src/base/index.js";
import { parseRules, placeServices, type Service, VirtualAddresses } from "../../src/catalog/index.js";
import { Zone, type ZoneOptions } from "../../src/dns/index.js";

export const RANGE: Prefix = Prefix.from("198.18.0.0/16");
export const ULA: Prefix = Prefix.from("fd11::/64");

const PERSISTED = {
  "frontend.shop": 7,
  "dual.shop": 8,
  "10.1.0.1@db.shop": 20,
  "10.1.0.2@db.shop": 21,
  "10.1.0.4@db.shop": 22,
  "fd00::4@db.shop": 23,
};
const HTTP = { name: "http", protocol: "tcp", port: 80 } as const;

export const SERVICES: Service[] = [
  {
    namespace: "shop",
    name: "alias",
    kind: "external",
    ports: [],
    targets: [],
    endpoints: [],
    externalName: "frontend.shop.svc.cluster.local",
  },
  {
    namespace: "shop",
    name: "billing",
    kind: "external",
    ports: [],
    targets: [],
    endpoints: [],
    externalName: "billing.example.com",
  },
  {
    namespace: "shop",
    name: "db",
    kind: "headless",
    ports: [{ name: "pg", protocol: "tcp", port: 5432 }],
    targets: [],
    endpoints: [
      { address: "10.1.0.1", hostname: "db-0", ready: true },
      { address: "10.1.0.2", ready: true },
      { address: "10.1.0.3", hostname: "db-2", ready: false },
      { address: "10.1.0.4", hostname: "db-3", ready: true },
      { address: "fd00::4", hostname: "db-3", ready: true },
    ],
  },
  {
    namespace: "shop",
    name: "dual",
    kind: "cluster",
    ports: [HTTP],
    targets: ["10.96.0.8", "fd00:96::8"],
    endpoints: [],
  },
  {
    namespace: "shop",
    name: "frontend",
    kind: "cluster",
    ports: [HTTP, { name: "quic", protocol: "udp", port: 443 }],
    targets: ["10.96.3.9"],
    endpoints: [],
  },
  {
    namespace: "shop",
    name: "idle",
    kind: "headless",
    ports: [HTTP],
    targets: [],
    endpoints: [{ address: "10.1.9.9", ready: false }],
  },
  {
    namespace: "shop",
    name: "loop",
    kind: "external",
    ports: [],
    targets: [],
    endpoints: [],
    externalName: "loop.shop.svc.cluster.local",
  },
];

export function makeZone(options: Partial<ZoneOptions> = {}, services: readonly Service[] = SERVICES): Zone {
  const virtual = new VirtualAddresses(RANGE, ULA, PERSISTED);
  return new Zone({
    domain: "cluster.local",
    services: placeServices(services, parseRules("*").rules, virtual).placed,
    primaryNamespace: "shop",
    ranges: [RANGE, ULA],
    serial: 42,
    ...options,
  });
}
