/**
 * Where each device was last heard from, kept over restarts (`DIR/endpoints.json`). A new agent knocks there, so
 * devices need not find out for themselves, after fifteen seconds of silence, that their session is gone.
 * A convenience: a file that cannot be read or written costs that and nothing else.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { type Logger, parseEndpoint } from "../base/index.js";
import { replaceFile } from "./state.js";

/** Between two writes: a reconnecting crowd costs a few, and a single change is on disk at once. */
const SAVE_PAUSE_MS = 500;

const schema = z.record(
  z.string(),
  z.string().refine(text => parseEndpoint(text) !== null),
);

export class LastEndpoints {
  readonly #path: string;
  readonly #log: Logger;
  #endpoints = new Map<string, string>();
  #pause: NodeJS.Timeout | undefined;
  #unsaved = false;

  constructor(dir: string, log: Logger) {
    this.#path = join(dir, "endpoints.json");
    this.#log = log;
  }

  async load(): Promise<void> {
    const text = await readFile(this.#path, "utf8").catch(() => "{}");
    try {
      this.#endpoints = new Map(Object.entries(schema.parse(JSON.parse(text))));
    } catch {
      this.#log.warn("endpoints.json is damaged; devices will reconnect by themselves");
    }
  }

  get(publicKey: string): string | undefined {
    return this.#endpoints.get(publicKey);
  }

  set(publicKey: string, endpoint: string): void {
    this.#endpoints.set(publicKey, endpoint);
    this.#changed();
  }

  delete(publicKey: string): void {
    if (this.#endpoints.delete(publicKey)) this.#changed();
  }

  /** Writes what is still unwritten. */
  async close(): Promise<void> {
    clearTimeout(this.#pause);
    if (this.#unsaved) await this.#save();
  }

  #changed(): void {
    this.#unsaved = true;
    if (this.#pause === undefined) void this.#save();
  }

  async #save(): Promise<void> {
    this.#unsaved = false;
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      if (this.#unsaved) void this.#save();
    }, SAVE_PAUSE_MS).unref();
    await replaceFile(this.#path, Object.fromEntries(this.#endpoints)).catch((error: Error) =>
      this.#log.warn("cannot write endpoints.json", { error: error.message }),
    );
  }
}
