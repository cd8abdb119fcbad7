/** What a report keeps of several runs, and that it shows every figure of them. */
import t from "tap";
import { render } from "../../bench/render.js";
import { merge, type Report, type Result, summarize } from "../../bench/results.js";
import type { Figure } from "../../bench/scenario.js";

const machine = { cpu: "x", cores: 2, memoryGiB: 1, kernel: "6", node: "v20", date: "today" };

function report(commit: string, taken: Record<string, Record<string, Figure[]>>): Report {
  return {
    machine,
    taken: Object.keys(taken).map(scenario => ({ scenario, commit, finished: "now", seconds: 75 })),
    results: Object.entries(taken).flatMap(([scenario, by]) =>
      summarize(scenario, new Map(Object.entries(by))),
    ),
  };
}

const rate = (value: number): Figure => ({ variant: "1-up", unit: "Gbit/s", value, cpuSecondsPerGB: 2 });
const lost = (value: number): Figure => ({ variant: "100 Mbit/s, lost", unit: "%", value });
const memory = (value: number): Figure => ({ variant: "5000 idle, resident", unit: "MB", value });

t.test("figures become medians of the documented shape", async t => {
  const results = summarize("bulk", new Map([["czctl", [rate(5), rate(3), rate(4)]]]));
  const { others: _, ...shape } = results[0] as Result;
  t.same(shape, {
    scenario: "bulk",
    variant: "1-up",
    contender: "czctl",
    unit: "Gbit/s",
    median: 4,
    min: 3,
    max: 5,
    runs: [5, 3, 4],
    cpuSecondsPerGB: 2,
  });
});

t.test("of a scenario that was measured again the last time counts, whole; the others stay", async t => {
  const earlier = report("old", {
    bulk: { czctl: [rate(1)], openvpn: [rate(1)] },
    udp: { czctl: [lost(1)] },
  });
  const merged = merge(earlier, report("new", { bulk: { czctl: [rate(9)] } }));
  t.same(
    merged.results.map(one => [one.scenario, one.contender, one.median]),
    [
      ["udp", "czctl", 1],
      ["bulk", "czctl", 9],
    ],
  );
  t.same(
    merged.taken.map(one => [one.scenario, one.commit]),
    [
      ["udp", "old"],
      ["bulk", "new"],
    ],
  );
});

t.test("every scenario has its table, its time, and a chart where there is something to compare", async t => {
  const { text, charts } = render(
    report("abc", {
      bulk: { czctl: [rate(4)], openvpn: [rate(1)] },
      udp: { czctl: [lost(0)], openvpn: [lost(0)] },
      flows: { czctl: [memory(150)] },
    }),
    "## Remarks",
  );
  t.match(text, "| 1-up (Gbit/s) | openvpn | 1.00 | 1.00 | 1.00 | 1 | 2.00 | 0 % | 4.00× |");
  t.match(text, "| 100 Mbit/s, lost (%) | czctl | 0.00 |");
  t.match(text, "### flows");
  t.match(text, "| 5000 idle, resident (MB) | czctl | 150 |");
  t.match(text, "| bulk 1-up | openvpn | ≥ 5× | 4.00× | **no** |");
  t.match(text, "| flows | now | abc | 1 min 15 s |");
  t.notMatch(text, "NaN");
  t.match(text, "| all | | | 3 min 45 s |");
  t.same(
    charts.map(({ file }) => file),
    ["bulk-1-up.svg"],
  );
});
