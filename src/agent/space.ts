/**
 * `czctl space install`, `invite`, `revoke`, `uninstall`: what an administrator does to a cluster, with the
 * rights of a kubeconfig. The agent's objects are those of `deploy/czctl.yaml`, which is the chart rendered with
 * its default values. Its keys and devices are in a Secret, written by nobody else; the agents follow it.
 */
import { stringify } from "yaml";
import { CzctlError } from "../base/index.js";
import { isLabel } from "../catalog/index.js";
import {
  badName,
  checkInvitation,
  type Invitation,
  inviteDevice,
  newAgent,
  withoutDevice,
} from "./devices.js";
import { KubernetesError } from "./discovery/resource-watch.js";
import { KubernetesClient } from "./kubernetes-client.js";
import { agentManifests, discoveryName, LABELS, type Manifest, type ManifestOptions } from "./manifests.js";
import { type AgentConfig, type PeerRecord, parseAgentConfig, parsePeers } from "./state.js";

export const DEFAULT_NAMESPACE = "czctl";
const SECRET = "czctl-agent";
const POLICY = "czctl-policy";
/** Two administrators at the same moment; a third try has never been seen. */
const ATTEMPTS = 5;

const FIRST_POLICY = `# Who may consume what, beside what invitations say (czctl space invite --allow). For example:
#   grants:
#     - to: ["group:backend", alice-laptop]
#       allow: ["*.shop", "!admin.shop"]
grants: []
`;

/** Where objects of a kind are: API group, resource, whether it belongs to a namespace. */
const KINDS: Readonly<Record<string, readonly [group: string, resource: string, namespaced: boolean]>> = {
  Namespace: ["/api/v1", "namespaces", false],
  ServiceAccount: ["/api/v1", "serviceaccounts", true],
  Secret: ["/api/v1", "secrets", true],
  ConfigMap: ["/api/v1", "configmaps", true],
  Service: ["/api/v1", "services", true],
  Role: ["/apis/rbac.authorization.k8s.io/v1", "roles", true],
  RoleBinding: ["/apis/rbac.authorization.k8s.io/v1", "rolebindings", true],
  ClusterRole: ["/apis/rbac.authorization.k8s.io/v1", "clusterroles", false],
  ClusterRoleBinding: ["/apis/rbac.authorization.k8s.io/v1", "clusterrolebindings", false],
  Deployment: ["/apis/apps/v1", "deployments", true],
  PodDisruptionBudget: ["/apis/policy/v1", "poddisruptionbudgets", true],
  NetworkPolicy: ["/apis/networking.k8s.io/v1", "networkpolicies", true],
};

export interface SpaceOptions {
  kubeconfig?: string;
  /** Where the agent is; default: czctl. */
  namespace?: string;
}

export interface SpaceInstallOptions extends SpaceOptions, ManifestOptions {
  /** `HOST:PORT` as devices reach the agent. */
  endpoint: string;
  teamspace?: string;
  zone?: string;
  /** Changes nothing; `manifests` says what would be applied, keys left out. */
  dryRun?: boolean;
}

export interface SpaceInstallResult {
  namespace: string;
  /** `Kind/name`. */
  applied: string[];
  /** False: the keys and devices of an earlier installation stay. */
  newKeys: boolean;
  manifests: string;
}

export async function spaceInstall(options: SpaceInstallOptions): Promise<SpaceInstallResult> {
  const { namespace = DEFAULT_NAMESPACE, endpoint, teamspace, zone } = options;
  // The port in the pod is the chart's, whatever the outside one is.
  const config = newAgent({
    endpoint,
    listen: 51820,
    ...(teamspace === undefined ? {} : { teamspace }),
    ...(zone === undefined ? {} : { zone }),
  });
  const policy = ours("ConfigMap", POLICY, namespace, { "policy.yaml": FIRST_POLICY });
  const objects = [...agentManifests(namespace, options), policy];
  const manifests = objects.map(object => stringify(object)).join("---\n");
  const applied = objects.map(({ kind, metadata }) => `${kind}/${metadata.name}`);
  if (options.dryRun) return { namespace, applied, newKeys: true, manifests };

  const client = await KubernetesClient.connect(options.kubeconfig);
  const exists = async (object: Manifest): Promise<boolean> => (await read(client, object)) !== null;
  for (const object of objects) {
    // A namespace that was there is not ours to label, and a policy that was there is the administrator's.
    if (["Namespace", "ConfigMap"].includes(object.kind) && (await exists(object))) continue;
    await client.call("PATCH", `${pathOf(object)}?fieldManager=czctl&force=true`, object);
  }
  await deleteDiscoveryRoles(client, namespace, options.namespaces ?? []);
  const secret = ours("Secret", SECRET, namespace, encodeState(config, []));
  const newKeys = !(await exists(secret));
  if (newKeys) await client.call("POST", collectionOf(secret), secret);
  return { namespace, applied: [...applied, `Secret/${SECRET}`], newKeys, manifests };
}

export async function spaceInvite(
  options: SpaceOptions & Invitation,
): Promise<{ name: string; credential: string; addresses: string[] }> {
  checkInvitation(options);
  return await changeDevices(options, (config, peers) => {
    const { credential, addresses, peers: next } = inviteDevice(config, peers, options);
    return { peers: next, result: { name: options.name, credential, addresses } };
  });
}

