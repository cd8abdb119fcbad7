/**
 * Follows the agent's catalog stream (`api/agent.ts`) through the data plane's Unix socket, for as long as it
 * is told to. A stream that ends, breaks the contract or falls silent is opened again after a back-off; the
 * owner keeps the last catalog meanwhile.
 */
import { request } from "node:http";
import { CATALOG_PATH, CATALOG_PING_MS, type CatalogEvent } from "../api/index.js";
import type { Logger } from "../base/index.js";
import { parseCatalogEvent } from "./catalog-events.js";

const BACKOFF_MIN_MS = 100;
const BACKOFF_MAX_MS = 2_000;
/** A SYN through a dead tunnel is never answered. */
const ANSWER_TIMEOUT_MS = 5_000;
/** One lost ping is no reason to part. */
const SILENCE_LIMIT_MS = 2.5 * CATALOG_PING_MS;
const LINE_LIMIT_CHARS = 64 * 1024 * 1024;

export interface CatalogClientOptions {
  socketPath: string;
  log: Logger;
  /** Returns why the stream is to be ended, if it is. */
  onEvent(event: CatalogEvent): string | undefined;
  /** The stream ended or could not be opened. */
  onDown(reason: string): void;
}

export class CatalogClient {
  #options: CatalogClientOptions;
  #backoffMs = BACKOFF_MIN_MS;
  #retry: NodeJS.Timeout | undefined;
  #silence: NodeJS.Timeout | undefined;
  #abort: AbortController | undefined;
  #running = false;

  constructor(options: CatalogClientOptions) {
    this.#options = options;
  }

  /** Opens the stream now, also when it waits for its back-off. */
  start(): void {
    this.stop();
    this.#running = true;
    this.#backoffMs = BACKOFF_MIN_MS;
    this.#open();
  }

  stop(): void {
    this.#running = false;
    clearTimeout(this.#retry);
    clearTimeout(this.#silence);
    this.#abort?.abort();
  }

  #open(): void {
    const abort = new AbortController();
    this.#abort = abort;
    let over = false;
    const down = (reason: string): void => {
      if (over) return;
      over = true;
      clearTimeout(this.#silence);
      abort.abort();
      if (!this.#running || this.#abort !== abort) return;
      this.#retry = setTimeout(() => this.#open(), this.#backoffMs);
      this.#backoffMs = Math.min(2 * this.#backoffMs, BACKOFF_MAX_MS);
      this.#options.onDown(reason);
    };
    const alive = (limitMs: number, reason: string): void => {
      clearTimeout(this.#silence);
      this.#silence = setTimeout(() => down(reason), limitMs);
    };
    alive(ANSWER_TIMEOUT_MS, "the agent's control API does not answer");
    const call = request({
      socketPath: this.#options.socketPath,
      path: CATALOG_PATH,
      headers: { host: "agent", accept: "application/x-ndjson" },
      agent: false,
      signal: abort.signal,
    });
    call.on("error", error => down(error.message));
    call.on("response", response => {
      response.on("error", error => down(error.message));
      response.on("close", () => down("the agent ended the catalog stream"));
      if (response.statusCode !== 200) return down(`the agent answered ${response.statusCode}`);
      let held = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        if (over) return;
        alive(SILENCE_LIMIT_MS, "the catalog stream fell silent");
        held += chunk;
        if (!chunk.includes("\n")) {
          if (held.length > LINE_LIMIT_CHARS) down("the agent sent an endless line");
          return;
        }
        const lines = held.split("\n");
        held = lines.pop() as string;
        for (const line of lines) {
          if (over) return;
          const objection = this.#take(line);
          if (objection !== undefined) down(objection);
        }
      });
    });
    call.end();
  }

  #take(line: string): string | undefined {
    const event = parseCatalogEvent(line);
    if (event === null) {
      this.#options.log.warn("bad catalog event", { line: line.slice(0, 200) });
      return "the agent sent something that is no catalog event";
    }
    if (event.type === "snapshot") this.#backoffMs = BACKOFF_MIN_MS;
    return this.#options.onEvent(event);
  }
}
