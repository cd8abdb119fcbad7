/**
 * The report as text. What is aimed at stands in GOALS; whether it was reached is computed, so that a loss is told as
 * plainly as a win.
 */
import { chart, figure } from "./charts.js";
import { duration, type Report, type Result, ratio } from "./results.js";

const SUBJECT = "czctl";
/** Of a full inner packet of 1420 bytes: TCP between our own ends has no options there (decision 0015). */
const PAYLOAD_BYTES = 1380;

interface Goal {
  scenario: string;
  variants: string[];
  /** Absent: the figure itself is compared. */
  peer?: string;
  least?: number;
  most?: number;
}

const BULK = ["1-up", "1-down", "8-up", "8-down"];
const PATHS = [20, 66, 100].flatMap(rttMs => [0, 1, 3].map(loss => `${rttMs} ms, ${loss} % loss`));
const GOALS: Goal[] = [
  { scenario: "bulk", variants: BULK, peer: "wireguard-go-debian", least: 3 },
  { scenario: "bulk", variants: BULK, peer: "openvpn", least: 5 },
  { scenario: "bulk", variants: BULK, peer: "boringtun", least: 1.5 },
  { scenario: "bulk", variants: BULK, peer: "wireguard-go", least: 1.5 },
  { scenario: "round-trip", variants: ["p50", "p99"], peer: "wireguard-go", most: 0.7 },
  { scenario: "http", variants: ["keep-alive"], peer: "wireguard-go", least: 1 },
  { scenario: "http", variants: ["per-request"], peer: "wireguard-go", least: 0.8 },
  { scenario: "stack-alone", variants: ["1-up", "1-down"], least: 10 },
  { scenario: "stack-alone", variants: ["1-up", "1-down"], peer: "tun2socks", least: 2 },
  { scenario: "stack-alone", variants: ["1-up", "1-down"], peer: "slirp4netns", least: 3 },
  { scenario: "stack-alone", variants: ["1-up", "1-down"], peer: "pasta", least: 3 },
  { scenario: "share", variants: ["AEAD, 1-up", "AEAD, 1-down"], least: 50 },
  { scenario: "impaired", variants: PATHS, peer: "wireguard-go-cubic", least: 1 },
  { scenario: "impaired", variants: PATHS, peer: "wireguard-go-bbr", least: 0.9 },
  { scenario: "dns", variants: ["alone", "beside a download"], least: 20_000 },
  { scenario: "footprint", variants: ["resident"], most: 120 },
  { scenario: "footprint", variants: ["added by 5000 flows"], most: 25 },
  { scenario: "collections", variants: ["laptop, longest", "agent, longest"], most: 5 },
  { scenario: "growth", variants: ["10 minutes, last third over the second"], most: 5 },
  { scenario: "footprint", variants: ["idle CPU"], most: 0.5 },
  { scenario: "footprint", variants: ["wake-ups"], most: 10 },
  { scenario: "footprint", variants: ["up to first byte"], most: 400 },
];

const LESS_IS_BETTER: ReadonlySet<string> = new Set(["µs", "%", "% of a core", "MB"]);

interface Chart {
  file: string;
  title: string;
  svg: string;
}

class Writer {
  private readonly results: readonly Result[];

  constructor(results: readonly Result[]) {
    this.results = results;
  }

  find(scenario: string, variant: string, contender: string = SUBJECT): Result | undefined {
    return this.results.find(
      one => one.scenario === scenario && one.variant === variant && one.contender === contender,
    );
  }

