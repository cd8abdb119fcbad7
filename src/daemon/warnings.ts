/** What is not as it should be while the daemon runs on: one line per matter, logged when it changes. */

import type { Problem } from "../api/index.js";
import { CzctlError, type Logger } from "../base/index.js";

export class Warnings {
  readonly #log: Logger;
  readonly #texts = new Map<string, string>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** @param text null: all is well with it */
  set(about: string, text: string | null): void {
    if (text === null) this.#texts.delete(about);
    else if (this.#texts.get(about) !== text) {
      this.#texts.set(about, text);
      this.#log.warn(text);
    }
  }

  get texts(): string[] {
    return [...this.#texts.values()];
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function problemError({ code, message, hint }: Problem): CzctlError {
  return new CzctlError(message, {
    code,
    category: "environment",
    hint: hint ?? "See `czctl logs`.",
  });
}
