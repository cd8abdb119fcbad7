/**
 * The objects of an installation: those of `deploy/czctl.yaml`, which is the chart rendered with its defaults, with
 * what the administrator wants otherwise. A test holds the result to what Helm makes of the same wishes.
 */
import { readFileSync } from "node:fs";
import { parseAllDocuments } from "yaml";
import { packageVersion } from "../api/index.js";
import { isLabel } from "../catalog/index.js";
import { badName } from "./devices.js";
import type { KubernetesObject } from "./discovery/kubernetes-objects.js";

/** On everything that is ours; says what an uninstall may delete. */
export const LABELS: Readonly<Record<string, string>> = {
  "app.kubernetes.io/name": "czctl",
  "app.kubernetes.io/component": "agent",
};
export interface Manifest extends KubernetesObject {
  apiVersion: string;
  kind: string;
  metadata: NonNullable<KubernetesObject["metadata"]> & { name: string };
  data?: Record<string, string>;
  // biome-ignore lint/suspicious/noExplicitAny: each kind has a shape of its own
  [field: string]: any;
}

export interface ManifestOptions {
  image?: string;
  /** Secret in the agent's namespace with the registry's login. */
  imagePullSecret?: string;
  replicas?: number;
  /** NodePort in place of a LoadBalancer. */
  nodePort?: number;
  /** Only their services are offered, and the agent may read no others; absent or empty: the whole cluster. */
  namespaces?: string[];
}

/** Role and RoleBinding of an agent in each namespace that it may read, when it may not read all of them. */
export function discoveryName(namespace: string): string {
  return `czctl-discovery-${namespace}`;
}

/** Without the Secret and the policy. */
export function agentManifests(namespace: string, options: ManifestOptions): Manifest[] {
  const { namespaces = [] } = options;
  for (const name of [namespace, ...namespaces]) if (!isLabel(name)) throw badName("namespace", name);
  const text = readFileSync(new URL("../../../deploy/czctl.yaml", import.meta.url), "utf8");
  const objects = parseAllDocuments(text).map(document => document.toJS() as Manifest);
  for (const object of objects) adapt(object, namespace, options);
  if (namespaces.length === 0) return objects;
  const reader = objects.find(object => object.kind === "ClusterRole") as Manifest;
  return [...objects, ...restrict(reader, namespace, namespaces)];
}

function adapt(object: Manifest, namespace: string, options: ManifestOptions): void {
  const { metadata } = object;
  if (object.kind === "Namespace") metadata.name = namespace;
  if (metadata.namespace !== undefined) metadata.namespace = namespace;
  // Cluster-wide objects carry the namespace in their names, so that two installations do not share them.
  if (object.kind.startsWith("ClusterRole")) metadata.name = `czctl-agent-${namespace}`;
  if (object.kind === "ClusterRoleBinding") object.roleRef.name = metadata.name;
  for (const subject of object.subjects ?? []) subject.namespace = namespace;
  if (object.kind === "Deployment") adaptDeployment(object, options);
  if (object.kind === "Service" && options.nodePort !== undefined) {
    object.spec.type = "NodePort";
    object.spec.ports[0].nodePort = options.nodePort;
  }
}

function adaptDeployment({ spec }: Manifest, options: ManifestOptions): void {
  const { image, imagePullSecret, replicas, namespaces = [] } = options;
  const pod = spec.template.spec;
  spec.replicas = replicas ?? spec.replicas;
  pod.containers[0].image = image ?? `czctl:${packageVersion()}`;
  if (imagePullSecret !== undefined) pod.imagePullSecrets = [{ name: imagePullSecret }];
  pod.containers[0].args.push(...namespaces.map(name => `--namespaces=${name}`));
}

/**
 * Takes the cluster-wide role down to reading these namespaces' own objects, which have no namespace to put a role in
 * (whether one is hidden is written there), and gives what it read in them to a role in each.
 */
function restrict(reader: Manifest, namespace: string, namespaces: readonly string[]): Manifest[] {
  const verbs = ["list", "watch"];
  reader.rules = [{ apiGroups: [""], resources: ["namespaces"], resourceNames: [...namespaces], verbs }];
  const name = discoveryName(namespace);
  const apiGroup = "rbac.authorization.k8s.io";
  const apiVersion = `${apiGroup}/v1`;
  return namespaces.flatMap((own): Manifest[] => [
    {
      apiVersion,
      kind: "Role",
      metadata: { name, namespace: own, labels: { ...LABELS } },
      rules: [
        { apiGroups: [""], resources: ["services"], verbs },
        { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs },
      ],
    },
    {
      apiVersion,
      kind: "RoleBinding",
      metadata: { name, namespace: own, labels: { ...LABELS } },
      roleRef: { apiGroup, kind: "Role", name },
      subjects: [{ kind: "ServiceAccount", name: "czctl-agent", namespace }],
    },
  ]);
}
