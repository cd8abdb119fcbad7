/**
 * The agent's directory (0700):
 *
 *     agent.json   keys, endpoint, inner prefixes; written once by `agent init`          0600
 *     peers.json   devices: public key, preshared key, inner addresses, rules            0600
 *     endpoints.json  where each device was last heard from                              0600
 *     policy.yaml  who may consume what, when there is one (policy-file.ts)
 *     peers.lock   held by whoever changes peers.json                                    0600
 *     agent.lock   held by `agent run`; says where its sockets are                       0600
 *
 * Files are replaced by rename, so a reader sees the old one or the new one. A file that cannot be read is
 * an error that names the place, and is never overwritten. A device's private key is in none of them.
 */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, link, mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { Address, CzctlError, Prefix } from "../base/index.js";
import { isKey } from "./keys.js";

const key = z.string().refine(isKey, "not a base64 key of 32 bytes");
const address = z.string().refine(text => Address.parse(text) !== null, "not an IP address");
const prefix = z.string().refine(text => Prefix.parse(text) !== null, "not an IP prefix");

export interface AgentConfig {
  version: 1;
  teamspace: string;
  /** Cluster domain. */
  zone: string;
  /** `HOST:PORT` as devices reach the agent. */
  endpoint: string;
  listenPort: number;
  privateKey: string;
  publicKey: string;
  /** Inner prefixes; the agent has the first address of each. */
  tunnel4: string;
  tunnel6: string;
}

export interface PeerRecord {
  name: string;
  publicKey: string;
  presharedKey: string;
  /** IPv4, then IPv6. */
  addresses: [string, string];
  /** Rules; empty: everything. */
  allow: string[];
  /** Whose it is, and what that user belongs to: names for the policy. */
  user?: string | undefined;
  groups?: string[] | undefined;
  /** ISO 8601. */
  invitedAt: string;
}

const agentSchema: z.ZodType<AgentConfig> = z.object({
  version: z.literal(1),
  teamspace: z.string().min(1),
  zone: z.string().min(1),
  endpoint: z.string().min(1),
  listenPort: z.number().int().min(0).max(65535),
  privateKey: key,
  publicKey: key,
  tunnel4: prefix,
  tunnel6: prefix,
});

const peersSchema: z.ZodType<{ version: 1; peers: PeerRecord[] }> = z.object({
  version: z.literal(1),
  peers: z.array(
    z.object({
      name: z.string().min(1),
      publicKey: key,
      presharedKey: key,
      addresses: z.tuple([address, address]),
      allow: z.array(z.string()),
      user: z.string().optional(),
      groups: z.array(z.string()).optional(),
      invitedAt: z.string(),
    }),
  ),
});

export function peersPath(dir: string): string {
  return join(dir, "peers.json");
}

function agentPath(dir: string): string {
  return join(dir, "agent.json");
}

/** Makes DIR with both files; refuses a directory that already holds an agent. */
export async function createAgentState(dir: string, config: AgentConfig): Promise<void> {
  try {
    await makePrivate(dir);
    if (existsSync(agentPath(dir))) throw alreadyThere(dir);
    // Devices of an agent whose agent.json was lost: not ours to forget.
    if (!existsSync(peersPath(dir))) await writePeers(dir, []);
    else if ((await readPeers(dir)).length > 0) throw alreadyThere(dir);
    // Last, complete, and by link(2), which replaces nothing: it decides between two at the same time.
    const temporary = await writeTemporary(agentPath(dir), config);
    await link(temporary, agentPath(dir)).finally(() => rm(temporary));
  } catch (cause) {
    throw asStateError(dir, cause);
  }
}

/** An empty directory is taken to be made for this; one that others use is not closed to them. */
async function makePrivate(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  if (((await stat(dir)).mode & 0o077) === 0) return;
  if ((await readdir(dir)).length > 0) throw tooOpen(dir, dir);
  await chmod(dir, 0o700);
}

export async function readAgentConfig(dir: string): Promise<AgentConfig> {
  return readJson(dir, agentPath(dir), agentSchema);
}

