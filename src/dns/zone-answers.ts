/**
 * One question in, one answer out: the Kubernetes DNS specification 1.1.0, and where that is silent, what
 * CoreDNS does.
 *
 *   ZONE, and each reverse zone            SOA NS
 *   ns.dns.ZONE                            A AAAA      (the responder itself)
 *   dns-version.ZONE                       TXT
 *   SVC.NS.svc.ZONE                        A AAAA SRV, or CNAME (ExternalName)
 *   ENDPOINT.SVC.NS.svc.ZONE               A AAAA      (headless)
 *   _PORT._PROTO.SVC.NS.svc.ZONE           SRV A AAAA
 *   1-2-3-4.NS.pod.ZONE                    A AAAA      (endpoints of headless services)
 *   …in-addr.arpa, …ip6.arpa               PTR         (virtual addresses)
 *   SVC.NS, SVC.NS.svc, SVC                as SVC.NS.svc.ZONE, only where such a service exists (and SVC.NS
 *                                          only where `hasShortNames`)
 *
 * A known name without the type asked for is NODATA, an unknown one NXDOMAIN, both with the SOA (RFC 2308).
 * Whatever else is not ours: REFUSED.
 */
import { Address, Prefix } from "../base/index.js";
import { hasShortNames, type PlacedService, type ServicePort } from "../catalog/index.js";
import { endpointLabel, type Zone } from "./zone.js";

export const TTL_SECONDS = 5;
/** CNAMEs followed within the zone. */
const ALIAS_MAX = 8;
const DNS_VERSION = "1.1.0";

export type Rcode = "NOERROR" | "NXDOMAIN" | "SERVFAIL" | "REFUSED";

/** In the shape that dns-packet encodes. */
export type DnsRecord = { name: string; ttl: number } & (
  | { type: "A" | "AAAA" | "CNAME" | "NS" | "PTR" | "TXT"; data: string }
  | { type: "SRV"; data: { priority: number; weight: number; port: number; target: string } }
  | { type: "SOA"; data: SoaData }
);

export interface SoaData {
  mname: string;
  rname: string;
  serial: number;
  refresh: number;
  retry: number;
  expire: number;
  minimum: number;
}

export interface ZoneAnswer {
  rcode: Rcode;
  answers: DnsRecord[];
  authority: DnsRecord[];
  additional: DnsRecord[];
}

/**
 * @param name as asked, dot at the end or not; answers repeat it letter for letter (RFC 4343 §3)
 * @param type by its mnemonic: `AAAA`
 */
export function answer(zone: Zone, name: string, type: string): ZoneAnswer {
  const asked = name.replace(/\.$/, "");
  const lower = asked.toLowerCase();
  if (lower === zone.domain || lower.endsWith(`.${zone.domain}`)) {
    if (!zone.synced) return empty("SERVFAIL");
    if (type === "AXFR" || type === "IXFR") return empty("REFUSED");
    const labels = lower.slice(0, -zone.domain.length - 1).split(".");
    return answerInZone(zone, asked, lower === zone.domain ? [] : labels, type);
  }
  if (lower.endsWith(".arpa")) return answerReverse(zone, asked, lower, type);
  const node = findShort(zone, lower.split("."));
  // A short name is a zone of its own: its SOA stands at the name itself.
  return node === null ? empty("REFUSED") : answerNode(zone, asked, node, type, soaRecord(zone, asked));
}

/** What a name below a namespace stands for. */
interface Node {
  alias: string | null;
  /** One for a cluster service, one for each endpoint of a headless one. */
  hosts: { target: string; addresses: readonly Address[] }[];
  ports: readonly ServicePort[];
}

/** @param labels what stands before the zone's domain, in lower case */
function answerInZone(zone: Zone, asked: string, labels: readonly string[], type: string): ZoneAnswer {
  const soa = soaRecord(zone, zone.domain);
  if (labels.length === 0) return answerApex(zone, soa, type);
  if (labels.join(".") === "ns.dns") return answerNameServer(zone, asked, type, soa);
  const branch = labels.at(-1) as string;
  const namespace = labels.at(-2);
  if (labels.length === 1 && branch === "dns-version") {
    if (type !== "TXT") return nodata(soa);
    return found([{ name: asked, ttl: TTL_SECONDS, type: "TXT", data: DNS_VERSION }]);
  }
  if (branch !== "svc" && branch !== "pod") return nxdomain(soa);
  if (namespace === undefined) return nodata(soa);
  if (labels.length === 2) return zone.namespaces.has(namespace) ? nodata(soa) : nxdomain(soa);
  const node =
    branch === "svc" ? findService(zone, labels.slice(0, -2), namespace) : findPod(zone, labels, namespace);
  return node === null ? nxdomain(soa) : answerNode(zone, asked, node, type, soa);
}

/** What every zone has at its top: RFC 1034 §4.2.1. */
function answerApex(zone: Zone, soa: DnsRecord, type: string): ZoneAnswer {
  if (type === "SOA") return found([soa]);
  if (type !== "NS") return nodata(soa);
  const data = nameServerName(zone);
  const additional = [
    ...addressRecords(data, zone.nameServers, "A"),
    ...addressRecords(data, zone.nameServers, "AAAA"),
  ];
  return { ...found([{ name: soa.name, ttl: TTL_SECONDS, type: "NS", data }]), additional };
}

