/**
 * The parts of Kubernetes objects that discovery reads, and what they mean for a catalog. An API server is
 * believed, but not blindly: names, addresses and ports are checked before they can reach a hosts file, a
 * zone or a dial.
 *
 * Follows the Service and EndpointSlice API (v1, discovery.k8s.io/v1) and kube-proxy's choice of endpoints
 * (KEP-1669: when none is ready, those that still serve while they terminate).
 */
import {
  canonicalAddress,
  isDnsName,
  isLabel,
  isPort,
  type SourceEndpoint,
  type SourcePort,
  type SourceService,
} from "../../catalog/index.js";

/** On a Namespace or a Service, as annotation or label: `"false"` keeps it out of every catalog. */
export const CONSUME_KEY = "codezero.io/consume";
/** On a Service, as annotation: other names for it in its namespace, `orders,orders-v2`. */
export const ALIASES_KEY = "codezero.io/aliases";
const ALIASES_MAX = 10;
const SERVICE_NAME_LABEL = "kubernetes.io/service-name";

/** Structural subsets of client-node's types: objects come as JSON, so every field may be absent. */
export interface KubernetesObject {
  metadata?: {
    name?: string;
    namespace?: string;
    resourceVersion?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
}

export interface KubernetesService extends KubernetesObject {
  spec?: {
    type?: string;
    clusterIP?: string;
    clusterIPs?: string[];
    externalName?: string;
    ports?: { name?: string; protocol?: string; port: number; targetPort?: number | string }[];
  };
}

export interface KubernetesEndpointSlice extends KubernetesObject {
  addressType?: string;
  endpoints?: {
    addresses?: string[];
    hostname?: string;
    conditions?: { ready?: boolean; serving?: boolean; terminating?: boolean };
  }[];
  ports?: { name?: string; protocol?: string; port?: number }[];
}

/** A service without its endpoints. */
export interface ServiceShape {
  namespace: string;
  name: string;
  kind: SourceService["kind"];
  ports: SourcePort[];
  clusterIps: string[];
  externalName?: string;
  uncarried?: string[];
  hidden: boolean;
  aliases: string[];
}

type Leaving = NonNullable<SourceEndpoint["leaving"]>;

export interface SliceShape {
  /** Of the service that it belongs to. */
  service: string;
  endpoints: { address: string; hostname?: string; ready: boolean; serving: boolean; leaving?: Leaving }[];
  ports: { name: string; protocol: string; port: number }[];
}

/** Says why something of the cluster is not in the catalog. */
export type Refuse = (why: string) => void;

export function isHidden({ metadata }: KubernetesObject): boolean {
  return metadata?.annotations?.[CONSUME_KEY] === "false" || metadata?.labels?.[CONSUME_KEY] === "false";
}

/** Null when nothing of it can be offered; `refuse` has then said why. */
export function readService(object: KubernetesService, refuse: Refuse): ServiceShape | null {
  const { name = "", namespace = "" } = object.metadata ?? {};
  const spec = object.spec ?? {};
  if (!isLabel(name) || !isLabel(namespace)) return refused(refuse, "its name is no DNS label");
  const ports = readPorts(spec.ports ?? [], refuse);
  const uncarried = (spec.ports ?? []).flatMap(({ port, protocol = "TCP" }) =>
    isPort(port) && /^[A-Z]{1,16}$/.test(protocol) && !/^(TCP|UDP)$/.test(protocol)
      ? `${port}/${protocol.toLowerCase()}`
      : [],
  );
  const base = {
    namespace,
    name,
    hidden: isHidden(object),
    aliases: readAliases(object, refuse),
    ...(uncarried.length === 0 ? {} : { uncarried }),
  };
  if (spec.type === "ExternalName") {
    const externalName = (spec.externalName ?? "").toLowerCase().replace(/\.$/, "");
    if (!isDnsName(externalName)) return refused(refuse, "its externalName is no domain name");
    return { ...base, kind: "external", ports, clusterIps: [], externalName };
  }
  if (spec.clusterIP === "None") return { ...base, kind: "headless", ports, clusterIps: [] };
  // What carries no port that we can carry has said so above, one line per port, and is shown with that.
  if (ports.length === 0 && uncarried.length === 0) return null;
  const written = spec.clusterIPs ?? (spec.clusterIP ? [spec.clusterIP] : []);
  const clusterIps = written.flatMap(text => canonicalAddress(text) ?? []);
  return { ...base, kind: "cluster", ports, clusterIps };
}

/** Names that a Service could have: no alias can take a name outside its namespace. */
function readAliases({ metadata }: KubernetesObject, refuse: Refuse): string[] {
  const written = metadata?.annotations?.[ALIASES_KEY] ?? "";
  const aliases = new Set<string>();
  for (const alias of written.split(",").map(text => text.trim())) {
    if (alias === "" || alias === metadata?.name) continue;
    if (!isLabel(alias)) refuse(`${ALIASES_KEY}: ${JSON.stringify(alias)} is no DNS label`);
    else if (aliases.size === ALIASES_MAX) refuse(`${ALIASES_KEY}: more than ${ALIASES_MAX}`);
    else aliases.add(alias);
  }
  return [...aliases];
}

type WrittenPorts = NonNullable<NonNullable<KubernetesService["spec"]>["ports"]>;

function readPorts(written: WrittenPorts, refuse: Refuse): SourcePort[] {
  return written.flatMap(({ name, protocol = "TCP", port, targetPort }) => {
    const lower = protocol.toLowerCase();
    if (lower !== "tcp" && lower !== "udp") {
      refuse(`port ${port}/${protocol}: only TCP and UDP can be carried`);
      return [];
    }
    if (!isPort(port) || (name !== undefined && name !== "" && !isLabel(name))) {
      refuse(`port ${port}: not a valid port`);
      return [];
    }
    return {
      ...(name ? { name } : {}),
      protocol: lower,
      port,
      // A named one means another number in each pod, and the EndpointSlices say which.
      targetPort: isPort(targetPort) ? targetPort : port,
    };
  });
}

function refused(refuse: Refuse, why: string): null {
  refuse(why);
  return null;
}

/** Null for a slice that belongs to no service, or names hosts instead of addresses. */
export function readSlice(object: KubernetesEndpointSlice): SliceShape | null {
  const service = object.metadata?.labels?.[SERVICE_NAME_LABEL];
  if (service === undefined || object.addressType === "FQDN") return null;
  const endpoints = (object.endpoints ?? []).flatMap(({ addresses, hostname, conditions = {} }) => {
    const leaving: Leaving = conditions.serving ? "serving" : "terminating";
    // "Consumers should use only the first": further ones were never given a meaning.
    const address = canonicalAddress(addresses?.[0] ?? "");
    if (address === null) return [];
    return {
      address,
      ...(hostname !== undefined && isLabel(hostname) ? { hostname } : {}),
      // "nil should be interpreted as true", for both.
      ready: conditions.ready !== false,
      serving: conditions.serving ?? conditions.ready !== false,
      ...(conditions.terminating ? { leaving } : {}),
    };
  });
  const ports = (object.ports ?? []).flatMap(({ name, protocol, port }) =>
    isPort(port) ? { name: name ?? "", protocol: (protocol ?? "TCP").toLowerCase(), port } : [],
  );
  return { service, endpoints, ports };
}

/** The service with the endpoints of all its slices, in an order that does not depend on theirs. */
export function joinEndpoints(shape: ServiceShape, slices: Iterable<SliceShape>): SourceService {
  const { hidden: _, aliases: __, ...service } = shape;
  if (shape.kind === "external") return { ...service, endpoints: [] };
  const found = new Map<string, SourceEndpoint & { serving: boolean }>();
  for (const slice of slices) {
    const ports = shape.ports.map(port => portIn(slice, port));
    for (const endpoint of slice.endpoints) {
      const key = `${endpoint.address} ${endpoint.hostname ?? ""}`;
      const known = found.get(key);
      // In two slices at once: while it moves between them, or with ports spread over them.
      if (known === undefined) found.set(key, { ...endpoint, ports });
      else {
        known.ports = known.ports.map((port, i) => port || (ports[i] as number));
        known.ready ||= endpoint.ready;
        known.serving ||= endpoint.serving;
        if (endpoint.leaving === undefined) delete known.leaving;
      }
    }
  }
  const all = [...found.values()].sort(byAddress);
  const noneReady = shape.kind === "cluster" && !all.some(endpoint => endpoint.ready);
  return {
    ...service,
    endpoints: all.map(({ serving, ready, ...endpoint }) => ({
      ...endpoint,
      ready: ready || (noneReady && serving),
    })),
  };
}

function portIn(slice: SliceShape, { name = "", protocol }: SourcePort): number {
  return slice.ports.find(port => port.name === name && port.protocol === protocol)?.port ?? 0;
}

/** IPv4 first, then as text: the same on every agent. */
function byAddress(a: SourceEndpoint, b: SourceEndpoint): number {
  const [first, second] = [a, b].map(
    ({ address, hostname = "" }) => `${address.includes(":") ? 6 : 4} ${address} ${hostname}`,
  ) as [string, string];
  return first < second ? -1 : first > second ? 1 : 0;
}
