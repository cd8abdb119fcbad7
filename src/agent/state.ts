/**
 * The agent's directory (0700):
 *
 *     agent.json   keys, endpoint, inner prefixes; written once by `agent init`          0600
 *     peers.json   devices: public key, preshared key, inner addresses, rules            0600
 *     peers.lock   held by whoever changes peers.json                                    0600
 *     agent.lock   held by `agent run`; says where its sockets are                       0600
 *
 * Files are replaced by rename, so a reader sees the old one or the new one. A file that cannot be read is
 * an error that names the place, and is never overwritten. A device's private key is in none of them.
 */
import { randomBytes } from "node:crypto";
import { chmod, mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
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
      invitedAt: z.string(),
    }),
  ),
});

export const PEERS_FILE = "peers.json";
const AGENT_FILE = "agent.json";

/** Makes DIR with both files; refuses a directory that already holds an agent. */
export async function createAgentState(dir: string, config: AgentConfig): Promise<void> {
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await chmod(dir, 0o700);
    // The exclusive creation is what decides between two `agent init` at the same time.
    const file = await open(join(dir, AGENT_FILE), "wx", 0o600);
    await file.writeFile(`${JSON.stringify(config, null, 2)}\n`);
    await file.sync();
    await file.close();
  } catch (cause) {
    throw asStateError(dir, cause);
  }
  await writePeers(dir, []);
}

export async function readAgentConfig(dir: string): Promise<AgentConfig> {
  return readJson(dir, AGENT_FILE, agentSchema);
}

export async function readPeers(dir: string): Promise<PeerRecord[]> {
  return (await readJson(dir, PEERS_FILE, peersSchema)).peers;
}

/** The caller holds the lock. */
export async function writePeers(dir: string, peers: readonly PeerRecord[]): Promise<void> {
  const path = join(dir, PEERS_FILE);
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString("hex")}`;
  try {
    const file = await open(temporary, "wx", 0o600);
    try {
      await file.writeFile(`${JSON.stringify({ version: 1, peers }, null, 1)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true });
    throw asStateError(dir, cause);
  }
}

/** Keys lie here: nobody else may read them. Mended in silence would hide that somebody could. */
export async function checkPermissions(dir: string): Promise<void> {
  for (const path of [dir, join(dir, AGENT_FILE), join(dir, PEERS_FILE)]) {
    const mode = (await stat(path)).mode & 0o077;
    if (mode === 0) continue;
    throw new CzctlError(`${path} is readable by other users`, {
      code: "AGENT_STATE_PERMISSIONS",
      category: "config",
      hint: `Run: chmod -R go= ${dir}`,
    });
  }
}

async function readJson<T>(dir: string, name: string, schema: z.ZodType<T>): Promise<T> {
  const path = join(dir, name);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw asStateError(dir, cause);
  }
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

/** File-system errors in the user's words. */
function asStateError(dir: string, cause: unknown): CzctlError {
  const { code, path, message } = cause as NodeJS.ErrnoException;
  if (code === "EEXIST") {
    return new CzctlError(`${dir} already holds an agent`, {
      code: "AGENT_EXISTS",
      category: "user",
      hint: "Choose another --dir, or remove this one if its devices may be forgotten.",
      cause,
    });
  }
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
