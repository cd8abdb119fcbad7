/**
 * Consume rules: which services, and which of their ports, are reached. The same language says what a device
 * is granted (`grants.ts`).
 *
 * An ordered list, one rule a line, read as .gitignore is: for each port of each service **the last rule that
 * matches decides**; a port that no rule matches is not consumed. So `*` then `!*.kube-system` is everything
 * but one namespace, and the same two the other way round is everything.
 *
 *   service.namespace   namespace/service   *.namespace   namespace/*   *      what is meant
 *   …:80   …:http                                                              only that port
 *   !…                                                                         except that
 *   # …                                                                        a comment, on its own line
 */
import { isLabel, isPort } from "./labels.js";
import type { Service, ServicePort } from "./service.js";

export interface Rule {
  readonly exclude: boolean;
  /** Null matches any. A service is only named together with its namespace. */
  readonly service: string | null;
  readonly namespace: string | null;
  /** A number, a port name, or null for all ports. */
  readonly port: number | string | null;
}

export interface RuleError {
  /** From 1. */
  readonly line: number;
  /** What is wrong, naming the rule as written. */
  readonly message: string;
  /** What to write instead. */
  readonly hint: string;
}

/** `rules` is complete only when `errors` is empty. */
export interface ParsedRules {
  readonly rules: Rule[];
  readonly errors: RuleError[];
}

/** What `consume all` stores. */
export const ALL_RULE: Rule = { exclude: false, service: null, namespace: null, port: null };

/** @param source a file's text, or rules one by one (then `line` counts those) */
export function parseRules(source: string | readonly string[]): ParsedRules {
  const lines = typeof source === "string" ? source.replace(/^\uFEFF/, "").split(/\r\n|\n|\r/) : source;
  const rules: Rule[] = [];
  const errors: RuleError[] = [];
  lines.forEach((line, i) => {
    const text = line.trim();
    if (text === "" || text.startsWith("#")) return;
    const rule = parseRule(text);
    if ("hint" in rule) errors.push({ line: i + 1, ...rule });
    else rules.push(rule);
  });
  return { rules, errors };
}

type Problem = Omit<RuleError, "line">;

const FORMS = "write service.namespace, namespace/service, *.namespace, namespace/* or *";

function parseRule(text: string): Rule | Problem {
  const bad = (why: string, hint: string): Problem => ({ message: `"${shown(text)}": ${why}`, hint });
  const exclude = text.startsWith("!");
  const body = exclude ? text.slice(1).trimStart() : text;
  if (body.startsWith("!"))
    return bad("has more than one !", "one ! excludes; to include again, add a rule without");
  if (/\s/.test(body)) return bad("has a space in it", "put each rule on a line of its own");
  const colon = body.indexOf(":");
  const target = colon === -1 ? body : body.slice(0, colon);
  const port = colon === -1 ? null : parsePort(body.slice(colon + 1));
  if (port === undefined) {
    return bad("is followed by something that is no port", "write :80 or :http after the service");
  }
  if (target === "*") return { exclude, service: null, namespace: null, port };

  const parts = target.includes("/") ? target.split("/").reverse() : target.split(".");
  const [service, namespace] = parts;
  if (parts.length === 1) return bad("names no namespace", FORMS);
  if (parts.length > 2 || service === undefined || namespace === undefined) {
    return bad("has too many parts", isLabel(parts[0] ?? "") ? `write ${parts[0]}.${parts[1]}` : FORMS);
  }
  if (namespace === "*")
    return bad("has * for the namespace", "name the namespace, or write * alone for everything");
  for (const part of service === "*" ? [namespace] : [service, namespace]) {
    if (isLabel(part)) continue;
    const lower = part.toLowerCase();
    if (isLabel(lower))
      return bad(`"${shown(part)}" has capital letters`, `names are lower case: write ${lower}`);
    if (part.includes("*")) return bad("has * within a name", "* stands for a whole name: write *.namespace");
    return bad(
      part === "" ? "has an empty name" : `"${shown(part)}" is no Kubernetes name`,
      "names have letters, digits and -, and at most 63 of them",
    );
  }
  return { exclude, service: service === "*" ? null : service, namespace, port };
}

function parsePort(text: string): number | string | undefined {
  if (/^\d+$/.test(text)) return isPort(Number(text)) ? Number(text) : undefined;
  return isLabel(text) ? text : undefined;
}

function shown(text: string): string {
  const plain = text.replace(/[^\x20-\x7e]/g, "?");
  return plain.length > 80 ? `${plain.slice(0, 77)}...` : plain;
}

/** The canonical spelling: `!service.namespace:port`. */
export function formatRule(rule: Rule): string {
  const target = rule.namespace === null ? "*" : `${rule.service ?? "*"}.${rule.namespace}`;
  return `${rule.exclude ? "!" : ""}${target}${rule.port === null ? "" : `:${rule.port}`}`;
}

/** The ports of `service` that the rules reach, in its own order. */
export function matchService(rules: readonly Rule[], service: Service): ServicePort[] {
  const relevant = rules.filter(rule => coversService(rule, service));
  return service.ports.filter(port => {
    const last = relevant.findLast(
      rule => rule.port === null || rule.port === port.port || rule.port === port.name,
    );
    return last !== undefined && !last.exclude;
  });
}

/**
 * The service with only the ports that the rules reach, or null when they do not reach it at all. A service
 * without ports (ExternalName mostly) is reached by rules that name no port.
 */
export function restrictService(rules: readonly Rule[], service: Service): Service | null {
  if (service.ports.length > 0) {
    const ports = matchService(rules, service);
    return ports.length === 0 ? null : { ...service, ports };
  }
  const last = rules.findLast(rule => rule.port === null && coversService(rule, service));
  return last === undefined || last.exclude ? null : service;
}

/**
 * The service with all its ports, those that the rules do not reach marked as denied; null for one without
 * ports that they do not reach, of which there would be nothing to show.
 */
export function markDenied(rules: readonly Rule[], service: Service): Service | null {
  if (service.ports.length === 0) return restrictService(rules, service);
  const allowed = new Set(matchService(rules, service));
  if (allowed.size === service.ports.length) return service;
  const ports = service.ports.map(port => (allowed.has(port) ? port : { ...port, denied: true as const }));
  // Where a service's pods are is nobody's business who may not reach it; a headless one has no other addresses.
  const endpoints = allowed.size === 0 && service.kind === "cluster" ? [] : service.endpoints;
  return { ...service, ports, endpoints };
}

/** Whether nothing of the service may be reached. */
export function isDenied({ ports }: Pick<Service, "ports">): boolean {
  return ports.length > 0 && ports.every(port => port.denied);
}

/** The rules that would have to be granted for all of the service to be reached. */
export function missingRules(service: Service): Rule[] {
  const rule = { exclude: false, service: service.name, namespace: service.namespace };
  if (isDenied(service)) return [{ ...rule, port: null }];
  return service.ports.filter(port => port.denied).map(({ port }) => ({ ...rule, port }));
}

function coversService(rule: Rule, service: { namespace: string; name: string }): boolean {
  return (
    (rule.namespace === null || rule.namespace === service.namespace) &&
    (rule.service === null || rule.service === service.name)
  );
}
