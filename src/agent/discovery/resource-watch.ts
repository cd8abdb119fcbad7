/**
 * Follows one resource of the Kubernetes API: a list in pages, then a watch from the version of that list,
 * resumed where it broke. What it does, and nothing about what objects mean:
 *
 *     list ──► watch ──► ended by the server ──► watch from the last version seen
 *       ▲        │ └───► broken ──► back off ──► watch from the last version seen
 *       └────────┴─ 410 Gone: that version is forgotten ──► list again
 *
 * Kubernetes API concepts, "Efficient detection of changes": bookmarks move the version on while nothing of
 * ours changes, so a resume rarely costs a list.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { CzctlError } from "../../base/index.js";
import type { KubernetesObject } from "./kubernetes-objects.js";

const FIRST_DELAY_MS = 250;
const MAX_DELAY_MS = 10_000;
/** A watch that ended sooner, and brought nothing, counts as a failure: no loop without a pause. */
const SHORT_WATCH_MS = 1_000;
export const PAGE_SIZE = 500;

export interface ListPage {
  items: KubernetesObject[];
  metadata: { resourceVersion: string; continue?: string };
}

export type WatchLine =
  | { type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK"; object: KubernetesObject }
  | { type: "ERROR"; object: { code?: number; message?: string } };

/** What the API server answers when it answers no. */
export class KubernetesError extends CzctlError {
  readonly status: number;

  constructor(message: string, status: number) {
    super(message, { code: "KUBERNETES_REFUSED", category: "environment" });
    this.status = status;
  }
}

/** One resource of an API server: the seam to the network. Both throw KubernetesError or the network's error. */
export interface ResourceApi {
  list(page: { limit: number; continue?: string }, signal: AbortSignal): Promise<ListPage>;
  watch(resourceVersion: string, signal: AbortSignal): AsyncIterable<WatchLine>;
}

export interface WatchHandler {
  /** All objects there are. */
  replace(items: KubernetesObject[]): void;
  set(object: KubernetesObject): void;
  delete(object: KubernetesObject): void;
  /** `delayMs`: when it is tried again. */
  failed(error: Error, delayMs: number): void;
  recovered(): void;
}

/** Time and chance, so that tests can give their own. */
export interface WatchClock {
  now(): number;
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** From 0 up to, but not including, 1. */
  random(): number;
}

export const systemClock: WatchClock = {
  now: () => performance.now(),
  sleep: (ms, signal) => sleep(ms, undefined, { signal }).catch(() => {}),
  random: () => Math.random(),
};

export class ResourceWatch {
  readonly #api: ResourceApi;
  readonly #handler: WatchHandler;
  readonly #clock: WatchClock;
  /** Where to go on; null: by a list. */
  #version: string | null = null;
  /** In a row. */
  #failures = 0;
  /** Versions that were gone before a watch from them brought anything. */
  #expiries = 0;

  constructor(api: ResourceApi, handler: WatchHandler, clock: WatchClock) {
    this.#api = api;
    this.#handler = handler;
    this.#clock = clock;
  }

  /** Until `signal` aborts. Never throws. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        this.#version ??= await this.#list(signal);
        await this.#watch(this.#version, signal);
      } catch (error) {
        if (signal.aborted) return;
        await this.#pause(error as Error, signal);
      }
    }
  }

  async #list(signal: AbortSignal): Promise<string> {
    const items: KubernetesObject[] = [];
    let next: string | undefined;
    do {
      const page = await this.#api.list(
        { limit: PAGE_SIZE, ...(next === undefined ? {} : { continue: next }) },
        signal,
      );
      for (const item of page.items) items.push(item);
      next = page.metadata.continue || undefined;
      if (next === undefined) {
        this.#handler.replace(items);
        this.#works();
        return page.metadata.resourceVersion;
      }
    } while (!signal.aborted);
    throw new Error("stopped");
  }

  async #watch(version: string, signal: AbortSignal): Promise<void> {
    const startedAt = this.#clock.now();
    let count = 0;
    for await (const line of this.#api.watch(version, signal)) {
      if (line.type === "ERROR") {
        const { code = 500, message = "the watch failed" } = line.object;
        throw new KubernetesError(message, code);
      }
      count++;
      this.#expiries = 0;
      this.#version = line.object.metadata?.resourceVersion ?? this.#version;
      if (line.type === "DELETED") this.#handler.delete(line.object);
      else if (line.type !== "BOOKMARK") this.#handler.set(line.object);
      this.#works();
    }
    if (count === 0 && this.#clock.now() - startedAt < SHORT_WATCH_MS) {
      throw new Error("the API server ends watches at once");
    }
    this.#expiries = 0;
    this.#works();
  }

  async #pause(error: Error, signal: AbortSignal): Promise<void> {
    if (error instanceof KubernetesError && error.status === 410) {
      this.#version = null;
      // Forgotten once is ordinary. A server that forgets every version is not to be asked ever faster.
      if (++this.#expiries === 1) return;
    }
    const attempt = ++this.#failures + Math.max(0, this.#expiries - 1);
    const ceiling = Math.min(FIRST_DELAY_MS * 2 ** (attempt - 1), MAX_DELAY_MS);
    // Half of it by chance: agents that lost the same API server do not come back in step.
    const delayMs = Math.round(ceiling * (0.5 + 0.5 * this.#clock.random()));
    this.#handler.failed(error, delayMs);
    await this.#clock.sleep(delayMs, signal);
  }

  #works(): void {
    if (this.#failures === 0) return;
    this.#failures = 0;
    this.#handler.recovered();
  }
}
