/** The daemon's way out, step by step, and what it could not undo. One step that fails keeps none of the others from it. */
import type { Problem } from "../api/index.js";
import type { Logger } from "../base/index.js";
import { messageOf } from "./warnings.js";

export class Leaving {
  /** What stays on the machine; of several the first. */
  leftover: Problem | null = null;
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** @param what as in "cannot …" */
  async step(what: string, step: () => Promise<void> | undefined | void): Promise<void> {
    try {
      await step();
    } catch (error) {
      this.#log.error(`cannot ${what}`, { error });
      this.leftover ??= {
        code: "NOT_CLEAN",
        message: `czctl stopped, but could not ${what}: ${messageOf(error)}`,
        hint: "Run `sudo czctl cleanup`.",
      };
    }
  }
}