  /** One line per goal and variant that was measured. */
  goals(): string[] {
    const lines = ["| scenario | against | aim | measured | reached |", "|---|---|---|---|---|"];
    for (const { scenario, variants, peer, least, most } of GOALS) {
      for (const variant of variants) {
        const own = this.find(scenario, variant);
        const other = peer === undefined ? undefined : this.find(scenario, variant, peer);
        if (own === undefined || (peer !== undefined && other === undefined)) {
          lines.push(`| ${scenario} ${variant} | ${peer ?? "–"} | | not measured | – |`);
          continue;
        }
        const value = other === undefined ? own.median : own.median / other.median;
        const times = peer === undefined ? ` ${own.unit}` : "×";
        const aim = least === undefined ? `≤ ${most}${times}` : `≥ ${least}${times}`;
        const reached = (least === undefined || value >= least) && (most === undefined || value <= most);
        const measured = `${peer === undefined ? figure(value) : value.toFixed(2)}${times}`;
        lines.push(
          `| ${scenario} ${variant} | ${peer ?? "–"} | ${aim} | ${measured} | ${reached ? "yes" : "**no**"} |`,
        );
      }
    }
    return lines;
  }

  /** Each step alone, and what the whole costs: the difference is named, not hidden. */
  ledger(): string[] {
    const step = (variant: string): number => this.find("ledger", variant)?.median ?? Number.NaN;
    const perPacket = (scenario: string, variant: string): number =>
      (this.find(scenario, variant)?.cpuSecondsPerGB ?? Number.NaN) * PAYLOAD_BYTES;
    const edges = perPacket("stack-alone", "1-up");
    if (Number.isNaN(step("seal") + perPacket("bulk", "1-up") + edges)) return ["Not measured."];
    const items: [string, number][] = [
      ["seal (ChaCha20-Poly1305, 1420 bytes, 44 a call)", step("seal")],
      ["open, 44 a call", step("open")],
      ["tunnel stack, sending side: segment, acknowledgements in", step("stack send")],
      ["tunnel stack, receiving side: segment into the ring, acknowledgements out", step("stack receive")],
      ["UDP send, 44 datagrams a call", step("UDP send")],
      ["UDP receive, 44 datagrams a call", step("UDP receive")],
      ["both edges: TUN, its stack, the service's socket (measured by stack-alone)", edges],
    ];
    const sum = items.reduce((total, [, ns]) => total + ns, 0);
    const lines = ["| step, both ends together | ns per inner packet | share |", "|---|---:|---:|"];
    for (const direction of ["1-up", "1-down"]) {
      const whole = perPacket("bulk", direction);
      if (direction === "1-up") {
        for (const [name, ns] of items) lines.push(row(name, ns, whole));
        lines.push(row("sum of the steps", sum, whole));
      }
      lines.push(
        row(
          `rest, ${direction}: cold caches, wake-ups, forwarding and interrupts, garbage`,
          whole - sum,
          whole,
        ),
      );
      lines.push(row(`**measured end to end, ${direction}**`, whole, whole));
    }
    lines.push(...this.ends());
    lines.push(
      "",
      `A checksum over such a packet would be ${figure(step("checksum"))} ns at each end; between our own ends there is ` +
        "none (decision 0013).",
    );
    const [up, down] = ["1-up", "1-down"].map(round => this.find("share", `AEAD, ${round}`)?.median);
    if (up !== undefined && down !== undefined) {
      lines.push(
        "",
        `Measured within the transfers, the AEAD is ${up.toFixed(0)} % of both data planes' processor time up ` +
          `and ${down.toFixed(0)} % down (aim: 50 %).`,
      );
    }
    return lines;
  }

  /** The same time cut another way: whose it is, and the kernel's part of it. */
  private ends(): string[] {
    const lines = [
      "",
      "Whose time it is (kernel: system calls, with what the packet sets off in them on its way to the next process):",
      "",
      "| ns per inner packet | laptop, own code | laptop, kernel | agent, own code | agent, kernel | leaves its core, per 1,000 packets |",
      "|---|---:|---:|---:|---:|---:|",
    ];
    for (const direction of BULK) {
      const ends = this.find("bulk", direction)?.ends;
      if (ends === undefined) continue;
      const times = ends.flatMap(({ user, system }) => [user * PAYLOAD_BYTES, system * PAYLOAD_BYTES]);
      const switches = ends.map(one => ((one.switches * PAYLOAD_BYTES) / 1e6).toFixed(1)).join(" and ");
      lines.push(`| ${direction} | ${times.map(figure).join(" | ")} | ${switches} |`);
    }
    return lines.length > 5 ? lines : [];
  }

