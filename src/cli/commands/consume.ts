/** `czctl consume …`: which services are reached, as an ordered list of rules (`catalog/rules.ts`). */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DaemonOperations } from "../../api/index.js";
import { CzctlError } from "../../base/index.js";
import { callDaemon, perform } from "../client.js";
import { type Flags, type Program, settingsOf } from "../context.js";
import { print, printJson } from "../output.js";
import { readInput } from "../read-input.js";
import { formatServices } from "./services.js";

const ALL = "*\n";
const SYNTAX = `Rules, one a line; for each port the last rule that matches decides:
  service.namespace, namespace/service   one service
  *.namespace, namespace/*               all of a namespace
  *                                      everything
  …:80, …:http                           only that port
  !…                                     not that
  # …                                    a comment`;

export function addConsumeCommands(program: Program): void {
  program.command("consume", "Choose which services are reached", y =>
    y
      .command(
        "all",
        "Consume everything that the space offers (the default)",
        own => own,
        flags => set(flags, ALL),
      )
      .command(
        "apply <file>",
        "Replace the rules by those of a file (- for standard input)",
        own => own.positional("file", { type: "string", demandOption: true }),
        flags => set(flags, readInput(flags.file, "the rules file")),
      )
      .command("list", "List the services that the rules consume now", own => own, list)
      .command("view", "Print the rules", own => own, view)
      .command("edit", "Edit the rules with $VISUAL or $EDITOR", own => own, edit)
      .command(
        "clear",
        "Remove all rules: consume nothing",
        own => own,
        flags => set(flags, ""),
      )
      .epilogue(SYNTAX)
      .demandCommand(1, 1, "which one: consume all, apply, list, view, edit or clear?"),
  );
}

async function set(flags: Flags, rules: string): Promise<void> {
  report(flags, await perform(settingsOf(flags), "consume.set", { rules }));
}

function report(flags: Flags, answer: DaemonOperations["consume.set"]["response"]): void {
  if (flags.json) return printJson(answer);
  const count = countRules(answer.rules);
  print(
    count === 0
      ? `Space ${answer.space} consumes nothing now.`
      : `Space ${answer.space} has ${count} rule${count === 1 ? "" : "s"} now.`,
  );
}

function countRules(rules: string): number {
  return rules.split("\n").filter(line => /^\s*[^#\s]/.test(line)).length;
}

async function list(flags: Flags): Promise<void> {
  const services = await callDaemon(settingsOf(flags), "services", {});
  const consumed = services.filter(service => service.consumed);
  if (flags.json) return printJson(consumed);
  print(consumed.length === 0 ? "Nothing is consumed." : formatServices(consumed));
}

async function view(flags: Flags): Promise<void> {
  const answer = await perform(settingsOf(flags), "consume.get", {});
  if (flags.json) return printJson(answer);
  if (answer.rules !== "") print(answer.rules.trimEnd());
}

async function edit(flags: Flags): Promise<void> {
  const settings = settingsOf(flags);
  const { rules } = await perform(settings, "consume.get", {});
  const directory = mkdtempSync(join(tmpdir(), "czctl-"));
  const path = join(directory, "rules");
  try {
    writeFileSync(path, rules === "" ? `${SYNTAX.replace(/^/gm, "# ")}\n` : rules);
    const editor = process.env.VISUAL || process.env.EDITOR || "vi";
    // The variable may hold arguments, so a shell splits it, as git does.
    const { status, error } = spawnSync("/bin/sh", ["-c", `${editor} "$1"`, "sh", path], {
      stdio: "inherit",
    });
    if (status !== 0) {
      throw new CzctlError(`the editor (${editor}) failed; the rules stay as they were`, {
        code: "EDITOR_FAILED",
        category: "environment",
        hint: "Set EDITOR, or use `czctl consume apply FILE`.",
        cause: error,
      });
    }
    const edited = readFileSync(path, "utf8");
    if (edited === rules) return print("Nothing changed.");
    report(flags, await perform(settings, "consume.set", { rules: edited }));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
