/** How an invitation is handed over: as our credential file, or as a wg-quick file for standard clients. */
import type { Argv } from "yargs";
import { Prefix } from "../base/index.js";
import { usageError } from "./context.js";

export interface FormatFlags {
  format: string | undefined;
  routes: string[] | undefined;
  qr: boolean | undefined;
}

export function withFormat<T>(y: Argv<T>): Argv<T & FormatFlags> {
  return y
    .option("format", {
      type: "string",
      choices: ["czctl", "wg-quick"],
      requiresArg: true,
      description: "wg-quick: for standard WireGuard clients; `space add` takes it as well [czctl]",
    })
    .option("routes", {
      type: "string",
      array: true,
      requiresArg: true,
      description: "With wg-quick: the cluster's service and pod networks, such as 10.96.0.0/12",
    })
    .option("qr", {
      type: "boolean",
      description: "With wg-quick: also a QR code for the phone's app, on standard error",
    });
}

/**
 * Checks the flags, so that nothing is made in vain; then turns the text of a credential into what was asked
 * for. Throws CzctlError.
 */
export function invitationFormat(flags: FormatFlags): (credential: string) => Promise<string> {
  const { format, routes, qr } = flags;
  if (format !== "wg-quick") {
    if (routes !== undefined || qr)
      throw usageError("--routes and --qr are for standard clients", "Add --format wg-quick.");
    return async credential => credential;
  }
  const prefixes = (routes ?? []).flatMap(text => text.split(",")).map(parseRoute);
  if (prefixes.length === 0) {
    throw usageError(
      "which addresses is a standard client to send into the tunnel?",
      "Give the cluster's service network: --routes 10.96.0.0/12",
    );
  }
  return async credential => {
    const { credentialToWgQuick } = await import("./wg-quick.js");
    return credentialToWgQuick(credential, prefixes);
  };
}

function parseRoute(text: string): Prefix {
  const prefix = Prefix.parse(text);
  if (prefix !== null) return prefix;
  throw usageError(`"${text}" is no network`, "Write ADDRESS/BITS, such as 10.96.0.0/12 or fd00:96::/112.");
}
