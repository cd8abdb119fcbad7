/**
 * The catalog from a Kubernetes API server: Namespaces, Services and EndpointSlices, each followed by a
 * watch, for the whole cluster or for some namespaces. Needs `list` and `watch` on these three, nothing more.
 *
 * The first catalog waits until all of them are known. Later, while the API server cannot be reached, the last
 * good catalog stands. A namespace that the agent was named but may not read is empty: what it may not see, it
 * does not offer.
 */
import { CzctlError, type Logger } from "../../base/index.js";
import type { SourceService } from "../../catalog/index.js";
import type { ForbiddenAddresses } from "../forbidden.js";
import type { KubernetesClient } from "../kubernetes-client.js";
import type { Discovery } from "./discovery.js";
import { KubernetesTable, type Resource } from "./kubernetes-table.js";
import { type Collection, resourceApi } from "./resource-api.js";
import { KubernetesError, ResourceWatch, type WatchClock, type WatchHandler } from "./resource-watch.js";

/** A rollout is many events: they are one change of the catalog. */
const SETTLE_MS = 50;
/** Under churn, publishing takes at most a fifth of the time, and a change waits no longer than this. */
const MAX_SETTLE_MS = 500;
const PUBLISH_SHARE = 4;

const GROUPS: Readonly<Record<Resource, string>> = {
  namespaces: "/api/v1",
  services: "/api/v1",
  endpointslices: "/apis/discovery.k8s.io/v1",
};
const RESOURCES = Object.keys(GROUPS) as Resource[];

/** Of one name: the only list of namespaces that RBAC can allow by `resourceNames`. */
function collectionOf(resource: Resource, namespace: string | null): Collection {
  const base = { group: GROUPS[resource], resource };
  if (namespace === null) return base;
  return resource === "namespaces" ? { ...base, name: namespace } : { ...base, namespace };
}

export interface KubernetesDiscoveryOptions {
  connect(): Promise<Pick<KubernetesClient, "call" | "lines" | "server">>;
  /** Empty: the whole cluster. */
  namespaces: readonly string[];
  forbidden: ForbiddenAddresses;
  log: Logger;
  clock: WatchClock;
}

export class KubernetesDiscovery implements Discovery {
  readonly #options: KubernetesDiscoveryOptions;
  readonly #table: KubernetesTable;
  readonly #stop = new AbortController();
  /** Watches that have not told yet what there is. */
  readonly #waiting = new Set<string>();
  /** Watches that are down, and since when. */
  readonly #down = new Map<string, number>();
  #onCatalog: (services: readonly SourceService[]) => void = () => {};
  #published: { resolve(): void; reject(error: Error): void } | null = null;
  #timer: NodeJS.Timeout | undefined;
  #settleMs = SETTLE_MS;

  constructor(options: KubernetesDiscoveryOptions) {
    this.#options = options;
    this.#table = new KubernetesTable(options.forbidden, message =>
      options.log.warn(`not in the catalog: ${message}`),
    );
  }

  get staleSince(): number | null {
    return this.#down.size === 0 ? null : Math.min(...this.#down.values());
  }

  async start(onCatalog: (services: readonly SourceService[]) => void): Promise<void> {
    const { namespaces, clock, log } = this.#options;
    const client = await this.#options.connect();
    log.info("kubernetes", {
      server: client.server,
      namespaces: namespaces.length === 0 ? "all" : namespaces.join(","),
    });
    this.#onCatalog = onCatalog;
    const first = new Promise<void>((resolve, reject) => {
      this.#published = { resolve, reject };
    });
    const scopes = namespaces.length === 0 ? [null] : namespaces;
    const watches = scopes.flatMap(namespace =>
      RESOURCES.map(resource => {
        const name = namespace === null ? resource : `${resource} of ${namespace}`;
        this.#waiting.add(name);
        const api = resourceApi(client, collectionOf(resource, namespace), clock);
        return new ResourceWatch(api, this.#handler(resource, namespace, name), clock);
      }),
    );
    for (const watch of watches) void watch.run(this.#stop.signal);
    try {
      await first;
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  stop(): void {
    this.#stop.abort();
    clearTimeout(this.#timer);
    this.#published?.resolve();
    this.#published = null;
  }

  #handler(resource: Resource, namespace: string | null, name: string): WatchHandler {
    const { log } = this.#options;
    const known = (): void => {
      this.#waiting.delete(name);
      this.#changed();
    };
    return {
      replace: items => {
        log.debug("kubernetes: listed", { resource: name, objects: items.length });
        this.#table.replace(resource, items, namespace);
        known();
      },
      set: object => {
        this.#table.set(resource, object);
        this.#changed();
      },
      delete: object => {
        this.#table.delete(resource, object);
        this.#changed();
      },
      failed: (error, delayMs) => {
        log.warn("kubernetes: cannot watch", { resource: name, why: error.message, delayMs });
        if (!this.#down.has(name)) this.#down.set(name, Date.now());
        if (!(error instanceof KubernetesError) || error.status !== 403) return;
        if (namespace === null) this.#published?.reject(forbidden(error));
        else {
          this.#table.replace(resource, [], namespace);
          known();
        }
      },
      recovered: () => {
        log.info("kubernetes: watches again", { resource: name });
        this.#down.delete(name);
      },
    };
  }

  #changed(): void {
    if (this.#waiting.size > 0 || this.#timer !== undefined || this.#stop.signal.aborted) return;
    this.#timer = setTimeout(() => this.#publish(), this.#published === null ? this.#settleMs : 0);
  }

  #publish(): void {
    this.#timer = undefined;
    const startedAt = performance.now();
    this.#onCatalog(this.#table.services());
    const costMs = performance.now() - startedAt;
    this.#settleMs = Math.min(Math.max(SETTLE_MS, costMs * PUBLISH_SHARE), MAX_SETTLE_MS);
    this.#published?.resolve();
    this.#published = null;
  }
}

function forbidden(cause: KubernetesError): CzctlError {
  return new CzctlError(`the agent may not read the cluster: ${cause.message}`, {
    code: "KUBERNETES_FORBIDDEN",
    category: "config",
    hint: "Install the agent's Role (deploy/), or name the namespaces it may read with --namespaces.",
    cause,
  });
}
