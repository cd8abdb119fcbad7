/**
 * Where a device dials each service inside the tunnel, and what the data plane then does.
 *
 *     cluster address          the same address; kube-proxy balances, endpoints are the fall-back
 *     no cluster address       an address in the agent's own ULA; the agent balances over the endpoints
 *     headless                 each endpoint's own address
 *     external                 nothing to dial: an alias
 */
import { createHash } from "node:crypto";
import type { Target } from "../api/index.js";
import { Address, type Prefix } from "../base/index.js";
import { type Protocol, type Service, type SourceService, serviceKey, toService } from "../catalog/index.js";
import type { ForbiddenAddresses } from "./forbidden.js";

/** A service as devices are told it, and for each of its ports which targets belong to it. */
export interface ExposedService {
  service: Service;
  /** `port` is the service's port as in `service.ports`; `index` counts in `Exposed.targets`. */
  targets: { protocol: Protocol; port: number; index: number }[];
}

export interface Exposed {
  targets: Target[];
  services: ExposedService[];
}

/** Addresses that no catalog may name, as sentences; such a service must not be exposed. */
export function refusals(source: SourceService, forbidden: ForbiddenAddresses): AddressRefusal[] {
  const named = [...source.clusterIps, ...source.endpoints.map(endpoint => endpoint.address)];
  return named.flatMap(address => {
    const parsed = Address.parse(address);
    const why = parsed === null ? "not an IP address" : forbidden.why(parsed);
    return why === null ? [] : [{ address, message: `${serviceKey(source)}: ${address} is refused: ${why}` }];
  });
}

export interface AddressRefusal {
  address: string;
  message: string;
}

/** @param tunnel6 the agent's own /64, from which made-up addresses come */
export function exposeServices(sources: readonly SourceService[], tunnel6: Prefix): Exposed {
  const table = new TargetTable();
  const madeUp = madeUpAddresses(sources, tunnel6);
  const services = sources.map((source): ExposedService => {
    const name = serviceKey(source);
    const made = madeUp.get(name);
    const addresses = made === undefined ? source.clusterIps : [made];
    const exposed: ExposedService = { service: toService(source, addresses), targets: [] };
    const add = (port: number, target: Omit<Target, "name">): void => {
      exposed.targets.push({ protocol: target.protocol, port, index: table.add({ ...target, name }) });
    };
    source.ports.forEach(({ protocol, port }, i) => {
      if (source.kind === "cluster") {
        const ready = source.endpoints.filter(endpoint => endpoint.ready && endpoint.ports[i]);
        const endpoints = ready.map(({ address, ports }) => ({ address, port: ports[i] as number }));
        for (const address of addresses) {
          add(port, { address, protocol, port, direct: made === undefined, endpoints });
        }
      } else if (source.kind === "headless") {
        // Ready or not: which of them to dial is the device's choice, as it is for a pod.
        for (const endpoint of source.endpoints) {
          const own = endpoint.ports[i];
          if (own) add(own, { address: endpoint.address, protocol, port: own, direct: true, endpoints: [] });
        }
      }
    });
    return exposed;
  });
  return { targets: table.targets, services };
}

/** One entry for each address, protocol and port, though several services may name it. */
class TargetTable {
  readonly targets: Target[] = [];
  readonly #indexes = new Map<string, number>();

  add(target: Target): number {
    const key = `${target.address} ${target.protocol} ${target.port}`;
    const known = this.#indexes.get(key);
    if (known === undefined) {
      this.#indexes.set(key, this.targets.length);
      return this.targets.push(target) - 1;
    }
    // A device may be granted one of the services only: what both have in common counts (all, of an alias).
    const first = this.targets[known] as Target;
    const same = JSON.stringify(first.endpoints) === JSON.stringify(target.endpoints);
    if (!same) this.targets[known] = { ...first, endpoints: [] };
    return known;
  }
}

/** Set in the host part of every made-up address; devices are numbered from 1 and never get there. */
const MADE_UP_BIT = 0x80000000;

/** By service key. Stable as long as no two names share a 63-bit hash; then the later name moves by one. */
function madeUpAddresses(sources: readonly SourceService[], tunnel6: Prefix): Map<string, string> {
  const keys = sources
    .filter(source => source.kind === "cluster" && source.clusterIps.length === 0)
    .map(serviceKey)
    .sort();
  const taken = new Set<string>();
  return new Map(
    keys.map(key => {
      let address = madeUpAddress(key, tunnel6);
      while (taken.has(address.toString())) address = address.plus(1);
      taken.add(address.toString());
      return [key, address.toString()];
    }),
  );
}

function madeUpAddress(key: string, tunnel6: Prefix): Address {
  const hash = createHash("sha256").update(key).digest();
  const { w0, w1 } = tunnel6.address;
  return new Address(6, w0, w1, hash.readUInt32BE(0) | MADE_UP_BIT, hash.readUInt32BE(4));
}
