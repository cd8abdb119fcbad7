/** Catalog files for labs, in the format of docs/catalog-file.md. */
import { stringify } from "yaml";

export interface LabPort {
  name: string;
  protocol: "TCP" | "UDP";
  port: number;
  targetPort?: number;
}

export interface LabService {
  namespace: string;
  name: string;
  /** Routed by the cluster's kernel. Without them the agent balances over the endpoints. */
  clusterIps?: string[];
  ports: LabPort[];
  endpoints?: string[];
}

export function catalogText(services: LabService[]): string {
  const namespaces: Record<string, Record<string, object>> = {};
  for (const { namespace, name, clusterIps, ports, endpoints } of services) {
    namespaces[namespace] ??= {};
    namespaces[namespace][name] = {
      ...(clusterIps === undefined ? {} : { clusterIPs: clusterIps }),
      ports,
      ...(endpoints === undefined ? {} : { endpoints }),
    };
  }
  return stringify({ namespaces });
}
