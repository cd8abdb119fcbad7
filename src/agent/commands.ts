/**
 * What `czctl agent …` does, as plain functions: the CLI parses words into these options and prints what
 * comes back. Every failure is a CzctlError.
 */
import { DEFAULT_TUNING, type PeerStatus, packageVersion, type Tuning } from "../api/index.js";
import type { CzctlError, Logger } from "../base/index.js";
import { isLabel } from "../catalog/index.js";
import type { MetricsEndpoint } from "../telemetry/index.js";
import { liveStatus, pokeAgent } from "./admin.js";
import { ClusterState } from "./cluster-state.js";
import {
  badName,
  checkInvitation,
  type Invitation,
  inviteDevice,
  type NewAgent,
  newAgent,
  withoutDevice,
} from "./devices.js";
import { type Discovery, NoDiscovery } from "./discovery/discovery.js";
import { KubernetesDiscovery } from "./discovery/kubernetes.js";
import { systemClock } from "./discovery/resource-watch.js";
import { StaticFileDiscovery } from "./discovery/static-file.js";
import { ForbiddenAddresses } from "./forbidden.js";
import { KubernetesClient } from "./kubernetes-client.js";
import { lockForRun, type RunningAgent, withPeersLock } from "./locks.js";
import { Agent } from "./run.js";
import { placeSockets } from "./sockets.js";
import { checkPermissions, createAgentState, readAgentConfig, readPeers, writePeers } from "./state.js";
import { tunnelPrefixes } from "./tunnel.js";

export interface AgentInitOptions extends NewAgent {
  dir: string;
}

export interface AgentInitResult {
  dir: string;
  teamspace: string;
  endpoint: string;
  listenPort: number;
  /** Base64. */
  publicKey: string;
  /** Inner prefixes of agent and devices, IPv4 and IPv6. */
  tunnel: string[];
}

export interface AgentRunOptions {
  dir: string;
  /** Path of the services YAML file; without it the catalog is empty. */
  catalog?: string;
  /** The catalog comes from a cluster instead. */
  kubernetes?: KubernetesOptions;
  /** Where /metrics, /healthz and /readyz are served; nowhere without it. */
  metrics?: MetricsEndpoint;
  /** How long open flows may go on after `signal` has aborted; default: 0. */
  drainMs?: number;
  tuning?: Tuning;
  /** Ends the run; the promise then resolves. */
  signal: AbortSignal;
  log: Logger;
  /** Script to run as data plane (tests). */
  dataplaneEntry?: string;
}

export interface KubernetesOptions {
  /** Path; default: the pod's service account, $KUBECONFIG or ~/.kube/config. */
  kubeconfig?: string;
  /** Only these; default: the whole cluster. */
  namespaces?: string[];
  /** Name of the Secret that DIR mirrors (cluster-state.ts); without it DIR is what `agent init` made. */
  secret?: string;
  /** Name of the ConfigMap with policy.yaml. */
  policy?: string;
}

export interface AgentInviteOptions extends Invitation {
  dir: string;
}

export interface AgentInviteResult {
  name: string;
  /** The credential file's text; its private key is kept nowhere else. */
  credential: string;
  /** Inner addresses of the device. */
  addresses: string[];
  /** True when a running agent has already taken the device up. */
  live: boolean;
  /** An agent runs, but did not confirm. */
  warning?: string;
}

export interface AgentRevokeResult {
  name: string;
  /** True when a running agent has confirmed that the device is cut off; false: no agent runs. */
  live: boolean;
}

export interface AgentPeerRow {
  name: string;
  /** Base64 key, full and its first eight characters. */
  publicKey: string;
  shortKey: string;
  addresses: string[];
  /** ISO 8601. */
  invitedAt: string;
  /** Empty: everything. */
  allow: string[];
  /** Only while the agent runs. `lastHandshakeAt`: ms since the epoch, 0 for never. */
  live?: Omit<PeerStatus, "publicKey" | "name">;
}

export async function agentInit(options: AgentInitOptions): Promise<AgentInitResult> {
  const { dir } = options;
  const config = newAgent(options);
  await createAgentState(dir, config);
  const { teamspace, endpoint, listenPort, publicKey, tunnel4, tunnel6 } = config;
  return { dir, teamspace, endpoint, listenPort, publicKey, tunnel: [tunnel4, tunnel6] };
}

/** Runs until `signal` aborts, or throws when it cannot start. */
export async function agentRun(options: AgentRunOptions): Promise<void> {
  const state = await mirrorCluster(options);
  try {
    if (!options.signal.aborted) await runOn(options);
  } finally {
    state?.stop();
  }
}

