/** What an invitation says about a device: its name, what it may reach, and whose it is. */
import type { Argv } from "yargs";

export interface DeviceFlags {
  name: string;
  allow: string[] | undefined;
  user: string | undefined;
  group: string[] | undefined;
}

/** @param otherwise what it may reach without `--allow` */
export function withDevice<T>(y: Argv<T>, otherwise: string): Argv<T & DeviceFlags> {
  return y
    .positional("name", { type: "string", demandOption: true })
    .option("allow", {
      type: "string",
      array: true,
      requiresArg: true,
      description: `Rules as in \`consume\`: what it may reach [${otherwise}]`,
    })
    .option("user", { type: "string", requiresArg: true, description: "Whose it is, for the policy" })
    .option("group", {
      type: "string",
      array: true,
      requiresArg: true,
      description: "A group of that user, for the policy",
    });
}
