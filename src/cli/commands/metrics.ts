/** `czctl metrics`: the daemon's figures for Prometheus (a textfile collector, a curious person). */
import { callDaemon } from "../client.js";
import { type Program, settingsOf } from "../context.js";
import { printJson } from "../output.js";

export function addMetricsCommand(program: Program): void {
  program.command(
    "metrics",
    "Print the daemon's figures in Prometheus' text format",
    y => y,
    async flags => {
      const { text } = await callDaemon(settingsOf(flags), "metrics", {});
      flags.json ? printJson({ text }) : process.stdout.write(text);
    },
  );
}
