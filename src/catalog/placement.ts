/**
 * Joins the three things that make a service reachable on a laptop: the catalog's service, the rules that
 * consume it, and its virtual addresses. Names (`names.ts`), the DNS zone and the data plane's routes are all
 * made from the result.
 */
import { Address, type Prefix } from "../base/index.js";
import { type Rule, restrictService } from "./rules.js";
import { type Protocol, type Service, type ServiceEndpoint, serviceKey } from "./service.js";
import type { VirtualAddresses } from "./virtual-addresses.js";

export interface PlacedEndpoint {
  readonly endpoint: ServiceEndpoint;
  readonly addresses: readonly Address[];
}

export interface PlacedService {
  /** With the consumed ports only. */
  readonly service: Service;
  /** Kind "cluster": its virtual addresses, IPv4 first. */
  readonly addresses: readonly Address[];
  /** Kind "headless": the ready endpoints. */
  readonly endpoints: readonly PlacedEndpoint[];
}

export interface Placement {
  readonly placed: PlacedService[];
  /** Keys that got no address because the range is full. */
  readonly unplaced: string[];
}

/**
 * Decides what is consumed and gives each its addresses; those no longer consumed are released.
 *
 * Every service has an IPv4 virtual address, whatever its family in the cluster; the splice on the way does
 * not mind. It has an IPv6 one as well when it is reached by IPv6 in the cluster, as it would have there.
 * @param services in the order that the result shall have
 * @param madeUp the agent's own prefix: addresses in it say nothing about the service's family
 */
export function placeServices(
  services: readonly Service[],
  rules: readonly Rule[],
  virtual: VirtualAddresses,
  madeUp: Prefix | null = null,
): Placement {
  const consumed = services
    .map(service => restrictService(rules, service))
    .filter(service => service !== null);
  virtual.releaseOthers(new Set(consumed.flatMap(addressKeys)));
  const unplaced: string[] = [];
  const addressesOf = (key: string, families: Families): Address[] => {
    const pair = virtual.assign(key);
    if (pair === null) {
      unplaced.push(key);
      return [];
    }
    return [...(families.v4 ? [pair.v4] : []), ...(families.v6 ? [pair.v6] : [])];
  };

  const placed = consumed.map((service): PlacedService => {
    if (service.kind === "external") return { service, addresses: [], endpoints: [] };
    if (service.kind === "cluster") {
      const v6 = service.targets.some(target => isV6(target) && !isWithin(target, madeUp));
      return { service, addresses: addressesOf(serviceKey(service), { v4: true, v6 }), endpoints: [] };
    }
    const ready = service.endpoints.filter(endpoint => endpoint.ready);
    const anyV4 = ready.some(endpoint => !isV6(endpoint.address));
    const endpoints = ready.map(endpoint => {
      const v6 = isV6(endpoint.address);
      return { endpoint, addresses: addressesOf(endpointKey(endpoint, service), { v4: !v6 || !anyV4, v6 }) };
    });
    return { service, addresses: [], endpoints };
  });
  return { placed, unplaced };
}

interface Families {
  v4: boolean;
  v6: boolean;
}

/** Of the keys of one service, those that own a virtual address. */
function addressKeys(service: Service): string[] {
  if (service.kind === "cluster") return [serviceKey(service)];
  if (service.kind === "external") return [];
  return service.endpoints.filter(endpoint => endpoint.ready).map(endpoint => endpointKey(endpoint, service));
}

function endpointKey(endpoint: ServiceEndpoint, service: Service): string {
  return `${endpoint.address}@${serviceKey(service)}`;
}

function isV6(address: string): boolean {
  return address.includes(":");
}

function isWithin(address: string, prefix: Prefix | null): boolean {
  const parsed = Address.parse(address);
  return prefix !== null && parsed !== null && prefix.contains(parsed);
}

/** The data plane's `Route` (api/dataplane.ts). */
export interface VirtualRoute {
  virtual: string;
  target: string;
  name: string;
  ports: { protocol: Protocol; port: number; denied?: true }[];
}

/** One route for each virtual address, to a target of the same family where there is one. */
export function virtualRoutes(placed: readonly PlacedService[]): VirtualRoute[] {
  const routes: VirtualRoute[] = [];
  for (const { service, addresses, endpoints } of placed) {
    const name = serviceKey(service);
    const ports = service.ports.map(({ name: _, ...port }) => port);
    const add = (virtuals: readonly Address[], targets: readonly string[]) => {
      for (const virtual of virtuals) {
        const target = targets.find(text => isV6(text) === (virtual.family === 6)) ?? targets[0];
        if (target !== undefined) routes.push({ virtual: virtual.toString(), target, name, ports });
      }
    };
    add(addresses, service.targets);
    for (const { endpoint, addresses: own } of endpoints) add(own, [endpoint.address]);
  }
  return routes;
}
