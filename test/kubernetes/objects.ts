/** Objects as the tests write them: what users, and the controllers that are not there, would write. */
import type { KubernetesClient } from "../../src/agent/kubernetes-client.js";

interface Port {
  name?: string;
  protocol?: string;
  port: number;
  targetPort?: number | string;
}

const SERVICES = (namespace: string): string => `/api/v1/namespaces/${namespace}/services`;
const SLICES = (namespace: string): string =>
  `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`;

export async function makeNamespace(admin: KubernetesClient, name: string): Promise<void> {
  await admin.call("POST", "/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name } });
}

export async function makeService(
  admin: KubernetesClient,
  namespace: string,
  name: string,
  spec: { ports?: Port[]; [field: string]: unknown },
): Promise<{ spec: { clusterIP: string; clusterIPs: string[] } }> {
  const object = { apiVersion: "v1", kind: "Service", metadata: { name, namespace }, spec };
  return (await admin.call("POST", SERVICES(namespace), object)) as {
    spec: { clusterIP: string; clusterIPs: string[] };
  };
}

export async function deleteService(admin: KubernetesClient, namespace: string, name: string): Promise<void> {
  await admin.call("DELETE", `${SERVICES(namespace)}/${name}`);
}

/** The service's one slice, as the controller would keep it. */
export async function setEndpoints(
  admin: KubernetesClient,
  namespace: string,
  service: string,
  addresses: readonly string[],
  ports: readonly Port[] = [{ name: "", port: 8080 }],
): Promise<void> {
  const name = `${service}-1`;
  const labels = { "kubernetes.io/service-name": service };
  await admin.call("PATCH", `${SLICES(namespace)}/${name}?fieldManager=test&force=true`, {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name, namespace, labels },
    addressType: "IPv4",
    endpoints: addresses.map(address => ({ addresses: [address], conditions: { ready: true } })),
    ports,
  });
}

export async function annotate(
  admin: KubernetesClient,
  path: string,
  apiVersion: string,
  kind: string,
  annotations: Record<string, string>,
): Promise<void> {
  const name = path.split("/").at(-1);
  const namespace = /namespaces\/([^/]+)\//.exec(path)?.[1];
  const metadata = { name, annotations, ...(namespace === undefined ? {} : { namespace }) };
  await admin.call("PATCH", `${path}?fieldManager=annotations&force=true`, { apiVersion, kind, metadata });
}
