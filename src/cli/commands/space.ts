/** `czctl space …`: the teamspaces that this device has credentials for. */
import type { SpaceSummary } from "../../api/index.js";
import { perform } from "../client.js";
import { type Flags, type Program, settingsOf } from "../context.js";
import { formatTable, print, printJson } from "../output.js";
import { readInput } from "../read-input.js";
import { addSpaceClusterCommands } from "./space-cluster.js";

export function addSpaceCommands(program: Program): void {
  program.command("space", "Add, choose and remove teamspaces; install them into clusters", y =>
    addSpaceClusterCommands(y)
      .command(
        "add <file>",
        "Add the space of a credential file (from `czctl agent invite`; - for standard input)",
        own =>
          own
            .positional("file", { type: "string", demandOption: true })
            .option("name", { type: "string", requiresArg: true, description: "Name on this machine" }),
        flags => add(flags),
      )
      .command("list", "List the spaces", own => own, list)
      .command(
        "select <name>",
        "Choose the space that `up` connects to; switches a running daemon",
        byName,
        select,
      )
      .command("remove <name>", "Forget a space and its credential", byName, remove)
      .demandCommand(
        1,
        1,
        "which one: space add, list, select, remove, install, invite, revoke or uninstall?",
      ),
  );
}

const byName = (y: Program) => y.positional("name", { type: "string", demandOption: true });

async function add(flags: Flags<{ file: string; name: string | undefined }>): Promise<void> {
  const credential = readInput(flags.file, "the credential file");
  const name = flags.name === undefined ? {} : { name: flags.name };
  const space = await perform(settingsOf(flags), "space.add", { credential, ...name });
  if (flags.json) return printJson(space);
  print(`Added space ${space.name} (device ${space.device}, agent ${space.endpoint}).`);
  print(
    space.selected ? "It is selected: sudo czctl up" : `To use it: sudo czctl space select ${space.name}`,
  );
}

async function list(flags: Flags): Promise<void> {
  const spaces = await perform(settingsOf(flags), "space.list", {});
  if (flags.json) return printJson(spaces);
  if (spaces.length === 0) return print("There is no space yet: sudo czctl space add FILE");
  const row = ({ name, device, endpoint, selected, primaryNamespace }: SpaceSummary): string[] => [
    selected ? "*" : "",
    name,
    device,
    endpoint,
    primaryNamespace ?? "-",
  ];
  print(formatTable(["", "SPACE", "DEVICE", "AGENT", "PRIMARY NAMESPACE"], spaces.map(row)));
}

async function select(flags: Flags<{ name: string }>): Promise<void> {
  const space = await perform(settingsOf(flags), "space.select", { name: flags.name });
  flags.json ? printJson(space) : print(`Selected space ${space.name}.`);
}

async function remove(flags: Flags<{ name: string }>): Promise<void> {
  const space = await perform(settingsOf(flags), "space.remove", { name: flags.name });
  flags.json ? printJson(space) : print(`Removed space ${space.name}.`);
}
