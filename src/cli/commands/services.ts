/** `czctl services list` and `czctl primary-namespace …`. */
import type { ServiceRow } from "../../api/index.js";
import { callDaemon, perform } from "../client.js";
import { type Flags, type Program, settingsOf } from "../context.js";
import { formatTable, paint, print, printJson } from "../output.js";

export function addServicesCommands(program: Program): void {
  program.command("services", "The services of the space", y =>
    y
      .command(
        "list",
        "List the services, their addresses on this machine and whether they are consumed",
        own => own,
        list,
      )
      .demandCommand(1, 1, "which one: services list?"),
  );
  program.command("primary-namespace", "The namespace whose services also have their bare names", y =>
    y
      .command(
        "select <namespace>",
        "Make the services of a namespace known by bare names (http://frontend)",
        own => own.positional("namespace", { type: "string", demandOption: true }),
        flags => setPrimary(flags, flags.namespace),
      )
      .command(
        "clear",
        "No bare names",
        own => own,
        flags => setPrimary(flags, null),
      )
      .demandCommand(1, 1, "which one: primary-namespace select or clear?"),
  );
}

async function list(flags: Flags): Promise<void> {
  const services = await callDaemon(settingsOf(flags), "services", {});
  if (flags.json) return printJson(services);
  if (services.length === 0) return print("The space has no services (yet).");
  print(formatServices(services));
}

export function formatServices(services: readonly ServiceRow[]): string {
  return formatTable(
    ["NAMESPACE", "SERVICE", "PORTS", "ADDRESS", "CONSUMED"],
    services.map(service => [
      service.namespace,
      service.name,
      service.ports.map(({ port, protocol }) => (protocol === "tcp" ? `${port}` : `${port}/udp`)).join(",") ||
        "-",
      service.externalName === undefined ? formatAddresses(service.addresses) : `→ ${service.externalName}`,
      service.consumed ? "yes" : "no",
    ]),
  );
}

function formatAddresses(addresses: readonly string[]): string {
  const [first, ...others] = addresses;
  return first === undefined ? "-" : others.length === 0 ? first : `${first} (+${others.length})`;
}

async function setPrimary(flags: Flags, namespace: string | null): Promise<void> {
  const settings = settingsOf(flags);
  const answer = await perform(settings, "primary-namespace.set", { namespace });
  if (flags.json) return printJson(answer);
  print(namespace === null ? "No primary namespace." : `Primary namespace: ${paint("bold", namespace)}`);
}
