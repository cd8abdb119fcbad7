/** Prometheus' text format: what is in it, and whether the Prometheus project's own parser reads it. */
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import t from "tap";
import { Counters } from "../../src/netstack/counters.js";
import { agentText, DATAPLANE, daemonText } from "./figures.js";

const PYTHON = "/usr/bin/python3";
/** Each family as name, type and samples of [name, labels, value]. */
const PARSER = `
import json, sys
from prometheus_client.parser import text_string_to_metric_families as parse
print(json.dumps([[f.name, f.type, f.documentation, [[s.name, s.labels, s.value] for s in f.samples]]
                  for f in parse(sys.stdin.read())]))
`;

type Family = [name: string, type: string, help: string, samples: [string, Record<string, string>, number][]];

const hasParser = spawnSync(PYTHON, ["-c", "import prometheus_client.parser"]).status === 0;
const SKIP = hasParser ? false : "needs python3-prometheus-client";

const families = (text: string): Family[] =>
  JSON.parse(execFileSync(PYTHON, ["-c", PARSER], { input: text, encoding: "utf8" })) as Family[];

t.test(
  "Prometheus' own parser reads every family of both, with a type and a help",
  { skip: SKIP },
  async t => {
    for (const text of [agentText(), daemonText(), agentText(null), daemonText(null)]) {
      const found = families(text);
      t.equal(found.length, text.match(/^# TYPE /gm)?.length, "no family is lost");
      t.same(
        found.filter(([, type, help]) => type === "unknown" || help === ""),
        [],
      );
      t.equal(new Set(found.map(([name]) => name)).size, found.length, "none comes twice");
    }
  },
);

t.test("label values survive, and histograms add up", { skip: SKIP }, async t => {
  const found = new Map(families(agentText()).map(family => [family[0], family[3]]));
  t.same(found.get("czctl_agent_received_bytes"), [
    ["czctl_agent_received_bytes_total", { device: 'a"b\\c' }, 10],
    ["czctl_agent_received_bytes_total", { device: "bob" }, 0],
  ]);
  const samples = found.get("czctl_agent_round_trip_seconds") ?? [];
  const buckets = samples.filter(([name]) => name.endsWith("_bucket"));
  t.same(
    buckets.map(([, labels, value]) => [labels.le, value]).filter((_, i) => i < 3 || i > 9),
    [
      ["0.0005", 0],
      ["0.001", 2],
      ["0.0025", 3],
      ["1", 3],
      ["+Inf", 4],
    ],
  );
  t.same(samples.at(-2), ["czctl_agent_round_trip_seconds_sum", {}, 5.0035]);
});

t.test("what the figures say", async t => {
  const text = agentText();
  for (const line of [
    'czctl_agent_build_info{version="1.2.3"} 1',
    "czctl_agent_ready 1",
    "czctl_agent_devices 2",
    "czctl_agent_devices_connected 1",
    "czctl_agent_catalog_age_seconds 2.5",
    "czctl_agent_handshakes_total 7",
    'czctl_agent_denied_total{reason="notAllowed"} 5',
    'czctl_agent_drops_total{reason="wireguard.dropped.replayed"} 2',
    'czctl_agent_drops_total{reason="netstack.tunnel.tcpBadChecksum"} 1',
    'czctl_agent_events_total{name="netstack.tunnel.packetsIn"} 1000000000000',
  ]) {
    t.ok(text.includes(`\n${line}\n`), line);
  }
  t.notMatch(text, /SECRETLESS|KEY/, "no key");
  const daemon = daemonText();
  t.match(daemon, /^czctl_daemon_services\{state="denied"\} 2$/m);
  t.match(daemon, /^czctl_daemon_catalog_age_seconds 1\.5$/m);
  t.match(daemon, /^czctl_daemon_received_bytes_total 10$/m);
  t.match(daemonText(null), /^czctl_daemon_dataplane_up 0$/m);
});

t.test("a counter is a drop unless it is named as none", async t => {
  const counters = Object.fromEntries(Object.keys(new Counters()).map(name => [`netstack.tun.${name}`, 1]));
  const text = agentText({ ...DATAPLANE, counters });
  const events = [...text.matchAll(/^czctl_agent_events_total\{name="netstack\.tun\.(\w+)"\}/gm)].map(
    match => match[1],
  );
  t.same(
    events.filter(name => /bad|noroom|limit|refused|dropped|unknown/i.test(name ?? "")),
    [],
    "nothing that sounds like a drop",
  );
  t.ok(events.includes("packetsOut") && events.includes("tcpRetransmits"));
  t.match(text, /drops_total\{reason="netstack\.tun\.tcpNoRoom"\}/);
});

t.test("each metric of the dashboard is one that /metrics has", async t => {
  const file = fileURLToPath(new URL("../../../deploy/grafana-dashboard.json", import.meta.url));
  const dashboard = JSON.parse(readFileSync(file, "utf8")) as {
    panels: { title: string; targets?: { expr: string }[] }[];
    templating: { list: { query: unknown }[] };
  };
  const known = new Set(`${agentText()}${daemonText()}`.match(/^czctl_\w+/gm));
  const panels = dashboard.panels.filter(panel => panel.targets !== undefined);
  t.ok(panels.length >= 10, `${panels.length} panels`);
  for (const { title, targets } of panels) {
    const names = targets?.flatMap(({ expr }) => expr.match(/\bczctl_\w+/g) ?? []) ?? [];
    t.ok(names.length > 0, `${title} shows something`);
    t.same(
      names.filter(name => !known.has(name)),
      [],
      title,
    );
  }
  const asked = JSON.stringify(dashboard.templating.list.map(({ query }) => query)).match(/czctl_\w+/g) ?? [];
  t.same(
    asked.filter(name => !known.has(name)),
    [],
    "variables",
  );
});
