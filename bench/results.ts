/** Samples into medians, a table and JSON. */
import type { Machine, Usage } from "./cpu.js";
import type { Figure } from "./scenario.js";

export interface Result {
  scenario: string;
  variant: string;
  contender: string;
  unit: string;
  median: number;
  min: number;
  max: number;
  runs: number[];
  cpuSecondsPerGB?: number;
  /** By process: the laptop's, the cluster's. */
  ends?: Usage[];
  /** Share of the machine that programs outside of the benchmark had. */
  others?: number;
}

/** When a scenario was measured, of which version, and how long that took. */
export interface Taken {
  scenario: string;
  commit: string;
  finished: string;
  seconds: number;
}

/** What `--json` writes. */
export interface Report {
  machine: Machine;
  taken: Taken[];
  results: Result[];
}

/** All in one. Of a scenario that was measured again the last time counts, whole: ratios are within one run. */
export function merge(first: Report, ...others: readonly Report[]): Report {
  return others.reduce((earlier, later) => {
    const again = new Set(later.results.map(one => one.scenario));
    const keep = <T extends { scenario: string }>(all: readonly T[]): T[] =>
      all.filter(one => !again.has(one.scenario));
    return {
      machine: later.machine,
      taken: [...keep(earlier.taken), ...later.taken],
      results: [...keep(earlier.results), ...later.results],
    };
  }, first);
}

export function duration(seconds: number): string {
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

const rounded = (value: number): number => Number(value.toPrecision(4));

/** Figures by contender into one result per variant and contender, variants together. */
export function summarize(scenario: string, taken: ReadonlyMap<string, readonly Figure[]>): Result[] {
  const variants = new Set([...taken.values()].flat().map(figure => figure.variant));
  const results: Result[] = [];
  for (const variant of variants) {
    for (const [contender, all] of taken) {
      const figures = all.filter(figure => figure.variant === variant);
      const [first] = figures;
      if (first === undefined) continue;
      const values = figures.map(figure => figure.value);
      const costs = figures.flatMap(figure => figure.cpuSecondsPerGB ?? []);
      results.push({
        scenario,
        variant,
        contender,
        unit: first.unit,
        median: rounded(median(values)),
        min: rounded(Math.min(...values)),
        max: rounded(Math.max(...values)),
        runs: values.map(rounded),
        others: rounded(median(figures.map(figure => figure.others ?? 0))),
        ...(costs.length > 0 ? { cpuSecondsPerGB: rounded(median(costs)) } : {}),
        ...(first.ends === undefined ? {} : { ends: medianEnds(figures.flatMap(one => [one.ends ?? []])) }),
      });
    }
  }
  return results;
}

function medianEnds(runs: readonly (readonly Usage[])[]): Usage[] {
  const of = (name: keyof Usage, i: number): number =>
    rounded(median(runs.map(ends => ends[i]?.[name] ?? Number.NaN)));
  return (runs[0] ?? []).map((_, i) => ({
    user: of("user", i),
    system: of("system", i),
    switches: of("switches", i),
  }));
}

/** One block per variant; the last column is how many times as fast as that peer the subject is. */
export function table(results: readonly Result[], subject: string): string {
  const lines: string[] = [];
  const variants = new Set(results.map(result => `${result.scenario} ${result.variant} (${result.unit})`));
  for (const variant of variants) {
    const rows = results.filter(
      result => `${result.scenario} ${result.variant} (${result.unit})` === variant,
    );
    const own = rows.find(row => row.contender === subject)?.median;
    lines.push(
      "",
      variant.padEnd(28) + ["median", "min", "max", "CPU s/GB", `${subject} ÷ peer`].map(cell).join(""),
    );
    for (const row of rows) {
      const times = own === undefined || row.contender === subject ? "" : ratio(own, row.median);
      const cost = row.cpuSecondsPerGB?.toFixed(2) ?? "–";
      const figures = [row.median, row.min, row.max].map(value => value.toFixed(3));
      lines.push(`  ${row.contender.padEnd(26)}${[...figures, cost, times].map(cell).join("")}`);
    }
  }
  return lines.join("\n");
}

const cell = (text: string): string => text.padStart(14);

/** How many times the peer's figure ours is; nothing to say beside a peer's zero. */
export function ratio(own: number, peer: number): string {
  return peer === 0 ? "" : `${(own / peer).toFixed(2)}×`;
}
