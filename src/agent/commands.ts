/**
 * What `czctl agent …` does, as plain functions: the CLI parses words into these options and prints what
 * comes back. Every failure is a CzctlError.
 */
import { CzctlError, type Logger } from "../base/index.js";

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
  /** Ends the run; the promise then resolves. */
  signal: AbortSignal;
  log: Logger;
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
  live?: { endpoint?: string; lastHandshakeAt: number; rxBytes: number; txBytes: number; rttMs?: number };
}

export async function agentInit(_options: AgentInitOptions): Promise<AgentInitResult> {
  throw todo();
}

/** Runs until `signal` aborts, or throws when it cannot start. */
export async function agentRun(_options: AgentRunOptions): Promise<void> {
  throw todo();
}

export async function agentInvite(_options: AgentInviteOptions): Promise<AgentInviteResult> {
  throw todo();
}

export async function agentRevoke(_options: { dir: string; name: string }): Promise<AgentRevokeResult> {
  throw todo();
}

export async function agentPeers(_options: { dir: string }): Promise<AgentPeerRow[]> {
  throw todo();
}

function todo(): CzctlError {
  return new CzctlError("not implemented yet", { code: "NOT_IMPLEMENTED", category: "internal" });
}
