/** `czctl trace-connections`: the flows through the tunnel, live. */
import { setTimeout as sleep } from "node:timers/promises";
import type { FlowStatus } from "../../api/index.js";
import { callDaemon } from "../client.js";
import { type Flags, type Program, settingsOf } from "../context.js";
import { formatBytes, formatDuration, formatTable, paint, print, printJson } from "../output.js";

const CLEAR_SCREEN = "\x1b[H\x1b[2J\x1b[3J";

export function addFlowCommands(program: Program): void {
  program.command(
    "trace-connections",
    "Show the connections through the tunnel: who, where, state, bytes, round trip, age",
    y =>
      y
        .option("once", { type: "boolean", default: false, description: "Print the table once" })
        .option("interval", {
          type: "number",
          default: 1,
          requiresArg: true,
          description: "Seconds between two looks",
        }),
    flags => trace(flags),
  );
}

async function trace(flags: Flags<{ once: boolean; interval: number }>): Promise<void> {
  const settings = settingsOf(flags);
  const intervalMs = Math.max(100, Math.min(3600, flags.interval || 1) * 1000);
  const live = process.stdout.isTTY === true && !flags.json;
  for (;;) {
    const flows = await callDaemon(settings, "flows", {});
    if (flags.once) return flags.json ? printJson(flows) : print(formatFlows(flows));
    if (flags.json) print(JSON.stringify(flows));
    else print(`${live ? CLEAR_SCREEN : ""}${formatFlows(flows)}\n`);
    await sleep(intervalMs);
  }
}

function formatFlows(flows: readonly FlowStatus[]): string {
  const tcp = flows.filter(({ protocol }) => protocol === "tcp").length;
  const title = paint("dim", `${tcp} TCP, ${flows.length - tcp} UDP`);
  if (flows.length === 0) return title;
  const rows = flows.map(flow => [
    flow.protocol,
    flow.source,
    flow.destination,
    flow.name,
    flow.state,
    formatBytes(flow.rxBytes),
    formatBytes(flow.txBytes),
    flow.rttMs === undefined ? "-" : `${flow.rttMs.toFixed(1)} ms`,
    formatDuration(flow.ageMs),
  ]);
  const header = ["PROTO", "SOURCE", "DESTINATION", "SERVICE", "STATE", "IN", "OUT", "RTT", "AGE"];
  return `${title}\n${formatTable(header, rows)}`;
}
