/**
 * The agent's catalog file: YAML in, services out, or every error with its line. The format is described in
 * docs/catalog-file.md; what contradicts itself is refused as the Kubernetes API server would refuse it.
 */
import { type Document, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument } from "yaml";
import type { z } from "zod";
import { Address } from "../base/index.js";
import { compareServices } from "./catalog.js";
import { fileSchema, type PortSpec, type ServiceSpec } from "./services-file-schema.js";
import type { SourceEndpoint, SourcePort, SourceService } from "./source.js";

export interface SourceError {
  /** From 1. */
  readonly line: number;
  /** Where and what: `shop/frontend ports[0].port must be a number from 1 to 65535`. */
  readonly message: string;
}

/** In catalog order. `services` is complete only when `errors` is empty. */
export interface ParsedServicesFile {
  readonly services: SourceService[];
  readonly errors: SourceError[];
}

type Path = readonly PropertyKey[];
/** Notes an error at a place in the file. */
type Report = (path: Path, message: string) => void;

export function parseServicesFile(text: string): ParsedServicesFile {
  const lines = new LineCounter();
  const document = parseDocument(text.replace(/^\uFEFF/, ""), { lineCounter: lines, prettyErrors: false });
  const errors: SourceError[] = document.errors.map(error => ({
    line: lines.linePos(error.pos[0]).line,
    message: firstLine(error.message),
  }));
  if (errors.length > 0) return { services: [], errors };

  const report: Report = (path, message) => {
    const line = lines.linePos(offsetOf(document, path)).line;
    errors.push({ line, message: `${formatPath(path)} ${message}`.trim() });
  };
  let value: unknown;
  try {
    value = document.toJS();
  } catch (error) {
    return { services: [], errors: [{ line: 1, message: firstLine((error as Error).message) }] };
  }
  // Also what a reader sees of a file that an editor is just writing: not the same as "no services".
  if (value === null)
    return { services: [], errors: [{ line: 1, message: "is empty: write namespaces: {}" }] };

  const services: SourceService[] = [];
  const parsed = fileSchema.safeParse(value);
  if (!parsed.success) for (const issue of parsed.error.issues) reportIssue(issue, report);
  else {
    for (const [namespace, specs] of Object.entries(parsed.data.namespaces)) {
      for (const [name, spec] of Object.entries(specs)) {
        const at: Path = ["namespaces", namespace, name];
        services.push(toSource(namespace, name, spec, (path, message) => report([...at, ...path], message)));
      }
    }
  }
  checkUnique(services, report);
  errors.sort((a, b) => a.line - b.line);
  return { services: services.sort(compareServices), errors };
}

function reportIssue(issue: z.core.$ZodIssue, report: Report): void {
  if (issue.code === "unrecognized_keys") {
    for (const key of issue.keys) report([...issue.path, key], "is no field that is known here");
  } else if (issue.code === "invalid_key") {
    report(issue.path, issue.issues[0]?.message ?? issue.message);
  } else {
    report(issue.path, issue.message);
  }
}

function toSource(namespace: string, name: string, spec: ServiceSpec, report: Report): SourceService {
  const kind = kindOf(spec, report);
  checkPorts(spec.ports, kind, report);
  const ports = spec.ports.map(({ name: portName, protocol, port, targetPort }): SourcePort => {
    return {
      ...(portName === undefined ? {} : { name: portName }),
      protocol,
      port,
      targetPort: targetPort ?? port,
    };
  });
  return {
    namespace,
    name,
    kind,
    ports,
    clusterIps: clusterIps(spec, report),
    endpoints: endpointsOf(spec, ports, report),
    ...(spec.externalName === undefined ? {} : { externalName: spec.externalName }),
  };
}

function kindOf(spec: ServiceSpec, report: Report): SourceService["kind"] {
  const headless = spec.headless || spec.clusterIP === "None";
  const addressed =
    spec.clusterIPs !== undefined || (spec.clusterIP !== undefined && spec.clusterIP !== "None");
  if (spec.externalName !== undefined) {
    if (headless || addressed || spec.endpoints.length > 0) {
      report(["externalName"], "excludes clusterIP, headless and endpoints");
    }
    return "external";
  }
  if (headless && addressed) report([], "is headless and has a clusterIP: it cannot be both");
  return headless ? "headless" : "cluster";
}

