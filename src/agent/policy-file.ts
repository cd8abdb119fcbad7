/**
 * `DIR/policy.yaml`: who may consume what, beside what the invitations say.
 *
 *     grants:
 *       - to: [alice-laptop, "user:bob", "group:backend"]     # or "*": every device
 *         allow: ["*.shop", "!admin.shop", "orders-db.data:5432"]
 *     showDenied: false    # default: true
 *
 * Where there is a policy, nothing is granted that it or the device's own invitation does not name. A device's
 * rules are its own and then those of every grant that names it, in the order of the file, as one list: the
 * last rule that matches decides, as in consume rules. What they do not reach is shown to devices as "not allowed
 * by policy"; with `showDenied: false` they do not hear of it.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import * as z from "zod";
import { CzctlError } from "../base/index.js";
import { parseGrant, type Rule } from "../catalog/index.js";
import type { PeerRecord } from "./state.js";

export const EMPTY_POLICY = "grants: []\n";

interface Grant {
  to: readonly string[];
  rules: readonly Rule[];
}

const fileSchema = z.strictObject({
  grants: z.array(
    z.strictObject({
      to: z.array(
        z
          .string()
          .regex(/^(\*|((user|group):)?[A-Za-z0-9][A-Za-z0-9._-]*)$/, "is no device, user: or group:"),
      ),
      allow: z.array(z.string()).min(1),
    }),
  ),
  showDenied: z.boolean().default(true),
});

export function policyPath(dir: string): string {
  return join(dir, "policy.yaml");
}

/** Null when there is no policy. Throws CzctlError (config) when there is a wrong one. */
export async function readPolicy(dir: string): Promise<Policy | null> {
  const path = policyPath(dir);
  try {
    return parsePolicy(await readFile(path, "utf8"));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new CzctlError(`${path}: ${(cause as Error).message}`, {
      code: "POLICY_INVALID",
      category: "config",
      hint: "docs/kubernetes.md describes the policy.",
      cause,
    });
  }
}

/** Throws Error with the place and what is wrong there. */
export function parsePolicy(text: string): Policy {
  const parsed = fileSchema.safeParse(parse(text));
  const issue = parsed.error?.issues[0];
  if (!parsed.success) throw new Error(`${issue?.path.join(".") || "file"}: ${issue?.message}`);
  return new Policy(
    parsed.data.grants.map(({ to, allow }, i) => {
      try {
        return { to, rules: parseGrant(allow) };
      } catch (error) {
        throw new Error(`grants.${i}.allow: ${(error as Error).message}`);
      }
    }),
    parsed.data.showDenied,
  );
}

export class Policy {
  readonly #grants: readonly Grant[];
  /** Whether devices are told of what they may not reach. */
  readonly showDenied: boolean;

  constructor(grants: readonly Grant[], showDenied: boolean) {
    this.#grants = grants;
    this.showDenied = showDenied;
  }

  /** What the policy adds to the device's own rules. */
  rulesFor({ name, user, groups = [] }: Pick<PeerRecord, "name" | "user" | "groups">): Rule[] {
    const names = new Set(["*", name, ...groups.map(group => `group:${group}`)]);
    if (user !== undefined) names.add(`user:${user}`);
    return this.#grants.filter(grant => grant.to.some(to => names.has(to))).flatMap(grant => grant.rules);
  }
}
