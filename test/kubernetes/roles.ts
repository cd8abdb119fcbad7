/** What roles allow beside what was asked for: by verb, group, resource, namespace and name. */
import { readFileSync } from "node:fs";
import type { Manifest } from "../../src/agent/manifests.js";

interface AuditEvent {
  user: { username: string };
  verb: string;
  requestURI: string;
  objectRef?: { apiGroup?: string; resource: string; namespace?: string; name?: string };
  responseStatus: { code: number };
}

export interface Comparison {
  /** Allowed and never asked for. */
  unused: string[];
  /** Asked for by URI and not allowed. */
  refused: string[];
}

/** @param username whose requests the audit log is searched for */
export function compareRoles(auditLog: string, username: string, manifests: readonly Manifest[]): Comparison {
  const own = readFileSync(auditLog, "utf8")
    .split("\n")
    .filter(Boolean)
    .map(line => JSON.parse(line) as AuditEvent)
    .filter(event => event.user.username === username);
  const asked = new Set<string>();
  for (const { verb, objectRef } of own) {
    if (objectRef === undefined) continue;
    const { apiGroup = "", resource, namespace = "*", name } = objectRef;
    for (const where of [namespace, "*"]) {
      for (const which of [name, "*"]) asked.add(`${verb} ${apiGroup}/${resource} ${where}/${which}`);
    }
  }
  const allowed = manifests
    .filter(object => /^(Cluster)?Role$/.test(object.kind))
    .flatMap(({ metadata, rules }) =>
      (rules as Record<string, string[]>[]).flatMap(rule =>
        (rule.verbs ?? []).flatMap(verb =>
          (rule.apiGroups ?? []).flatMap(group =>
            (rule.resources ?? []).flatMap(resource =>
              (rule.resourceNames ?? ["*"]).map(
                name => `${verb} ${group}/${resource} ${metadata.namespace ?? "*"}/${name}`,
              ),
            ),
          ),
        ),
      ),
    );
  return {
    unused: allowed.filter(right => !asked.has(right)),
    refused: own.filter(event => event.responseStatus.code === 403).map(event => event.requestURI),
  };
}
