/**
 * What a service is, as the agent tells it to a device and as the laptop uses it. The same shape whether it
 * came from a YAML file or from Kubernetes.
 */
export type Protocol = "tcp" | "udp";

export interface ServicePort {
  /** Kubernetes port name; absent for the single unnamed port. */
  name?: string;
  protocol: Protocol;
  port: number;
  /** It exists, and the policy keeps this device from it. */
  denied?: true;
}

export interface ServiceEndpoint {
  address: string;
  /** Headless: the pod's own name below the service. */
  hostname?: string;
  /** New connections may go there. */
  ready: boolean;
  /** It is on its way out: still serving what it has, or not even that. For display. */
  leaving?: "serving" | "terminating";
}

export interface Service {
  namespace: string;
  name: string;
  kind: "cluster" | "headless" | "external";
  /** Ports on the service's own address; for headless services the ports of its endpoints. */
  ports: ServicePort[];
  /**
   * "cluster": where a device dials this service inside the tunnel, one address per family at most: the
   * cluster address, or one that the agent made up. Empty for the other kinds.
   */
  targets: string[];
  /** "headless": dialled directly by address. "cluster": for display only. */
  endpoints: ServiceEndpoint[];
  /** "external": the canonical name. */
  externalName?: string;
  /** Ports that exist and cannot be carried, as `PORT/PROTOCOL`. */
  uncarried?: string[];
}

/** `service.namespace`: the name of a service in logs, tables and rules. */
export function serviceKey(service: { namespace: string; name: string }): string {
  return `${service.name}.${service.namespace}`;
}