function answerNameServer(zone: Zone, asked: string, type: string, soa: DnsRecord): ZoneAnswer {
  const answers = type === "A" || type === "AAAA" ? addressRecords(asked, zone.nameServers, type) : [];
  return answers.length === 0 ? nodata(soa) : found(answers);
}

/** @param labels `SVC`, or with more before it */
function findService(zone: Zone, labels: readonly string[], namespace: string): Node | null {
  const name = labels.at(-1) as string;
  const placed = zone.find(name, namespace);
  if (placed === undefined) return null;
  const { service } = placed;
  const below = labels.slice(0, -1);
  if (service.kind === "external") {
    const alias = service.externalName ?? null;
    return below.length > 0 || alias === null ? null : { alias, hosts: [], ports: [] };
  }
  const whole: Node = { alias: null, hosts: hostsOf(zone, placed), ports: service.ports };
  if (whole.hosts.length === 0) return null;
  if (below.length === 0) return whole;
  if (below.length === 1) {
    const target = `${below[0]}.${serviceName(zone, placed)}`;
    const hosts = service.kind === "headless" ? whole.hosts.filter(host => host.target === target) : [];
    return hosts.length === 0 ? null : { ...whole, hosts };
  }
  const ports = service.ports.filter(
    port => below[0] === `_${port.name}` && below[1] === `_${port.protocol}`,
  );
  return below.length > 2 || ports.length === 0 ? null : { ...whole, ports };
}

/** One for each distinct name: a dual-stack pod is two endpoints of one host name. */
function hostsOf(zone: Zone, placed: PlacedService): Node["hosts"] {
  const name = serviceName(zone, placed);
  if (placed.service.kind === "cluster") return [{ target: name, addresses: placed.addresses }];
  const byTarget = new Map<string, Address[]>();
  for (const endpoint of placed.endpoints) {
    const target = `${endpointLabel(endpoint)}.${name}`;
    byTarget.set(target, [...(byTarget.get(target) ?? []), ...endpoint.addresses]);
  }
  return [...byTarget].map(([target, addresses]) => ({ target, addresses }));
}

function findPod(zone: Zone, labels: readonly string[], namespace: string): Node | null {
  const addresses = labels.length === 3 ? zone.findPod(labels[0] as string, namespace) : undefined;
  return addresses === undefined ? null : { alias: null, hosts: [{ target: "", addresses }], ports: [] };
}

/** The names that the hosts file has as well. They are nobody's zone, so only those that exist are ours. */
function findShort(zone: Zone, labels: readonly string[]): Node | null {
  if (labels.length === 1) {
    return zone.primaryNamespace === null ? null : findService(zone, labels, zone.primaryNamespace);
  }
  const inner = labels.length > 2 && labels.at(-1) === "svc" ? labels.slice(0, -1) : labels;
  const namespace = inner.at(-1) as string;
  const node =
    inner === labels && !hasShortNames(namespace) ? null : findService(zone, inner.slice(0, -1), namespace);
  return node ?? (inner === labels ? null : findService(zone, labels.slice(0, -1), "svc"));
}

function answerNode(zone: Zone, asked: string, node: Node, type: string, soa: DnsRecord): ZoneAnswer {
  if (node.alias !== null) return answerAlias(zone, asked, node.alias, type);
  if (type === "A" || type === "AAAA") {
    const records = node.hosts.flatMap(host => addressRecords(asked, host.addresses, type));
    return records.length > 0 ? found(records) : nodata(soa);
  }
  if (type !== "SRV" || node.ports.length === 0) return nodata(soa);
  const weight = Math.max(1, Math.floor(100 / node.hosts.length));
  const records = node.hosts.flatMap(({ target }) =>
    node.ports.map(({ port }): DnsRecord => {
      const data = { priority: 0, weight, port, target };
      return { name: asked, ttl: TTL_SECONDS, type: "SRV", data };
    }),
  );
  const additional = node.hosts.flatMap(({ target, addresses }) => [
    ...addressRecords(target, addresses, "A"),
    ...addressRecords(target, addresses, "AAAA"),
  ]);
  return { ...found(records), additional };
}

/** RFC 1034 §4.3.2 3.a: the alias, and what it stands for as far as that is ours. */
function answerAlias(zone: Zone, asked: string, alias: string, type: string): ZoneAnswer {
  const answers: DnsRecord[] = [];
  let name = asked;
  let target: string | null = alias;
  for (let i = 0; i < ALIAS_MAX && target !== null; i++) {
    if (answers.some(earlier => sameName(earlier.name, name))) break;
    answers.push({ name, ttl: TTL_SECONDS, type: "CNAME", data: target });
    name = target;
    target = null;
    if (type === "CNAME" || !name.endsWith(`.svc.${zone.domain}`)) break;
    const labels = name.slice(0, -zone.domain.length - 5).split(".");
    const node: Node | null =
      labels.length < 2 ? null : findService(zone, labels.slice(0, -1), labels.at(-1) as string);
    if (node === null) break;
    target = node.alias;
    if (target === null) answers.push(...answerNode(zone, name, node, type, soaRecord(zone, name)).answers);
  }
  return found(answers);
}

