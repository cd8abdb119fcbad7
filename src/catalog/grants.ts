/**
 * What a device may reach (`agent invite --allow`): consume rules, judged by the agent. Equal grants have
 * equal names, so the data plane keeps one table for all devices that share one.
 */
import { CzctlError } from "../base/index.js";
import { formatRule, parseRules, type Rule } from "./rules.js";

/** Throws CzctlError (user) on the first rule that is none. No rules at all grant everything. */
export function parseGrant(texts: readonly string[]): Rule[] {
  const { rules, errors } = parseRules(texts.length === 0 ? ["*"] : texts);
  const first = errors[0];
  if (first !== undefined) {
    throw new CzctlError(first.message, { code: "GRANT_INVALID", category: "user", hint: first.hint });
  }
  return rules;
}

export function grantName(grant: readonly Rule[]): string {
  return grant.map(formatRule).join(" ");
}
