/**
 * Which names the hosts file carries for which address: for each service the short to the long one, the bare
 * name only in the primary namespace. ExternalName services have none here: a hosts file knows no aliases.
 *
 * Agent and cluster choose these names, so a service `github` in a namespace `com` must not become `github.com`
 * (docs/decisions/0005): see `hasShortNames`.
 */
import { isDnsName } from "./labels.js";
import type { PlacedService } from "./placement.js";

export interface HostEntry {
  readonly address: string;
  /** Shortest first. */
  readonly names: readonly string[];
}

/**
 * @param zone cluster domain: `cluster.local`
 * @param primaryNamespace whose services are also known by their bare name
 */
export function hostEntries(
  placed: readonly PlacedService[],
  zone: string,
  primaryNamespace: string | null,
): HostEntry[] {
  const entries: HostEntry[] = [];
  const add = (address: string, names: readonly string[]) => {
    const safe = names.filter(isPublishable);
    if (safe.length > 0) entries.push({ address, names: safe });
  };
  for (const { service, addresses, endpoints } of placed) {
    const { name, namespace } = service;
    const long = [`${name}.${namespace}.svc`, `${name}.${namespace}.svc.${zone}`];
    if (hasShortNames(namespace)) long.unshift(`${name}.${namespace}`);
    const names = namespace === primaryNamespace ? [name, ...long] : long;
    for (const address of addresses) add(address.toString(), names);
    for (const { endpoint, addresses: own } of endpoints) {
      for (const address of own) {
        add(address.toString(), names);
        const { hostname } = endpoint;
        if (hostname !== undefined)
          add(
            address.toString(),
            long.map(tail => `${hostname}.${tail}`),
          );
      }
    }
  }
  return entries;
}

/** RFC 1591 §2: the generic top-level domains that there were, and the one for the infrastructure. */
const CLASSIC_DOMAINS: ReadonlySet<string> = new Set([..."com edu gov int mil net org".split(" "), "arpa"]);

/**
 * Whether services of the namespace are known as `SERVICE.NAMESPACE`: not where that would be a name below a
 * country's domain (ISO 3166, all those of two letters) or a classic generic one.
 */
export function hasShortNames(namespace: string): boolean {
  return !/^[a-z]{2}$/.test(namespace) && !CLASSIC_DOMAINS.has(namespace);
}

/** RFC 6761 §6.3: `localhost` and what is below it belong to the machine, whatever a service is called. */
function isPublishable(name: string): boolean {
  return isDnsName(name) && name !== "localhost" && !name.endsWith(".localhost");
}