  /** Every figure. */
  tables(): string[] {
    const lines: string[] = [];
    for (const scenario of new Set(this.results.map(one => one.scenario))) {
      const rows = this.results.filter(one => one.scenario === scenario);
      lines.push("", `### ${scenario}`, "");
      lines.push("| | contender | median | min | max | runs | CPU s/GB | others | czctl ÷ peer |");
      lines.push("|---|---|---:|---:|---:|---:|---:|---:|---:|");
      for (const row of rows) {
        const own = this.find(scenario, row.variant)?.median;
        const times = own === undefined || row.contender === SUBJECT ? "" : ratio(own, row.median);
        const figures = [row.median, row.min, row.max].map(figure).join(" | ");
        const cost = row.cpuSecondsPerGB?.toFixed(2) ?? "";
        const others = row.others === undefined ? "" : `${(row.others * 100).toFixed(0)} %`;
        lines.push(
          `| ${row.variant} (${row.unit}) | ${row.contender} | ${figures} | ${row.runs.length} | ${cost} | ${others} | ${times} |`,
        );
      }
    }
    return lines;
  }

  /** One per scenario and variant that has peers, and something to draw: the file's name, its title, the SVG. */
  charts(): Chart[] {
    const names = new Set(this.results.map(one => `${one.scenario} ${one.variant}`));
    return [...names].flatMap(name => {
      const rows = this.results.filter(
        one => `${one.scenario} ${one.variant}` === name && one.contender !== "none",
      );
      const [first] = rows;
      if (first === undefined || rows.length < 2 || rows.every(one => one.max <= 0)) return [];
      const title = `${name}, ${first.unit}${LESS_IS_BETTER.has(first.unit) ? " (less is better)" : ""}`;
      return [{ file: `${name.replaceAll(/[^\w]+/g, "-")}.svg`, title, svg: chart(title, rows, SUBJECT) }];
    });
  }
}

function row(name: string, ns: number, whole: number): string {
  return `| ${name} | ${figure(ns)} | ${((ns / whole) * 100).toFixed(0)} % |`;
}

/** `bench/RESULTS.md` and its charts. */
export function render(report: Report, notes: string): { text: string; charts: Chart[] } {
  const { machine, taken, results } = report;
  const writer = new Writer(results);
  const charts = writer.charts();
  const lines = [
    "# Benchmark results",
    "",
    "Written by `npm run bench -- --report`; do not edit (remarks are in `notes.md`).",
    "",
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, Linux ${machine.kernel}, Node ${machine.node}, ${machine.date}.`,
    "",
    "Both ends, the router between them, the load generator and the server share these cores. Every contender runs",
    "in the same three network namespaces (MTU 1500); runs are interleaved (A B C A B C); medians; ratios within",
    "this one run. CPU is user and system time of the contender's own processes, both ends, per 10⁹ bytes; others is what",
    "programs outside of the benchmark had of the machine meanwhile: of what they leave, many threads get more than few.",
    "",
    "## Aims and what was measured",
    "",
    ...writer.goals(),
    "",
    "## Ledger: where the time goes, up and down, one flow",
    "",
    ...writer.ledger(),
    "",
    notes.trim(),
    "",
    "## Charts",
    "",
    ...charts.map(({ title, file }) => `![${title}](charts/${file})`),
    "",
    "## All figures",
    ...writer.tables(),
    "",
    "## When, and of which commit",
    "",
    "| scenario | finished | commit (+: with changes) | took |",
    "|---|---|---|---:|",
    ...taken.map(one => `| ${one.scenario} | ${one.finished} | ${one.commit} | ${duration(one.seconds)} |`),
    `| all | | | ${duration(taken.reduce((sum, { seconds }) => sum + seconds, 0))} |`,
  ];
  return { text: `${lines.join("\n")}\n`, charts };
}
