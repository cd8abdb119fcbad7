/**
 * What the DNS responder knows: the consumed services of one teamspace, found by their names and by their
 * addresses. Built anew whenever the catalog, the rules or the primary namespace change; `zone-answers.ts`
 * reads it.
 */
import type { Address, Prefix } from "../base/index.js";
import { type PlacedEndpoint, type PlacedService, serviceKey } from "../catalog/index.js";

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

export class Zone {
  readonly domain: string;
  readonly synced: boolean;
  readonly primaryNamespace: string | null;
  readonly ranges: readonly Prefix[];
  readonly serial: number;
  readonly namespaces: ReadonlySet<string>;
  private readonly byKey = new Map<string, PlacedService>();
  private readonly byAddress = new Map<string, { owner: PlacedService; endpoint: PlacedEndpoint | null }>();

  constructor(options: ZoneOptions) {
    this.domain = options.domain.toLowerCase();
    this.synced = options.services !== null;
    this.primaryNamespace = options.primaryNamespace;
    this.ranges = options.ranges;
    this.serial = options.serial;
    const services = options.services ?? [];
    this.namespaces = new Set(services.map(placed => placed.service.namespace));
    for (const owner of services) {
      this.byKey.set(serviceKey(owner.service), owner);
      for (const address of owner.addresses)
        this.byAddress.set(address.toString(), { owner, endpoint: null });
      for (const endpoint of owner.endpoints) {
        for (const address of endpoint.addresses) this.byAddress.set(address.toString(), { owner, endpoint });
      }
    }
  }

  find(name: string, namespace: string): PlacedService | undefined {
    return this.byKey.get(serviceKey({ name, namespace }));
  }

  findAddress(address: Address): { owner: PlacedService; endpoint: PlacedEndpoint | null } | undefined {
    return this.byAddress.get(address.toString());
  }

  /** Whether `address` is one that only this zone can name. */
  owns(address: Address): boolean {
    return this.ranges.some(range => range.contains(address));
  }
}
