/**
 * What one grant sees of the catalog, immutable, as the lines of the control API. Devices with the same
 * rules share a view, and so the bytes that are sent to them.
 */
import type { CatalogEvent } from "../api/index.js";
import { type Service, serviceKey } from "../catalog/index.js";

/** The part of the snapshot that is the same for everybody. */
export interface Teamspace {
  zone: string;
  teamspace: string;
  agentVersion: string;
}

export class CatalogView {
  readonly teamspace: Teamspace;
  /** Service and its JSON by `service.namespace`. */
  readonly #services: Map<string, { service: Service; json: string }>;
  #snapshot: Buffer | null = null;
  /** The change that was asked for last: every stream of the grant asks for the same one. */
  #delta: { to: CatalogView; lines: Buffer } | null = null;

  constructor(teamspace: Teamspace, services: readonly Service[]) {
    this.teamspace = teamspace;
    this.#services = new Map(
      services.map(service => [serviceKey(service), { service, json: JSON.stringify(service) }]),
    );
  }

  /** One `snapshot` line. */
  snapshot(): Buffer {
    this.#snapshot ??= encodeEvent({
      type: "snapshot",
      ...this.teamspace,
      services: [...this.#services.values()].map(entry => entry.service),
    });
    return this.#snapshot;
  }

  /** The lines that turn this view into `to`; empty when they are the same. */
  deltaTo(to: CatalogView): Buffer {
    if (this.#delta?.to !== to) this.#delta = { to, lines: this.#difference(to) };
    return this.#delta.lines;
  }

  #difference(to: CatalogView): Buffer {
    const lines: Buffer[] = [];
    // Removals first: an address may pass from one service to another.
    for (const [key, { service }] of this.#services) {
      if (to.#services.has(key)) continue;
      lines.push(encodeEvent({ type: "remove", namespace: service.namespace, name: service.name }));
    }
    for (const [key, { service, json }] of to.#services) {
      if (this.#services.get(key)?.json !== json) lines.push(encodeEvent({ type: "upsert", service }));
    }
    return Buffer.concat(lines);
  }
}

export function encodeEvent(event: CatalogEvent): Buffer {
  return Buffer.from(`${JSON.stringify(event)}\n`);
}