export async function readPeers(dir: string): Promise<PeerRecord[]> {
  return (await readJson(dir, peersPath(dir), peersSchema)).peers;
}

/** agent.json's text. @param where for the message, when it is none */
export function parseAgentConfig(text: string, where: string): AgentConfig {
  return parseJson(text, `${where}: agent.json`, agentSchema);
}

/** peers.json's text. */
export function parsePeers(text: string, where: string): PeerRecord[] {
  return parseJson(text, `${where}: peers.json`, peersSchema).peers;
}

/** The caller holds the lock. */
export async function writePeers(dir: string, peers: readonly PeerRecord[]): Promise<void> {
  try {
    await replaceFile(peersPath(dir), { version: 1, peers });
  } catch (cause) {
    throw asStateError(dir, cause);
  }
}

/** Puts `data` in the place of `path`, as JSON, at once or not at all. */
export async function replaceFile(path: string, data: unknown): Promise<void> {
  await rename(await writeTemporary(path, data), path);
}

/** The path of a complete file beside `path`, on disk, that may take its place. */
async function writeTemporary(path: string, data: unknown): Promise<string> {
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString("hex")}`;
  const file = await open(temporary, "wx", 0o600);
  try {
    await file.writeFile(`${JSON.stringify(data, null, 2)}\n`);
    await file.sync();
    return temporary;
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

/** Keys lie here: nobody else may read them. To mend it silently would hide that somebody could. */
export async function checkPermissions(dir: string): Promise<void> {
  for (const path of [dir, agentPath(dir), peersPath(dir)]) {
    const { mode } = await stat(path).catch(cause => Promise.reject(asStateError(dir, cause)));
    if ((mode & 0o077) !== 0) throw tooOpen(dir, path);
  }
}

async function readJson<T>(dir: string, path: string, schema: z.ZodType<T>): Promise<T> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw asStateError(dir, cause);
  }
  return parseJson(text, path, schema);
}

function parseJson<T>(text: string, path: string, schema: z.ZodType<T>): T {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    // V8's message quotes the text around the error, which may be a key.
    throw corrupt(path, "not valid JSON");
  }
  const result = schema.safeParse(data);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw corrupt(path, `${issue?.path.join(".") || "file"}: ${issue?.message}`);
}

function corrupt(path: string, why: string): CzctlError {
  return new CzctlError(`${path} is damaged: ${why}`, {
    code: "AGENT_STATE_CORRUPT",
    category: "config",
    hint: "Restore the file from a backup; it was left as it is.",
  });
}

function tooOpen(dir: string, path: string): CzctlError {
  return new CzctlError(`${path} is open to other users`, {
    code: "AGENT_STATE_PERMISSIONS",
    category: "config",
    hint: `Choose a directory of its own, or run: chmod -R go= ${dir}`,
  });
}

function alreadyThere(dir: string, cause?: unknown): CzctlError {
  return new CzctlError(`${dir} already holds an agent`, {
    code: "AGENT_EXISTS",
    category: "user",
    hint: "Choose another --dir, or remove this one if its devices may be forgotten.",
    cause,
  });
}

/** File-system errors in the user's words. */
function asStateError(dir: string, cause: unknown): CzctlError {
  if (cause instanceof CzctlError) return cause;
  const { code, path, message } = cause as NodeJS.ErrnoException;
  if (code === "EEXIST") return alreadyThere(dir, cause);
  if (code === "ENOENT" || code === "ENOTDIR") {
    return new CzctlError(`${dir} holds no agent (${path ?? message} is missing)`, {
      code: "AGENT_NOT_FOUND",
      category: "user",
      hint: `Run: czctl agent init --dir ${dir} --endpoint HOST:PORT`,
      cause,
    });
  }
  if (code === "EACCES" || code === "EPERM" || code === "EROFS") {
    return new CzctlError(`no permission for ${path ?? dir}`, {
      code: "AGENT_STATE_DENIED",
      category: "environment",
      hint: "Run as the user that owns the directory.",
      cause,
    });
  }
  return new CzctlError(`cannot use ${path ?? dir}: ${message}`, {
    code: "AGENT_STATE_IO",
    category: "environment",
    cause,
  });
}