async function runOn(options: AgentRunOptions): Promise<void> {
  const { dir, signal, log, dataplaneEntry, metrics, drainMs = 0, tuning = DEFAULT_TUNING } = options;
  const config = await readAgentConfig(dir);
  await checkPermissions(dir);
  if (signal.aborted) return;
  const lock = lockForRun(dir);
  const sockets = placeSockets(dir);
  const running: RunningAgent = { pid: process.pid, adminSocket: sockets.adminPath };
  lock.describe(JSON.stringify(running));
  const tunnel = tunnelPrefixes(config);
  const agent = new Agent({
    dir,
    config,
    sockets,
    log,
    discovery: discoveryOf(options, new ForbiddenAddresses([tunnel.v4, tunnel.v6])),
    version: packageVersion(),
    tuning,
    callsDevices: options.kubernetes?.secret === undefined,
    ...(metrics === undefined ? {} : { metrics }),
    ...(dataplaneEntry === undefined ? {} : { dataplaneEntry }),
  });
  const aborted = new Promise<void>(resolve =>
    signal.addEventListener("abort", () => resolve(), { once: true }),
  );
  try {
    await Promise.race([agent.start(), aborted]);
    await aborted;
    if (drainMs > 0) await agent.drain(drainMs);
    log.info("agent stops");
  } finally {
    await agent.stop();
    sockets.remove();
    lock.release();
  }
}

/** Fills DIR from the cluster and keeps it so, when a Secret is named. */
async function mirrorCluster({
  dir,
  kubernetes,
  signal,
  log,
}: AgentRunOptions): Promise<ClusterState | null> {
  const { secret, policy, kubeconfig } = kubernetes ?? {};
  if (secret === undefined) return null;
  const client = await KubernetesClient.connect(kubeconfig);
  const namespace = client.namespace ?? "default";
  const state = new ClusterState({
    client,
    namespace,
    dir,
    secret,
    log,
    ...(policy === undefined ? {} : { policy }),
  });
  const cancel = (): void => state.stop();
  signal.addEventListener("abort", cancel, { once: true });
  await state.start();
  // From here it ends with the agent: a device that is revoked while flows drain is cut off all the same.
  signal.removeEventListener("abort", cancel);
  return state;
}

function discoveryOf(options: AgentRunOptions, forbidden: ForbiddenAddresses): Discovery {
  const { catalog, kubernetes, log } = options;
  if (catalog !== undefined) return new StaticFileDiscovery(catalog, forbidden, log);
  if (kubernetes === undefined) return new NoDiscovery();
  const { kubeconfig, namespaces = [] } = kubernetes;
  for (const name of namespaces) if (!isLabel(name)) throw badName("namespace", name);
  const connect = (): Promise<KubernetesClient> => KubernetesClient.connect(kubeconfig);
  return new KubernetesDiscovery({ connect, namespaces, forbidden, log, clock: systemClock });
}

export async function agentInvite(options: AgentInviteOptions): Promise<AgentInviteResult> {
  const { dir, name } = options;
  checkInvitation(options);
  const config = await readAgentConfig(dir);
  const { credential, addresses } = await withPeersLock(dir, async () => {
    const { peers, ...made } = inviteDevice(config, await readPeers(dir), options);
    await writePeers(dir, peers);
    return made;
  });
  // The credential exists nowhere else: no trouble with the running agent may cost it.
  const problem = await pokeAgent(dir).catch((error: CzctlError) => error);
  if (typeof problem === "boolean") return { name, credential, addresses, live: problem };
  return { name, credential, addresses, live: false, warning: problem.message };
}

export async function agentRevoke({ dir, name }: { dir: string; name: string }): Promise<AgentRevokeResult> {
  await readAgentConfig(dir);
  await withPeersLock(dir, async () => {
    const kept = withoutDevice(await readPeers(dir), name);
    await writePeers(dir, kept);
  });
  return { name, live: await pokeAgent(dir) };
}

export async function agentPeers({ dir }: { dir: string }): Promise<AgentPeerRow[]> {
  const peers = await readPeers(dir);
  const status = await liveStatus(dir).catch(() => null);
  const live = new Map(status?.peers.map(peer => [peer.publicKey, peer]));
  return peers.map(({ name, publicKey, addresses, invitedAt, allow }) => {
    const row: AgentPeerRow = {
      name,
      publicKey,
      shortKey: publicKey.slice(0, 8),
      addresses,
      invitedAt,
      allow,
    };
    const peer = live.get(publicKey);
    if (peer === undefined) return row;
    const { publicKey: _key, name: _name, ...figures } = peer;
    return { ...row, live: figures };
  });
}
