/**
 * What the DNS responder knows: the consumed services of one teamspace, found by their names and by their
 * addresses. Built anew whenever the catalog, the rules or the primary namespace change; `zone-answers.ts`
 * reads it.
 */
import type { Address, Prefix } from "../base/index.js";
import { DNS_INDEX, type PlacedEndpoint, type PlacedService, serviceKey } from "../catalog/index.js";

export interface ZoneOptions {
  /** Cluster domain without a dot at the end: `cluster.local`. */
  domain: string;
  /** Null until the catalog has arrived: every name of the zone is then SERVFAIL. */
  services: readonly PlacedService[] | null;
  /** Whose services are also answered by their bare name. */
  primaryNamespace: string | null;
  /** Where virtual addresses come from: the reverse zones that are ours. */
  ranges: readonly Prefix[];
  /** SOA serial (RFC 1982). */
  serial: number;
}

export interface AddressOwner {
  readonly owner: PlacedService;
  /** Null for the address of a whole service. */
  readonly endpoint: PlacedEndpoint | null;
}

export class Zone {
  readonly domain: string;
  readonly synced: boolean;
  readonly primaryNamespace: string | null;
  readonly ranges: readonly Prefix[];
  /** The responder's own virtual addresses. */
  readonly nameServers: readonly Address[];
  readonly serial: number;
  readonly namespaces: ReadonlySet<string>;
  private readonly byKey = new Map<string, PlacedService>();
  private readonly byAddress = new Map<string, AddressOwner>();
  private readonly pods = new Map<string, readonly Address[]>();

  constructor(options: ZoneOptions) {
    this.domain = options.domain.toLowerCase();
    this.synced = options.services !== null;
    this.primaryNamespace = options.primaryNamespace;
    this.ranges = options.ranges;
    this.nameServers = options.ranges.map(range => range.address.plus(DNS_INDEX));
    this.serial = options.serial;
    const services = options.services ?? [];
    this.namespaces = new Set(services.map(placed => placed.service.namespace));
    for (const owner of services) {
      this.byKey.set(serviceKey(owner.service), owner);
      for (const address of owner.addresses)
        this.byAddress.set(address.toString(), { owner, endpoint: null });
      for (const endpoint of owner.endpoints) {
        this.pods.set(`${dashed(endpoint.endpoint.address)}.${owner.service.namespace}`, endpoint.addresses);
        for (const address of endpoint.addresses) this.byAddress.set(address.toString(), { owner, endpoint });
      }
    }
  }

  find(name: string, namespace: string): PlacedService | undefined {
    return this.byKey.get(serviceKey({ name, namespace }));
  }

  /** Virtual addresses of the pod called `name` (`10-244-1-7`), when a headless service consumes it. */
  findPod(name: string, namespace: string): readonly Address[] | undefined {
    return this.pods.get(`${name}.${namespace}`);
  }

  findAddress(address: Address): AddressOwner | undefined {
    return this.byAddress.get(address.toString());
  }
}

/** An address as the label that stands for it in pod and endpoint names: `10-244-1-7`, `fd00--7`. */
function dashed(address: string): string {
  return address.replace(/[.:]/g, "-");
}

/** What an endpoint is called below its headless service: its own name, or its address. */
export function endpointLabel({ endpoint }: PlacedEndpoint): string {
  return endpoint.hostname ?? dashed(endpoint.address);
}
