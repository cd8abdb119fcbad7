/**
 * What `czctl agent …` does, as plain functions: the CLI parses words into these options and prints what
 * comes back. Every failure is a CzctlError.
 */
import { readFileSync } from "node:fs";
import type { PeerStatus } from "../api/index.js";
import { CzctlError, type Logger } from "../base/index.js";
import {
  formatCredential,
  formatRule,
  isDnsName,
  isLabel,
  isPlainName,
  isPort,
  parseGrant,
  parseHostPort,
} from "../catalog/index.js";
import { liveStatus, pokeAgent } from "./admin.js";
import { type Discovery, NoDiscovery } from "./discovery/discovery.js";
import { KubernetesDiscovery } from "./discovery/kubernetes.js";
import { systemClock } from "./discovery/resource-watch.js";
import { StaticFileDiscovery } from "./discovery/static-file.js";
import { ForbiddenAddresses } from "./forbidden.js";
import { generateKeyPair, generatePresharedKey, randomUlaPrefix } from "./keys.js";
import { KubernetesClient } from "./kubernetes-client.js";
import { lockForRun, type RunningAgent, withPeersLock } from "./locks.js";
import { Agent } from "./run.js";
import { placeSockets } from "./sockets.js";
import { checkPermissions, createAgentState, readAgentConfig, readPeers, writePeers } from "./state.js";
import {
  agentAddresses,
  DEFAULT_TUNNEL4,
  INNER_MTU,
  nextAddresses,
  parseTunnel4,
  tunnelPrefixes,
} from "./tunnel.js";

export interface AgentInitOptions {
  dir: string;
  /** `HOST:PORT` as devices reach the agent from outside; HOST may be a name. */
  endpoint: string;
  /** UDP port to bind; default: the endpoint's. */
  listen?: number;
  /** Name of the Teamspace; default: "teamspace". */
  teamspace?: string;
  /** Cluster domain; default: `cluster.local`. */
  zone?: string;
  /** Inner IPv4 prefix for agent and devices; default: 100.126.0.0/16. */
  tunnelRange?: string;
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
}

export interface AgentInviteOptions {
  dir: string;
  name: string;
  /** Rules as in `consume`: what the device may reach; absent or empty: everything in the catalog. */
  allow?: string[];
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
  const { dir, endpoint, teamspace = "teamspace", zone = "cluster.local" } = options;
  const outside = parseHostPort(endpoint);
  if (outside === null) {
    throw wrong(
      "ENDPOINT_INVALID",
      `"${endpoint}" is not HOST:PORT`,
      "Write agent.example.com:51820, or [IPV6]:PORT.",
    );
  }
  if (!isPlainName(teamspace)) throw badName("teamspace", teamspace);
  if (!isDnsName(zone))
    throw wrong("ZONE_INVALID", `"${zone}" is not a domain`, "Usually it is cluster.local.");
  const listenPort = options.listen ?? outside.port;
  if (!isPort(listenPort)) throw wrong("PORT_INVALID", `${listenPort} is not a port`, "Give 1 to 65535.");
  const tunnel = [parseTunnel4(options.tunnelRange ?? DEFAULT_TUNNEL4), randomUlaPrefix()].map(String) as [
    string,
    string,
  ];
  const keys = generateKeyPair();
  const [tunnel4, tunnel6] = tunnel;
  await createAgentState(dir, {
    version: 1,
    teamspace,
    zone,
    endpoint,
    listenPort,
    ...keys,
    tunnel4,
    tunnel6,
  });
  return { dir, teamspace, endpoint, listenPort, publicKey: keys.publicKey, tunnel };
}

/** Runs until `signal` aborts, or throws when it cannot start. */
export async function agentRun(options: AgentRunOptions): Promise<void> {
  const { dir, signal, log, dataplaneEntry } = options;
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
    disableOffloads: readDisabledOffloads(process.env.CZCTL_DISABLE_OFFLOADS),
    ...(dataplaneEntry === undefined ? {} : { dataplaneEntry }),
  });
  const aborted = new Promise<void>(resolve =>
    signal.addEventListener("abort", () => resolve(), { once: true }),
  );
  try {
    await Promise.race([agent.start(), aborted]);
    await aborted;
    log.info("agent stops");
  } finally {
    await agent.stop();
    sockets.remove();
    lock.release();
  }
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
  if (!isPlainName(name)) throw badName("device", name);
  const allow = options.allow?.length ? parseGrant(options.allow).map(formatRule) : [];
  const config = await readAgentConfig(dir);
  const tunnel = tunnelPrefixes(config);
  const keys = generateKeyPair();
  const presharedKey = generatePresharedKey();
  const addresses = await withPeersLock(dir, async () => {
    const peers = await readPeers(dir);
    if (peers.some(peer => peer.name.toLowerCase() === name.toLowerCase())) {
      throw wrong(
        "DEVICE_EXISTS",
        `there is a device ${name} already`,
        "Choose another name, or revoke that one first.",
      );
    }
    const pair = nextAddresses(tunnel, peers).map(String) as [string, string];
    const { publicKey } = keys;
    const invitedAt = new Date().toISOString();
    await writePeers(dir, [...peers, { name, publicKey, presharedKey, addresses: pair, allow, invitedAt }]);
    return pair;
  });
  const credential = formatCredential({
    version: 1,
    kind: "czctl-credential",
    teamspace: config.teamspace,
    device: name,
    privateKey: keys.privateKey,
    presharedKey,
    innerAddresses: addresses,
    agent: {
      publicKey: config.publicKey,
      endpoint: config.endpoint,
      innerAddresses: agentAddresses(tunnel).map(String) as [string, string],
    },
    zone: config.zone,
    mtu: INNER_MTU,
  });
  // The credential exists nowhere else: no trouble with the running agent may cost it.
  const problem = await pokeAgent(dir).catch((error: CzctlError) => error);
  if (typeof problem === "boolean") return { name, credential, addresses, live: problem };
  return { name, credential, addresses, live: false, warning: problem.message };
}

export async function agentRevoke({ dir, name }: { dir: string; name: string }): Promise<AgentRevokeResult> {
  await readAgentConfig(dir);
  await withPeersLock(dir, async () => {
    const peers = await readPeers(dir);
    const kept = peers.filter(peer => peer.name !== name);
    if (kept.length === peers.length) {
      throw wrong("DEVICE_NOT_FOUND", `there is no device ${name}`, "See: czctl agent peers");
    }
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

function readDisabledOffloads(text: string | undefined): ("gso" | "gro")[] {
  const names = text?.split(",") ?? [];
  return (["gso", "gro"] as const).filter(name => names.includes(name));
}

function packageVersion(): string {
  const url = new URL("../../../package.json", import.meta.url);
  return (JSON.parse(readFileSync(url, "utf8")) as { version: string }).version;
}

function badName(what: string, name: string): CzctlError {
  const hint = "Use letters, digits, '.', '_' and '-', at most 63 of them, the first a letter or digit.";
  return wrong("NAME_INVALID", `${JSON.stringify(name)} cannot be the name of a ${what}`, hint);
}

function wrong(code: string, message: string, hint: string): CzctlError {
  return new CzctlError(message, { code, category: "user", hint });
}
