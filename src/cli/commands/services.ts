/** `czctl services list` and `czctl primary-namespace …`. */
import type { ServiceRow } from "../../api/index.js";
import { plainText } from "../../base/index.js";
import { isDenied } from "../../catalog/index.js";
import { callDaemon, perform } from "../client.js";
import { type Flags, type Program, settingsOf } from "../context.js";
import { formatTable, paint, print, printJson } from "../output.js";

const MISSING_SHOWN = 10;

export function addServicesCommands(program: Program): void {
  program.command("services", "The services of the space", y =>
    y
      .command(
        "list",
        "List the services, their addresses on this machine and whether they are consumed",
        own =>
          own.option("endpoints", {
            type: "boolean",
            default: false,
            description: "The pods behind each instead, and what they are up to",
          }),
        flags => list(flags),
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

async function list(flags: Flags<{ endpoints: boolean }>): Promise<void> {
  const { endpoints } = flags;
  const services = await callDaemon(settingsOf(flags), "services", { endpoints });
  if (flags.json) return printJson(services);
  if (services.length === 0) return print("The space has no services (yet).");
  if (endpoints) return print(formatEndpoints(services));
  print(formatServices(services));
  const missing = services.flatMap(service => service.missingRules ?? []);
  if (missing.length > 0) print(`\n${formatMissing(missing)}`);
}

/** What to ask the administrator for. */
function formatMissing(rules: readonly string[]): string {
  const shown = rules.slice(0, MISSING_SHOWN).map(plainText).join(" ");
  const more = rules.length > MISSING_SHOWN ? ` and ${rules.length - MISSING_SHOWN} more (--json)` : "";
  return `Not allowed by policy; a grant would have to allow: ${shown}${more}`;
}

export function formatServices(services: readonly ServiceRow[]): string {
  return formatTable(
    ["NAMESPACE", "SERVICE", "PORTS", "ADDRESS", "CONSUMED"],
    services.map(service => [
      service.namespace,
      service.name,
      formatPorts(service),
      service.externalName === undefined ? formatAddresses(service.addresses) : `→ ${service.externalName}`,
      isDenied(service) ? "not allowed by policy" : service.consumed ? "yes" : "no",
    ]),
  );
}

function formatEndpoints(services: readonly ServiceRow[]): string {
  const rows = services.flatMap(({ namespace, name, kind, endpointList = [] }) => {
    const none = [namespace, name, "-", kind === "external" ? "an alias" : "none known", "-"];
    if (endpointList.length === 0) return [none];
    return endpointList.map(({ address, hostname = "-", state }) => [
      namespace,
      name,
      address,
      state,
      hostname,
    ]);
  });
  return formatTable(["NAMESPACE", "SERVICE", "ENDPOINT", "STATE", "HOSTNAME"], rows);
}

/** A port's own mark only where its service is reached otherwise. */
function formatPorts(service: ServiceRow): string {
  const mark = isDenied(service) ? "" : "!";
  const texts = service.ports.map(
    ({ port, protocol, denied }) => `${denied ? mark : ""}${port}${protocol === "tcp" ? "" : `/${protocol}`}`,
  );
  const uncarried = (service.uncarried ?? []).map(text => `${text} (cannot be carried)`);
  return [...texts, ...uncarried].join(",") || "-";
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