function clusterIps(spec: ServiceSpec, report: Report): string[] {
  const single = spec.clusterIP === undefined || spec.clusterIP === "None" ? [] : [spec.clusterIP];
  const all = spec.clusterIPs ?? single;
  if (spec.clusterIPs !== undefined && single.length > 0 && single[0] !== all[0]) {
    report(["clusterIP"], "must be the first of clusterIPs, or be left out");
  }
  if (all.length === 2 && all[0]?.includes(":") === all[1]?.includes(":")) {
    report(["clusterIPs"], "must have one address per family");
  }
  for (const address of all)
    checkDiallable(address, [spec.clusterIPs === undefined ? "clusterIP" : "clusterIPs"], report);
  return all;
}

function checkUnique(services: readonly SourceService[], report: Report): void {
  const owners = new Map<string, string>();
  for (const { namespace, name, clusterIps } of services) {
    for (const address of clusterIps) {
      const other = owners.get(address);
      if (other !== undefined)
        report(["namespaces", namespace, name], `has the clusterIP ${address} of ${other}`);
      owners.set(address, `${namespace}/${name}`);
    }
  }
}

function checkDiallable(text: string, path: Path, report: Report): void {
  const address = Address.from(text);
  if (address.isMulticast || address.isUnspecified) report(path, `${text} is not the address of a host`);
}

function checkPorts(ports: readonly PortSpec[], kind: SourceService["kind"], report: Report): void {
  if (ports.length === 0 && kind === "cluster") report([], "has no ports");
  const names = new Set<string>();
  const numbers = new Set<string>();
  ports.forEach((port, i) => {
    const number = `${port.port}/${port.protocol}`;
    if (port.name === undefined && ports.length > 1)
      report(["ports", i], "needs a name, as there are several ports");
    if (port.name !== undefined && names.has(port.name))
      report(["ports", i, "name"], `${port.name} is used twice`);
    if (numbers.has(number)) report(["ports", i, "port"], `${number} is used twice`);
    if (port.name !== undefined) names.add(port.name);
    numbers.add(number);
  });
}

function endpointsOf(spec: ServiceSpec, ports: readonly SourcePort[], report: Report): SourceEndpoint[] {
  const seen = new Set<string>();
  return spec.endpoints.map(({ address, hostname, ready, ports: overrides }, i) => {
    if (seen.has(address)) report(["endpoints", i], `${address} is listed twice`);
    seen.add(address);
    checkDiallable(address, ["endpoints", i], report);
    for (const key of Object.keys(overrides)) {
      if (!ports.some(port => isCalled(port, key)))
        report(["endpoints", i, "ports", key], "is no port of this service");
    }
    const own = ports.map(port => {
      const key = Object.keys(overrides).find(candidate => isCalled(port, candidate));
      return (key === undefined ? undefined : overrides[key]) ?? port.targetPort;
    });
    return { address, ...(hostname === undefined ? {} : { hostname }), ready, ports: own };
  });
}

function isCalled(port: SourcePort, key: string): boolean {
  return port.name === key || String(port.port) === key;
}

// ---- places in the file ----

/** `namespaces.shop.frontend.ports.0.port` as `shop/frontend ports[0].port`. */
function formatPath(path: Path): string {
  if (path[0] !== "namespaces") return path.map(String).join(".");
  const fields = path.slice(3).map(part => (typeof part === "number" ? `[${part}]` : `.${String(part)}`));
  return [path.slice(1, 3).map(String).join("/") || "namespaces", fields.join("").replace(/^\./, "")]
    .join(" ")
    .trim();
}

/** Offset of the key or list item that `path` leads to, or of the nearest thing around it that is there. */
function offsetOf(document: Document.Parsed, path: Path): number {
  let node: unknown = document.contents;
  let offset = isNode(node) ? (node.range?.[0] ?? 0) : 0;
  for (const part of path) {
    let at: unknown;
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(part));
      at = pair?.key;
      node = pair?.value;
    } else if (isSeq(node)) {
      at = node = node.items[Number(part)];
    }
    if (!isNode(at) || at.range == null) return offset;
    offset = at.range[0];
  }
  return offset;
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] as string;
}
