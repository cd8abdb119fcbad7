/** The command line as a whole: global flags, the list of commands, what happens on a wrong one. */
import yargs from "yargs";
import { packageVersion } from "../api/index.js";
import type { CzctlError } from "../base/index.js";
import { addAgentCommands } from "./commands/agent.js";
import { addCompletionCommand } from "./commands/completion.js";
import { addConsumeCommands } from "./commands/consume.js";
import { addDiagnosticsCommand } from "./commands/diagnostics.js";
import { addDoctorCommand } from "./commands/doctor.js";
import { addFlowCommands } from "./commands/flows.js";
import { addLifecycleCommands } from "./commands/lifecycle.js";
import { addLogsCommand } from "./commands/logs.js";
import { addMetricsCommand } from "./commands/metrics.js";
import { addServicesCommands } from "./commands/services.js";
import { addSpaceCommands } from "./commands/space.js";
import { addStatusCommand } from "./commands/status.js";
import { type Program, usageError } from "./context.js";
import { print, printJson } from "./output.js";
import { STANDARD_INPUT } from "./read-input.js";
import { joinRepeatedOptions } from "./repeated-options.js";

/** Parses `words` and runs the command. Throws CzctlError. */
export async function runProgram(words: readonly string[]): Promise<void> {
  const program = withGlobalOptions(words);
  addSpaceCommands(program);
  addLifecycleCommands(program);
  addStatusCommand(program);
  addDoctorCommand(program);
  addDiagnosticsCommand(program);
  addServicesCommands(program);
  addConsumeCommands(program);
  addFlowCommands(program);
  addLogsCommand(program);
  addMetricsCommand(program);
  addAgentCommands(program);
  addCompletionCommand(program);
  program.command(
    "version",
    "Print the version",
    y => y,
    ({ json }) => (json ? printJson({ version: packageVersion() }) : print(packageVersion())),
  );
  await program.parseAsync(joinRepeatedOptions(words).map(word => (word === "-" ? STANDARD_INPUT : word)));
}

function withGlobalOptions(words: readonly string[]): Program {
  return (
    yargs()
      .scriptName("czctl")
      .usage(
        "Reach a Kubernetes cluster's services from this machine as if it ran there.\n\nUsage: $0 <command>",
      )
      .option("json", {
        type: "boolean",
        default: false,
        description: "Print JSON for programs",
        global: true,
      })
      .option("state-dir", {
        type: "string",
        requiresArg: true,
        description: "Where the daemon keeps its state [CZCTL_STATE_DIR, /var/lib/czctl]",
      })
      .option("socket", {
        type: "string",
        requiresArg: true,
        description: "The daemon's API socket [CZCTL_SOCKET, /run/czctl.sock]",
      })
      .option("hosts-file", {
        type: "string",
        requiresArg: true,
        description: "The hosts file to keep a section in [CZCTL_HOSTS_FILE, /etc/hosts]",
      })
      .option("service-range", {
        type: "string",
        requiresArg: true,
        description: "IPv4 network for virtual addresses [CZCTL_SERVICE_RANGE, the first free one]",
      })
      .group(["state-dir", "socket", "hosts-file", "service-range"], "Where:")
      .group(["json", "help"], "Options:")
      .version(false)
      .help()
      .alias("help", "h")
      .parserConfiguration({ "duplicate-arguments-array": false, "camel-case-expansion": true })
      .completion("__complete", false)
      .strict()
      .recommendCommands()
      .demandCommand(1, 1, "which command?")
      .exitProcess(false)
      .showHelpOnFail(false)
      .check(flags => {
        for (const [name, value] of Object.entries(flags)) {
          if (Number.isNaN(value)) throw usageError(`--${name} must be a number`, "Give a number.");
        }
        return true;
      })
      .fail((message: string | null, error: Error | undefined) => {
        // A command's own error passes; yargs' own are of a class that it does not export.
        if (error !== undefined && error.name !== "YError") throw error;
        throw misuse(message ?? error?.message ?? "", words);
      })
      // yargs' ES module cuts words in two where it wraps.
      .wrap(null) as Program
  );
}

/** What yargs says, in our words. */
function misuse(message: string, words: readonly string[]): CzctlError {
  const text = message.replace(/\s*\n\s*/g, " ").trim();
  const typed = words.filter(word => !word.startsWith("-"));
  const help = `See \`czctl ${typed[0] === undefined ? "" : `${typed[0]} `}--help\`.`;
  const similar = /^Did you mean (.+)\?$/.exec(text)?.[1];
  if (similar !== undefined)
    return usageError(`unknown command "${typed.join(" ")}"`, `Did you mean ${similar}?`);
  const unknown = /^Unknown (?:argument|command)s?: (.+)$/.exec(text)?.[1];
  if (unknown !== undefined) {
    const isCommand = unknown === typed[0];
    return usageError(
      isCommand ? `unknown command "${unknown}"` : `unknown argument "${unknown}"`,
      isCommand ? "See `czctl --help`." : help,
    );
  }
  if (text.startsWith("Not enough non-option arguments")) return usageError("an argument is missing", help);
  return usageError(text.charAt(0).toLowerCase() + text.slice(1), help);
}
