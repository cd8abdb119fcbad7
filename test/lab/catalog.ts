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
  return stringify({ services });
}
