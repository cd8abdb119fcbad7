/**
 * The cluster as the watches tell it, kept as small as the catalog needs it, and made into the catalog. Only
 * services that something happened to are joined with their endpoints again.
 */
import { compareServices, type SourceService, serviceKey } from "../../catalog/index.js";
import type { ForbiddenAddresses } from "../forbidden.js";
import { refusals } from "../target-addresses.js";
import {
  isHidden,
  joinEndpoints,
  type KubernetesEndpointSlice,
  type KubernetesObject,
  type KubernetesService,
  readService,
  readSlice,
  type ServiceShape,
  type SliceShape,
} from "./kubernetes-objects.js";

export type Resource = "namespaces" | "services" | "endpointslices";

export class KubernetesTable {
  readonly #forbidden: ForbiddenAddresses;
  readonly #warn: (message: string) => void;
  readonly #hiddenNamespaces = new Set<string>();
  readonly #services = new Map<string, ServiceShape>();
  /** Slices by service key, then by the slice's own name. */
  readonly #slices = new Map<string, Map<string, SliceShape>>();
  readonly #sliceOwner = new Map<string, string>();
  /** Keys of services with other names. */
  readonly #aliased = new Set<string>();
  readonly #built = new Map<string, SourceService>();
  readonly #dirty = new Set<string>();
  /** What was refused, by object, so that it is said once and not with every change. */
  readonly #complaints = new Map<string, string>();

  constructor(forbidden: ForbiddenAddresses, warn: (message: string) => void) {
    this.#forbidden = forbidden;
    this.#warn = warn;
  }

  set(resource: Resource, object: KubernetesObject): void {
    if (resource === "services") this.#setService(object);
    else if (resource === "endpointslices") this.#setSlice(object);
    else this.#setNamespace(object.metadata?.name ?? "", isHidden(object));
  }

  delete(resource: Resource, object: KubernetesObject): void {
    const key = keyOf(object);
    if (resource === "services") this.#deleteService(key);
    else if (resource === "endpointslices") this.#deleteSlice(key);
    else this.#setNamespace(object.metadata?.name ?? "", false);
  }

  /** The whole of a resource, or the whole of one namespace's: what is not among `objects` is gone. */
  replace(resource: Resource, objects: readonly KubernetesObject[], namespace: string | null): void {
    const kept = new Set(objects.map(keyOf));
    const goes = (key: string, of: string | undefined): boolean =>
      !kept.has(key) && (namespace === null || namespace === of);
    if (resource === "services") {
      for (const [key, shape] of this.#services) if (goes(key, shape.namespace)) this.#deleteService(key);
    } else if (resource === "endpointslices") {
      // The last label: a slice's own name may hold dots, a namespace's cannot.
      for (const key of this.#sliceOwner.keys()) if (goes(key, key.split(".").at(-1))) this.#deleteSlice(key);
    } else {
      for (const name of this.#hiddenNamespaces) if (goes(`${name}.`, name)) this.#setNamespace(name, false);
    }
    for (const object of objects) this.set(resource, object);
  }

  /** The catalog now, in catalog order. */
  services(): SourceService[] {
    for (const key of this.#dirty) this.#rebuild(key);
    this.#dirty.clear();
    return [...this.#built.values(), ...this.#aliases()].sort(compareServices);
  }

  /** The same services by their other names, where those are free. Of two that claim one, the first in order. */
  #aliases(): SourceService[] {
    const claimed = new Map<string, SourceService>();
    for (const key of [...this.#aliased].sort()) {
      const source = this.#built.get(key);
      const taken: string[] = [];
      for (const name of this.#services.get(key)?.aliases ?? []) {
        const alias = serviceKey({ namespace: source?.namespace ?? "", name });
        if (this.#services.has(alias) || claimed.has(alias)) taken.push(`alias ${name}: that name is taken`);
        else if (source !== undefined) claimed.set(alias, { ...source, name });
      }
      this.#complain(`${key} aliases`, taken);
    }
    return [...claimed.values()];
  }

  #setService(object: KubernetesService): void {
    const key = keyOf(object);
    const reasons: string[] = [];
    const shape = readService(object, why => reasons.push(why));
    this.#complain(key, reasons);
    if (shape === null) this.#services.delete(key);
    else this.#services.set(key, shape);
    if (shape !== null && shape.aliases.length > 0) this.#aliased.add(key);
    else this.#aliased.delete(key);
    this.#dirty.add(key);
  }

  #deleteService(key: string): void {
    this.#services.delete(key);
    this.#aliased.delete(key);
    this.#complaints.delete(key);
    this.#complaints.delete(`${key} aliases`);
    this.#complaints.delete(`${key} addresses`);
    this.#dirty.add(key);
  }

  #setSlice(object: KubernetesEndpointSlice): void {
    const key = keyOf(object);
    this.#deleteSlice(key);
    const slice = readSlice(object);
    if (slice === null) return;
    const owner = `${slice.service}.${object.metadata?.namespace ?? ""}`;
    const siblings = this.#slices.get(owner) ?? new Map<string, SliceShape>();
    siblings.set(key, slice);
    this.#slices.set(owner, siblings);
    this.#sliceOwner.set(key, owner);
    this.#dirty.add(owner);
  }

  #deleteSlice(key: string): void {
    const owner = this.#sliceOwner.get(key);
    if (owner === undefined) return;
    this.#sliceOwner.delete(key);
    const siblings = this.#slices.get(owner);
    siblings?.delete(key);
    if (siblings?.size === 0) this.#slices.delete(owner);
    this.#dirty.add(owner);
  }

  #setNamespace(name: string, hidden: boolean): void {
    if (this.#hiddenNamespaces.has(name) === hidden) return;
    if (hidden) this.#hiddenNamespaces.add(name);
    else this.#hiddenNamespaces.delete(name);
    for (const [key, { namespace }] of this.#services) if (namespace === name) this.#dirty.add(key);
  }

  #rebuild(key: string): void {
    const shape = this.#services.get(key);
    if (shape === undefined || shape.hidden || this.#hiddenNamespaces.has(shape.namespace)) {
      this.#built.delete(key);
      return;
    }
    const source = joinEndpoints(shape, this.#slices.get(key)?.values() ?? []);
    const refused = refusals(source, this.#forbidden);
    this.#complain(
      `${key} addresses`,
      refused.map(refusal => refusal.message),
    );
    const bad = new Set(refused.map(refusal => refusal.address));
    source.clusterIps = source.clusterIps.filter(address => !bad.has(address));
    source.endpoints = source.endpoints.filter(endpoint => !bad.has(endpoint.address));
    this.#built.set(key, source);
  }

  #complain(about: string, reasons: readonly string[]): void {
    const text = reasons.join("; ");
    if ((this.#complaints.get(about) ?? "") === text) return;
    if (text === "") this.#complaints.delete(about);
    else {
      this.#complaints.set(about, text);
      this.#warn(about.endsWith(" addresses") ? text : `${about.replace(/ aliases$/, "")}: ${text}`);
    }
  }
}

/** `name.namespace`, also of slices; `name.` of what has no namespace. */
function keyOf({ metadata }: KubernetesObject): string {
  return serviceKey({ namespace: metadata?.namespace ?? "", name: metadata?.name ?? "" });
}
