/**
 * The services of one teamspace as they are now: what a device was told, or what an agent has discovered.
 * Fed with whole snapshots and single changes; says what each of them changed.
 */
import { type Service, serviceKey } from "./service.js";

/** What `apply` understands; `CatalogEvent` of the control API is one. */
export type CatalogUpdate =
  | { type: "snapshot"; services: readonly Service[] }
  | { type: "upsert"; service: Service }
  | { type: "remove"; namespace: string; name: string }
  | { type: "revoked" }
  | { type: "ping" };

export interface CatalogChange {
  /** New or different now, in catalog order. */
  upserted: Service[];
  /** As they were before they went away, in catalog order. */
  removed: Service[];
}

type ServiceName = Pick<Service, "namespace" | "name">;

export class Catalog {
  private readonly byKey = new Map<string, Service>();
  private sorted: readonly Service[] | null = null;
  private gotSnapshot = false;

  /** Whether a snapshot has arrived: until then absence means nothing. */
  get synced(): boolean {
    return this.gotSnapshot;
  }

  /** All services by namespace, then name. The array is not changed later. */
  get services(): readonly Service[] {
    this.sorted ??= [...this.byKey.values()].sort(compareServices);
    return this.sorted;
  }

  get size(): number {
    return this.byKey.size;
  }

  /** @param key as `serviceKey` makes it: `service.namespace` */
  get(key: string): Service | undefined {
    return this.byKey.get(key);
  }

  apply(update: CatalogUpdate): CatalogChange {
    const change: CatalogChange = { upserted: [], removed: [] };
    if (update.type === "snapshot") this.applySnapshot(update.services, change);
    else if (update.type === "upsert") this.upsert(update.service, change);
    else if (update.type === "remove") this.remove(serviceKey(update), change);
    else if (update.type === "revoked") this.applySnapshot([], change);
    if (change.upserted.length + change.removed.length > 0) this.sorted = null;
    return change;
  }

  private applySnapshot(services: readonly Service[], change: CatalogChange): void {
    this.gotSnapshot = true;
    const kept = new Set(services.map(serviceKey));
    for (const key of [...this.byKey.keys()]) if (!kept.has(key)) this.remove(key, change);
    for (const service of services) this.upsert(service, change);
    change.upserted.sort(compareServices);
    change.removed.sort(compareServices);
  }

  private upsert(service: Service, change: CatalogChange): void {
    const key = serviceKey(service);
    const before = this.byKey.get(key);
    if (before !== undefined && sameService(before, service)) return;
    this.byKey.set(key, service);
    change.upserted.push(service);
  }

  private remove(key: string, change: CatalogChange): void {
    const before = this.byKey.get(key);
    if (before === undefined) return;
    this.byKey.delete(key);
    change.removed.push(before);
  }
}

/** Catalog order: by namespace, then name. */
export function compareServices(a: ServiceName, b: ServiceName): number {
  return compareText(a.namespace, b.namespace) || compareText(a.name, b.name);
}

/** By code unit: the same order on every machine, whatever its locale. */
function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function sameService(a: Service, b: Service): boolean {
  return canonical(a) === canonical(b);
}

/** Independent of property order, which differs between a parsed message and an object made here. */
function canonical(service: Service): string {
  const { kind, ports, targets, endpoints, externalName, uncarried } = service;
  return JSON.stringify([
    kind,
    ports.map(port => [port.name ?? "", port.protocol, port.port, port.denied === true]),
    targets,
    endpoints.map(endpoint => [
      endpoint.address,
      endpoint.hostname ?? "",
      endpoint.ready,
      endpoint.leaving ?? "",
    ]),
    externalName ?? "",
    uncarried ?? [],
  ]);
}
