/** A file of its own, so that only who wants this format loads what reads credentials. */
import type { Prefix } from "../base/index.js";
import { formatWgQuick, parseCredential } from "../catalog/index.js";

/** Throws CzctlError. @param routes the cluster's networks */
export function credentialToWgQuick(credential: string, routes: readonly Prefix[]): string {
  return formatWgQuick(parseCredential(credential), [...routes]);
}
