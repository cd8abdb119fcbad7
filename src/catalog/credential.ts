/**
 * The credential file: everything that one device needs to join one teamspace, and nothing else. `agent
 * invite` prints it, `space add` reads it. It holds two secrets, so no message made here ever quotes it.
 */
import * as z from "zod";
import { Address, CzctlError, fromBase64 } from "../base/index.js";
import { isDnsName, isPort } from "./labels.js";

export interface Credential {
  version: 1;
  kind: "czctl-credential";
  teamspace: string;
  device: string;
  /** WireGuard keys: base64 of 32 bytes. */
  privateKey: string;
  presharedKey: string;
  /** The device's own addresses in the tunnel: IPv4, IPv6. */
  innerAddresses: [string, string];
  agent: {
    publicKey: string;
    /** `HOST:PORT`; the host is a name, an IPv4 address, or an IPv6 address in brackets. */
    endpoint: string;
    innerAddresses: [string, string];
  };
  /** Cluster domain: `cluster.local`. */
  zone: string;
  /** Inner MTU in bytes. */
  mtu: number;
}

export interface HostPort {
  /** A host name, or an address without brackets. */
  readonly host: string;
  readonly port: number;
}

/** `HOST:PORT` as in `agent.endpoint`; null when `text` is not that. */
export function parseHostPort(text: string): HostPort | null {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  if (match === null || !isPort(Number(match[3]))) return null;
  const port = Number(match[3]);
  const [, bracketed, plain] = match;
  if (bracketed !== undefined)
    return Address.parse(bracketed)?.family === 6 ? { host: bracketed, port } : null;
  const host = plain as string;
  if (/^[\d.]+$/.test(host)) return Address.parse(host) === null ? null : { host, port };
  return isDnsName(host.toLowerCase()) ? { host, port } : null;
}

/** Names of teamspaces and devices: they become file names and table cells. */
export function isPlainName(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(text);
}

const isKey = (text: string): boolean => fromBase64(text)?.length === 32;
const isFamily = (family: 4 | 6) => (text: string) => Address.parse(text)?.family === family;

const name = z.string().refine(isPlainName, "must be a name of letters, digits, '.', '_' and '-'");
const key = z.string().refine(isKey, "must be a WireGuard key (base64 of 32 bytes)");
const inner = z.tuple(
  [
    z.string().refine(isFamily(4), "must be an IPv4 address"),
    z.string().refine(isFamily(6), "must be an IPv6 address"),
  ],
  "must be one IPv4 and one IPv6 address",
);

const schema = z.object({
  version: z.literal(1),
  kind: z.literal("czctl-credential"),
  teamspace: name,
  device: name,
  privateKey: key,
  presharedKey: key,
  innerAddresses: inner,
  agent: z.object({
    publicKey: key,
    endpoint: z.string().refine(text => parseHostPort(text) !== null, "must be HOST:PORT, or [IPV6]:PORT"),
    innerAddresses: inner,
  }),
  zone: z.string().refine(isDnsName, "must be a domain in lower case, such as cluster.local"),
  mtu: z.int("must be a whole number").min(1280, "must be at least 1280").max(65535, "must be at most 65535"),
});

const ASK_AGAIN = "ask whoever runs the teamspace for a new one (czctl agent invite NAME)";

function invalid(what: string, hint: string = ASK_AGAIN): CzctlError {
  // No cause: what JSON and zod say may quote the input.
  return new CzctlError(`the credential cannot be used: ${what}`, {
    code: "CREDENTIAL_INVALID",
    category: "config",
    hint,
  });
}

/** Throws CzctlError (config) that names the field. Unknown fields are ignored. */
export function parseCredential(text: string): Credential {
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch {
    throw invalid(text.trim() === "" ? "it is empty" : "it is not JSON (cut off while copying?)");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw invalid("it is not a JSON object");
  const { kind, version } = value as { kind?: unknown; version?: unknown };
  if (kind !== "czctl-credential") {
    throw invalid(
      'the field "kind" is not "czctl-credential"',
      "give the file that czctl agent invite printed",
    );
  }
  if (typeof version === "number" && version > 1) {
    throw invalid('the field "version" is from a newer czctl', "install a newer czctl");
  }
  // One in a process, most often: to have zod make code for it takes longer than that saves.
  const parsed = schema.safeParse(value, { jitless: true });
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw invalid(`the field "${fieldName(issue?.path ?? [])}" ${explain(issue, value)}`);
}

function fieldName(path: readonly PropertyKey[]): string {
  return path
    .map((part, i) => (typeof part === "number" ? `[${part}]` : `${i > 0 ? "." : ""}${String(part)}`))
    .join("");
}

function explain(issue: z.core.$ZodIssue | undefined, value: unknown): string {
  if (issue === undefined) return "is wrong";
  let found = value;
  for (const part of issue.path) found = (found as Record<PropertyKey, unknown> | undefined)?.[part];
  if (found === undefined) return "is missing";
  if (issue.code === "invalid_type" && !issue.message.startsWith("must"))
    return `must be of type ${issue.expected}`;
  return issue.message.startsWith("must") ? issue.message : "has a wrong value";
}

/** The file's text, in a fixed order of fields. */
export function formatCredential(credential: Credential): string {
  const { version, kind, teamspace, device, privateKey, presharedKey, innerAddresses, agent, zone, mtu } =
    credential;
  const ordered: Credential = {
    version,
    kind,
    teamspace,
    device,
    privateKey,
    presharedKey,
    innerAddresses,
    agent: { publicKey: agent.publicKey, endpoint: agent.endpoint, innerAddresses: agent.innerAddresses },
    zone,
    mtu,
  };
  return `${JSON.stringify(ordered, null, 2)}\n`;
}