export async function spaceRevoke(options: SpaceOptions & { name: string }): Promise<{ name: string }> {
  const { name } = options;
  return await changeDevices(options, (_config, peers) => ({
    peers: withoutDevice(peers, name),
    result: { name },
  }));
}

/** Deletes what an installation made, its keys and devices included; `Kind/name` of each. */
export async function spaceUninstall(
  options: SpaceOptions,
): Promise<{ namespace: string; deleted: string[] }> {
  const { namespace = DEFAULT_NAMESPACE } = options;
  const client = await KubernetesClient.connect(options.kubeconfig);
  const extra = [ours("ConfigMap", POLICY, namespace, {}), ours("Secret", SECRET, namespace, {})];
  const deleted: string[] = [];
  // Backwards: the agent goes before its rights, and the namespace last.
  for (const object of [...agentManifests(namespace, {}), ...extra].reverse()) {
    const found = await read(client, object);
    if (found === null || !isOurs(found)) continue;
    await client.call("DELETE", pathOf(object));
    deleted.push(`${object.kind}/${object.metadata.name}`);
  }
  deleted.push(...(await deleteDiscoveryRoles(client, namespace, [])));
  return { namespace, deleted };
}

/** Those that an installation made in other namespaces than these (which may be any, and any time ago). */
async function deleteDiscoveryRoles(
  client: KubernetesClient,
  namespace: string,
  but: readonly string[],
): Promise<string[]> {
  const deleted: string[] = [];
  const labelSelector = Object.entries(LABELS).map(entry => entry.join("="));
  for (const kind of ["RoleBinding", "Role"]) {
    const [group, resource] = KINDS[kind] as [string, string, boolean];
    const query = new URLSearchParams({ labelSelector: labelSelector.join(",") });
    const { items } = (await client.call("GET", `${group}/${resource}?${query}`)) as { items: Manifest[] };
    for (const object of items) {
      const { name, namespace: own = "" } = object.metadata;
      if (name !== discoveryName(namespace) || but.includes(own)) continue;
      await client.call("DELETE", pathOf({ ...object, kind }));
      deleted.push(`${kind}/${name} of ${own}`);
    }
  }
  return deleted;
}

/** Reads the Secret, changes its devices and writes it back, unless somebody was faster: then again. */
async function changeDevices<T>(
  { kubeconfig, namespace = DEFAULT_NAMESPACE }: SpaceOptions,
  change: (config: AgentConfig, peers: PeerRecord[]) => { peers: PeerRecord[]; result: T },
): Promise<T> {
  const client = await KubernetesClient.connect(kubeconfig);
  for (let attempt = 1; ; attempt++) {
    const secret = await read(client, ours("Secret", SECRET, namespace, {}));
    if (secret === null) throw notInstalled(namespace);
    const text = (file: string): string => Buffer.from(secret.data?.[file] ?? "", "base64").toString("utf8");
    const config = parseAgentConfig(text("agent.json"), `Secret ${namespace}/${SECRET}`);
    const { peers, result } = change(config, parsePeers(text("peers.json"), `Secret ${namespace}/${SECRET}`));
    try {
      // With the resourceVersion that was read: the server refuses it when the Secret has changed since.
      await client.call("PUT", pathOf(secret), { ...secret, data: encodeState(config, peers) });
      return result;
    } catch (error) {
      if (!(error instanceof KubernetesError) || error.status !== 409 || attempt === ATTEMPTS) throw error;
    }
  }
}

function encodeState(config: AgentConfig, peers: readonly PeerRecord[]): Record<string, string> {
  const encode = (value: unknown): string =>
    Buffer.from(`${JSON.stringify(value, null, 2)}\n`).toString("base64");
  return { "agent.json": encode(config), "peers.json": encode({ version: 1, peers }) };
}

function ours(kind: string, name: string, namespace: string, data: Record<string, string>): Manifest {
  if (!isLabel(namespace)) throw badName("namespace", namespace);
  return { apiVersion: "v1", kind, metadata: { name, namespace, labels: { ...LABELS } }, data };
}

function isOurs({ metadata }: Manifest): boolean {
  return Object.entries(LABELS).every(([name, value]) => metadata.labels?.[name] === value);
}

async function read(client: KubernetesClient, object: Manifest): Promise<Manifest | null> {
  try {
    return { ...((await client.call("GET", pathOf(object))) as Manifest), kind: object.kind };
  } catch (error) {
    if (error instanceof KubernetesError && error.status === 404) return null;
    throw error;
  }
}

function collectionOf({ kind, metadata }: Manifest): string {
  const place = KINDS[kind];
  if (place === undefined) throw new TypeError(`where objects of kind ${kind} are is not known`);
  const [group, resource, namespaced] = place;
  return namespaced ? `${group}/namespaces/${metadata.namespace}/${resource}` : `${group}/${resource}`;
}

function pathOf(object: Manifest): string {
  return `${collectionOf(object)}/${object.metadata.name}`;
}

function notInstalled(namespace: string): CzctlError {
  return new CzctlError(`there is no agent in namespace ${namespace}`, {
    code: "SPACE_NOT_INSTALLED",
    category: "user",
    hint: "Run: czctl space install, or name its namespace with --namespace.",
  });
}