function answerReverse(zone: Zone, asked: string, lower: string, type: string): ZoneAnswer {
  const reverse = parseReverse(lower);
  const range = zone.ranges.find(own =>
    reverse === null
      ? lower.endsWith(`.${reverseName(own)}`) && endsAtLabel(own)
      : own.bits <= reverse.bits && own.contains(reverse.address),
  );
  if (range === undefined) return empty("REFUSED");
  if (!zone.synced) return empty("SERVFAIL");
  if (type === "AXFR" || type === "IXFR") return empty("REFUSED");
  const top = reverseName(range);
  const soa = soaRecord(zone, top);
  if (lower === top) return answerApex(zone, soa, type);
  // Below a reverse zone, but no address's name.
  if (reverse === null) return nxdomain(soa);
  if (reverse.bits < reverse.address.bits) return nodata(soa);
  const known = zone.findAddress(reverse.address);
  if (known === undefined) return nxdomain(soa);
  if (type !== "PTR") return nodata(soa);
  const name = serviceName(zone, known.owner);
  const data = known.endpoint === null ? name : `${endpointLabel(known.endpoint)}.${name}`;
  return found([{ name: asked, ttl: TTL_SECONDS, type: "PTR", data }]);
}

/** The reverse zones in which every name is one of ours, without a dot at the end. */
export function reverseZones(ranges: readonly Prefix[]): string[] {
  return ranges.filter(endsAtLabel).map(reverseName);
}

/** Whether everything below the prefix's reverse zone belongs to the prefix. */
function endsAtLabel(prefix: Prefix): boolean {
  return prefix.bits % (prefix.address.family === 4 ? 8 : 4) === 0;
}

/** RFC 1035 §3.5, RFC 3596 §2.5: the prefix that a reverse name stands for, whole address or not. */
function parseReverse(name: string): Prefix | null {
  const match = /^(?:(.+)\.)?(in-addr|ip6)\.arpa$/.exec(name);
  if (match === null) return null;
  const parts = (match[1] ?? "")
    .split(".")
    .filter(part => part !== "")
    .reverse();
  if (match[2] === "in-addr") {
    const address = Address.parse([...parts, "0", "0", "0", "0"].slice(0, 4).join("."));
    return address === null || parts.length > 4 ? null : new Prefix(address, parts.length * 8);
  }
  if (parts.length > 32 || !parts.every(part => /^[0-9a-f]$/.test(part))) return null;
  const digits = parts.join("").padEnd(32, "0");
  const address = Address.parse((digits.match(/.{4}/g) as string[]).join(":"));
  return address === null ? null : new Prefix(address, parts.length * 4);
}

/** The reverse zone that a prefix lies in, at a label's border. */
function reverseName(prefix: Prefix): string {
  const bytes = new Uint8Array(16);
  prefix.address.write(bytes, 0);
  const labels: string[] = [];
  if (prefix.address.family === 4) {
    for (let i = 0; i < prefix.bits >> 3; i++) labels.push(String(bytes[i]));
    return [...labels.reverse(), "in-addr.arpa"].join(".");
  }
  for (let i = 0; i < prefix.bits >> 2; i++) {
    labels.push((((bytes[i >> 1] as number) >> (i % 2 === 0 ? 4 : 0)) & 15).toString(16));
  }
  return [...labels.reverse(), "ip6.arpa"].join(".");
}

/** What CoreDNS calls itself. */
function nameServerName(zone: Zone): string {
  return `ns.dns.${zone.domain}`;
}

function serviceName(zone: Zone, { service }: PlacedService): string {
  return `${service.name}.${service.namespace}.svc.${zone.domain}`;
}

/** RFC 4343 §3. */
function sameName(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}

function addressRecords(name: string, addresses: readonly Address[], type: "A" | "AAAA"): DnsRecord[] {
  const family = type === "A" ? 4 : 6;
  return addresses
    .filter(address => address.family === family)
    .map(address => ({ name, ttl: TTL_SECONDS, type, data: address.toString() }));
}

function soaRecord(zone: Zone, owner: string): DnsRecord {
  const data: SoaData = {
    mname: nameServerName(zone),
    rname: `hostmaster.${zone.domain}`,
    serial: zone.serial,
    refresh: 7200,
    retry: 1800,
    expire: 86_400,
    minimum: TTL_SECONDS,
  };
  return { name: owner, ttl: TTL_SECONDS, type: "SOA", data };
}

function empty(rcode: Rcode): ZoneAnswer {
  return { rcode, answers: [], authority: [], additional: [] };
}

function found(answers: DnsRecord[]): ZoneAnswer {
  return { ...empty("NOERROR"), answers };
}

function nodata(soa: DnsRecord): ZoneAnswer {
  return { ...empty("NOERROR"), authority: [soa] };
}

function nxdomain(soa: DnsRecord): ZoneAnswer {
  return { ...empty("NXDOMAIN"), authority: [soa] };
}
