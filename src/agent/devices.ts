/** Making an agent and its devices, wherever their records are kept afterwards: a directory or a Secret. */
import { CzctlError } from "../base/index.js";
import {
  formatCredential,
  formatRule,
  isDnsName,
  isPlainName,
  isPort,
  parseGrant,
  parseHostPort,
} from "../catalog/index.js";
import { generateKeyPair, generatePresharedKey, randomUlaPrefix } from "./keys.js";
import type { AgentConfig, PeerRecord } from "./state.js";
import {
  agentAddresses,
  DEFAULT_TUNNEL4,
  INNER_MTU,
  nextAddresses,
  parseTunnel4,
  tunnelPrefixes,
} from "./tunnel.js";

export interface NewAgent {
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

export interface Invitation {
  name: string;
  /** Rules as in `consume`: what the device may reach; absent or empty: everything, or what a policy says. */
  allow?: string[];
  /** Whose it is and what that user belongs to, for the policy. */
  user?: string;
  groups?: string[];
}

/** A new agent with its keys. Throws CzctlError (user) on what cannot be. */
export function newAgent(options: NewAgent): AgentConfig {
  const { endpoint, teamspace = "teamspace", zone = "cluster.local" } = options;
  const outside = parseHostPort(endpoint);
  if (outside === null) {
    throw wrong(
      "ENDPOINT_INVALID",
      `"${endpoint}" is not HOST:PORT`,
      "Write agent.example.com:51820, or [IPV6]:PORT.",
    );
  }
  if (!isPlainName(teamspace)) throw badName("teamspace", teamspace);
  if (!isDnsName(zone)) {
    throw wrong("ZONE_INVALID", `"${zone}" is not a domain`, "Usually it is cluster.local.");
  }
  const listenPort = options.listen ?? outside.port;
  if (!isPort(listenPort)) throw wrong("PORT_INVALID", `${listenPort} is not a port`, "Give 1 to 65535.");
  return {
    version: 1,
    teamspace,
    zone,
    endpoint,
    listenPort,
    ...generateKeyPair(),
    tunnel4: String(parseTunnel4(options.tunnelRange ?? DEFAULT_TUNNEL4)),
    tunnel6: String(randomUlaPrefix()),
  };
}

/** Throws CzctlError (user) when it cannot be granted, before anything is read or written. */
export function checkInvitation({ name, allow, user, groups = [] }: Invitation): void {
  if (!isPlainName(name)) throw badName("device", name);
  if (user !== undefined && !isPlainName(user)) throw badName("user", user);
  for (const group of groups) if (!isPlainName(group)) throw badName("group", group);
  if (allow?.length) parseGrant(allow);
}

export interface InvitedDevice {
  peers: PeerRecord[];
  /** The credential file's text; its private key is kept nowhere else. */
  credential: string;
  addresses: [string, string];
}

/** The devices with one more. Throws CzctlError (user) when there is one of that name. */
export function inviteDevice(
  config: AgentConfig,
  peers: readonly PeerRecord[],
  { name, allow = [], user, groups }: Invitation,
): InvitedDevice {
  if (peers.some(peer => peer.name.toLowerCase() === name.toLowerCase())) {
    throw wrong(
      "DEVICE_EXISTS",
      `there is a device ${name} already`,
      "Choose another name, or revoke that one first.",
    );
  }
  const tunnel = tunnelPrefixes(config);
  const keys = generateKeyPair();
  const presharedKey = generatePresharedKey();
  const addresses = nextAddresses(tunnel, peers).map(String) as [string, string];
  const record: PeerRecord = {
    name,
    publicKey: keys.publicKey,
    presharedKey,
    addresses,
    allow: allow.length === 0 ? [] : parseGrant(allow).map(formatRule),
    ...(user === undefined ? {} : { user }),
    ...(groups === undefined || groups.length === 0 ? {} : { groups }),
    invitedAt: new Date().toISOString(),
  };
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
  return { peers: [...peers, record], credential, addresses };
}

/** The devices without this one. Throws CzctlError (user) when there is none of that name. */
export function withoutDevice(peers: readonly PeerRecord[], name: string): PeerRecord[] {
  const kept = peers.filter(peer => peer.name !== name);
  if (kept.length < peers.length) return kept;
  throw wrong("DEVICE_NOT_FOUND", `there is no device ${name}`, "See: czctl agent peers");
}

export function badName(what: string, name: string): CzctlError {
  const hint = "Use letters, digits, '.', '_' and '-', at most 63 of them, the first a letter or digit.";
  return wrong("NAME_INVALID", `${JSON.stringify(name)} cannot be the name of a ${what}`, hint);
}

function wrong(code: string, message: string, hint: string): CzctlError {
  return new CzctlError(message, { code, category: "user", hint });
}
