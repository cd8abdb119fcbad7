/** What an agent may say on the catalog stream (`api/agent.ts`), checked; services by `catalog/service-schema.ts`. */
import type { CatalogEvent } from "../api/index.js";
import {
  type Catalog,
  isDnsName,
  isLabel,
  isPlainName,
  parseService,
  type Service,
  serviceKey,
} from "../catalog/index.js";

/** Bounds memory and the hosts file, not ambition. */
export const SERVICES_MAX: number = 50_000;

/** The event in `line`, or null when it is none. */
export function parseCatalogEvent(line: string): CatalogEvent | null {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null) return null;
  const event = value as Partial<Record<string, unknown>>;
  if (event.type === "ping" || event.type === "revoked" || event.type === "draining") {
    return { type: event.type };
  }
  if (event.type === "snapshot") return parseSnapshot(event);
  if (event.type === "upsert") {
    const service = parseService(event.service);
    return service && { type: "upsert", service };
  }
  if (event.type === "remove" && isText(event.namespace, isLabel) && isText(event.name, isLabel)) {
    return { type: "remove", namespace: event.namespace, name: event.name };
  }
  return null;
}

/** Whether the event would make `catalog` larger than any agent's may be. */
export function isTooMany(event: CatalogEvent, catalog: Catalog): boolean {
  if (event.type !== "upsert" || catalog.size < SERVICES_MAX) return false;
  return catalog.get(serviceKey(event.service)) === undefined;
}

function parseSnapshot(event: Partial<Record<string, unknown>>): CatalogEvent | null {
  const { zone, teamspace, agentVersion } = event;
  if (!isText(zone, isDnsName) || !isText(teamspace, isPlainName) || !isText(agentVersion, isPlainName)) {
    return null;
  }
  if (!Array.isArray(event.services) || event.services.length > SERVICES_MAX) return null;
  const services: Service[] = [];
  for (const item of event.services) {
    const service = parseService(item);
    if (service === null) return null;
    services.push(service);
  }
  return { type: "snapshot", zone, teamspace, agentVersion, services };
}

function isText(value: unknown, test: (text: string) => boolean): value is string {
  return typeof value === "string" && test(value);
}
