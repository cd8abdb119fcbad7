/**
 * Prometheus' text format 0.0.4, written. The figures are other processes' counters as they stand, taken when
 * somebody asks, so there is no registry here: a family is written with all its samples at once.
 */

export type MetricType = "gauge" | "counter" | "histogram";
export type Labels = Readonly<Record<string, string>>;
export type Sample = readonly [labels: Labels, value: number];

export class Exposition {
  readonly #prefix: string;
  readonly #lines: string[] = [];

  /** @param prefix of every name: `czctl_agent_` */
  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** One family. `samples`: a figure, or one for each set of labels. */
  add(
    type: Exclude<MetricType, "histogram">,
    name: string,
    help: string,
    samples: number | readonly Sample[],
  ): void {
    this.#head(type, name, help);
    const list: readonly Sample[] = typeof samples === "number" ? [[{}, samples]] : samples;
    for (const [labels, value] of list) this.#sample(name, labels, value);
  }

  /** @param counts of each bucket alone, in the order of `bounds` @param count with those above the last bound */
  addHistogram(
    name: string,
    help: string,
    bounds: readonly number[],
    { counts, count, sum }: { counts: readonly number[]; count: number; sum: number },
  ): void {
    this.#head("histogram", name, help);
    let below = 0;
    bounds.forEach((bound, i) => {
      below += counts[i] ?? 0;
      this.#sample(`${name}_bucket`, { le: String(bound) }, below);
    });
    this.#sample(`${name}_bucket`, { le: "+Inf" }, count);
    this.#sample(`${name}_sum`, {}, sum);
    this.#sample(`${name}_count`, {}, count);
  }

  toString(): string {
    return `${this.#lines.join("\n")}\n`;
  }

  #head(type: MetricType, name: string, help: string): void {
    this.#lines.push(`# HELP ${this.#prefix}${name} ${help}`, `# TYPE ${this.#prefix}${name} ${type}`);
  }

  #sample(name: string, labels: Labels, value: number): void {
    const parts = Object.entries(labels).map(([key, text]) => `${key}="${escapeLabel(text)}"`);
    this.#lines.push(`${this.#prefix}${name}${parts.length === 0 ? "" : `{${parts.join(",")}}`} ${value}`);
  }
}

function escapeLabel(text: string): string {
  return text.replace(/[\\"]/g, "\\$&").replaceAll("\n", "\\n");
}
