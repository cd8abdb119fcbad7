/**
 * How long a dead data plane stays dead: the first that dies is followed at once, and those that die soon after their
 * start ever later. For whoever starts them, daemon and agent.
 */
import type { Milliseconds } from "../base/index.js";

const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 5_000;
/** One that has run for so long was not broken from the start. */
const STABLE_MS = 10_000;

export class RestartDelay {
  #deaths = 0;
  #startedAt: Milliseconds = 0;

  started(now: Milliseconds): void {
    this.#startedAt = now;
  }

  /** It has done what it is for. */
  worked(): void {
    this.#deaths = 0;
  }

  /** Returns how long to wait with the next one. */
  died(now: Milliseconds): Milliseconds {
    if (now - this.#startedAt >= STABLE_MS) this.#deaths = 0;
    const delayMs = this.#deaths === 0 ? 0 : Math.min(FIRST_DELAY_MS * 2 ** (this.#deaths - 1), MAX_DELAY_MS);
    this.#deaths++;
    return delayMs;
  }
}
