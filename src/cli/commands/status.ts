/** `czctl status`. */
import type { DaemonStatus, DataplaneStatus } from "../../api/index.js";
import { plainText } from "../../base/index.js";
import { callDaemon } from "../client.js";
import { type Flags, type Program, settingsOf } from "../context.js";
import {
  formatBytes,
  formatDuration,
  formatFields,
  formatTable,
  paint,
  print,
  printJson,
} from "../output.js";

export function addStatusCommand(program: Program): void {
  program.command(
    "status",
    "Show what runs, whether it is connected, and why not",
    y =>
      y.option("verbose", {
        alias: "v",
        type: "boolean",
        default: false,
        description: "Counters and drop reasons too",
      }),
    flags => status(flags),
  );
}

const RESOLVED: Readonly<Record<DaemonStatus["resolved"]["state"], string>> = {
  absent: "",
  pending: "",
  registered: ", asked by systemd-resolved",
  refused: ", not asked by systemd-resolved (see `czctl doctor`)",
};

async function status(flags: Flags<{ verbose: boolean }>): Promise<void> {
  const found = await callDaemon(settingsOf(flags), "status", {});
  if (flags.json) return printJson(found);
  print(formatStatus(found));
  if (flags.verbose && found.dataplane !== null) print(formatCounters(found.dataplane));
}

const PATH_MTU = {
  searching: ", being measured",
  confirmed: "",
  unanswered: ", not confirmed by the agent",
} as const;

function formatStatus(found: DaemonStatus): string {
  const { device, services, dataplane } = found;
  const peer = dataplane?.peers[0];
  const connected = found.link === "connected";
  const fields: [string, string][] = [
    [
      "Space",
      `${found.space}${found.teamspace === null ? "" : ` (teamspace ${plainText(found.teamspace)})`}`,
    ],
    ["Tunnel", connected ? paint("green", "connected") : paint("yellow", "connecting")],
    [
      "Agent",
      `${found.endpoint}${found.agentVersion === null ? "" : `, czctl ${plainText(found.agentVersion)}`}`,
    ],
  ];
  if (found.problem !== null) fields.push(["Problem", paint("red", plainText(found.problem.message))]);
  if (found.problem?.hint !== undefined) fields.push(["", plainText(found.problem.hint)]);
  for (const warning of found.warnings) fields.push(["Warning", paint("yellow", plainText(warning))]);
  if (peer !== undefined && peer.lastHandshakeAt > 0) {
    const rtt = peer.rttMs === undefined ? "" : `, round trip ${peer.rttMs.toFixed(1)} ms`;
    fields.push(["Handshake", `${formatDuration(Math.max(0, Date.now() - peer.lastHandshakeAt))} ago${rtt}`]);
    if (peer.mtu !== undefined)
      fields.push(["Path", `packets of ${peer.mtu} bytes${PATH_MTU[peer.pathMtu ?? "searching"]}`]);
    fields.push(["Traffic", `${formatBytes(peer.rxBytes)} received, ${formatBytes(peer.txBytes)} sent`]);
  }
  fields.push(
    ["Services", formatServiceCounts(services)],
    ["Primary namespace", found.primaryNamespace ?? "none"],
    ["Device", `${device.name}, MTU ${device.mtu}, ${device.ranges.join(", ")}`],
    ["Names", `${found.hostsFile}; DNS at ${found.dns.join(", ")}${RESOLVED[found.resolved.state]}`],
    ["Daemon", `czctl ${found.version}, process ${found.pid}, up ${formatDuration(found.uptimeMs)}`],
    [
      "Data plane",
      dataplane === null ? paint("yellow", "starting") : describe(dataplane, found.dataplaneRestarts),
    ],
  );
  return formatFields(fields);
}

function formatServiceCounts({ known, consumed, denied }: DaemonStatus["services"]): string {
  const text = `${consumed} consumed of ${known}`;
  return denied === 0 ? text : `${text}; ${denied} not allowed by policy (czctl services list)`;
}

function describe({ pid, uptimeMs, flows }: DataplaneStatus, restarts: number): string {
  const again = restarts === 0 ? "" : `, started again ${restarts} times`;
  return `process ${pid}, up ${formatDuration(uptimeMs)}${again}; ${flows.tcp} TCP and ${flows.udp} UDP flows`;
}

function formatCounters({ crypto, offloads, listenPort, memory, counters }: DataplaneStatus): string {
  const fields = formatFields([
    ["Crypto", plainText(crypto)],
    ["Offloads", plainText(offloads.join(", ")) || "none"],
    ["UDP port", `${listenPort}`],
    ["Memory", `${formatBytes(memory.rssBytes)} resident, ${formatBytes(memory.ringBytes)} in rings`],
  ]);
  const rows = Object.entries(counters)
    .filter(([, value]) => value !== 0)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => [name, String(value)]);
  return `\n${fields}\n\n${rows.length === 0 ? "No counter has counted." : formatTable(["COUNTER", "VALUE"], rows)}`;
}
