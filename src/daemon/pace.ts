/**
 * One thing that is to be done soon after it was asked for: a burst of asking costs a few runs, and none waits
 * noticeably. Whoever waits for the next run is woken after it.
 */

export class Pace {
  readonly #pauseMs: number;
  readonly #run: () => boolean;
  readonly #waiting = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined;
  #lastAt: number = Number.NEGATIVE_INFINITY;
  #stopped = false;

  /**
   * @param pauseMs between two runs
   * @param run returns whether the next run is to keep that distance from this one
   */
  constructor(pauseMs: number, run: () => boolean) {
    this.#pauseMs = pauseMs;
    this.#run = run;
  }

  ask(): void {
    if (this.#stopped || this.#timer !== undefined) return;
    const waitMs = this.#lastAt + this.#pauseMs - performance.now();
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        if (this.#run()) this.#lastAt = performance.now();
        for (const wake of [...this.#waiting]) wake();
      },
      Math.max(0, waitMs),
    );
  }

  /** Resolves after the next run, or when the time is over. */
  next(timeoutMs: number): Promise<void> {
    return new Promise(resolve => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, timeoutMs);
      this.#waiting.add(wake);
    });
  }

  /** Nothing runs any more. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }
}
