/**
 * What discovery (a YAML file, later Kubernetes) tells the agent about a service: everything that a device
 * is told, and how the agent itself reaches it.
 */
import { Address } from "../base/index.js";
import type { Service, ServiceEndpoint, ServicePort } from "./service.js";

export interface SourcePort extends ServicePort {
  /** Port of endpoints that do not say otherwise. */
  targetPort: number;
}

export interface SourceEndpoint extends ServiceEndpoint {
  /** Where this endpoint serves each of the service's `ports`, in their order; 0 where it does not. */
  ports: number[];
}

export interface SourceService {
  namespace: string;
  name: string;
  kind: Service["kind"];
  ports: SourcePort[];
  /** One per family at most; empty for the kinds "headless" and "external". */
  clusterIps: string[];
  endpoints: SourceEndpoint[];
  externalName?: string;
  uncarried?: string[];
}

/**
 * The service as devices are told it.
 * @param targets kind "cluster": where devices dial it; `clusterIps`, or an address that the agent made up
 */
export function toService(source: SourceService, targets: readonly string[]): Service {
  const { namespace, name, kind, externalName, uncarried } = source;
  return {
    namespace,
    name,
    kind,
    ports:
      kind === "headless" ? headlessPorts(source) : source.ports.map(port => servicePort(port, port.port)),
    targets: kind === "cluster" ? [...targets] : [],
    endpoints: source.endpoints.map(({ address, hostname, ready, leaving }) => ({
      address,
      ...(hostname === undefined ? {} : { hostname }),
      ready,
      ...(leaving === undefined ? {} : { leaving }),
    })),
    ...(externalName === undefined ? {} : { externalName }),
    ...(uncarried === undefined ? {} : { uncarried }),
  };
}

/** A headless service has no proxy that maps ports, so devices dial what the endpoints listen on. */
function headlessPorts(source: SourceService): ServicePort[] {
  const found: ServicePort[] = [];
  source.ports.forEach((port, i) => {
    const numbers = source.endpoints.map(endpoint => endpoint.ports[i] ?? 0).filter(number => number > 0);
    for (const number of numbers.length > 0 ? new Set(numbers) : [port.targetPort]) {
      found.push(servicePort(port, number));
    }
  });
  return found;
}

function servicePort(port: ServicePort, number: number): ServicePort {
  const named = port.name === undefined ? {} : { name: port.name };
  return { ...named, protocol: port.protocol, port: number };
}

/** Canonical text of an address, so that equal addresses are equal strings; null when it is not one. */
export function canonicalAddress(text: string): string | null {
  return Address.parse(text)?.toString() ?? null;
}
