/** The demo's lines: a mark, a name, a time, a sentence; and all of them as one JSON line at the end. */
interface Step {
  name: string;
  ok: boolean;
  ms: number;
  detail: string;
  skipped?: true;
}

export class Steps {
  readonly #json: boolean;
  readonly #steps: Step[] = [];
  readonly #start = performance.now();

  constructor(json: boolean) {
    this.#json = json;
  }

  get failed(): boolean {
    return this.#steps.some(step => !step.ok);
  }

  /** A step that later ones build on: throws when it fails. */
  async run<T>(name: string, body: () => Promise<[T, string]>): Promise<T> {
    const start = performance.now();
    try {
      const [value, detail] = await body();
      this.#add({ name, ok: true, ms: performance.now() - start, detail });
      return value;
    } catch (error) {
      this.#add({ name, ok: false, ms: performance.now() - start, detail: (error as Error).message });
      throw error;
    }
  }

  /** A step that stands for itself. */
  async check(name: string, body: () => Promise<string>): Promise<void> {
    await this.run(name, async () => [undefined, await body()]).catch(() => {});
  }

  skip(name: string, why: string): void {
    this.#add({ name, ok: true, ms: 0, detail: `skipped: ${why}`, skipped: true });
  }

  #add(step: Step): void {
    step.ms = Math.round(step.ms * 10) / 10;
    this.#steps.push(step);
    const mark = step.skipped ? "–" : step.ok ? "✓" : "✗";
    console.log(`${mark} ${step.name.padEnd(15)} ${step.ms.toFixed(0).padStart(5)} ms   ${step.detail}`);
  }

  /** The exit code. */
  end(): number {
    const seconds = ((performance.now() - this.#start) / 1000).toFixed(1);
    const outcome = this.failed ? "failed" : "ok";
    console.log(`\ndemo: ${outcome} in ${seconds} s`);
    if (this.#json) console.log(JSON.stringify({ demo: outcome, steps: this.#steps }));
    return this.failed ? 1 : 0;
  }
}
