/**
 * What a bug report needs, as files: gathered from this machine, redacted as a whole (`redaction.ts`). Of the hosts
 * file only our own section; of the state nothing at all.
 */
import { closeSync, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { hostname, release, totalmem, userInfo } from "node:os";
import { join } from "node:path";
import { type DaemonStatus, LOG_FILE, type Problem, packageVersion, type Settings } from "../api/index.js";
import { splitHosts } from "../dns/index.js";
import { listAddresses, listLinks, listRoutes, listRules } from "../linux/index.js";
import { diagnose } from "./doctor.js";
import { gatherFacts } from "./doctor-facts.js";
import { type KnownSecret, Redactor } from "./redaction.js";
import { loadState } from "./state.js";
import type { TarFile } from "./tar.js";

const LOG_BYTES = 512 * 1024;
/** Everybody's. */
const NO_SECRETS: readonly string[] = ["root", "localhost", "localdomain", "nobody"];

export interface Diagnostics {
  files: TarFile[];
  /** How many different things of each kind have a stand-in. */
  redacted: Record<string, number>;
}

/** @param daemon as for `gatherFacts` */
export async function gatherDiagnostics(
  settings: Settings,
  daemon: DaemonStatus | Problem | null,
): Promise<Diagnostics> {
  const facts = await gatherFacts(settings, daemon);
  const files: [name: string, content: () => string][] = [
    ["about.json", () => json(about())],
    ["doctor.json", () => json(diagnose(facts))],
    ["status.json", () => json(daemon)],
    ["settings.json", () => json(settings)],
    ["network.json", () => json(network())],
    ["resolver.json", () => json(facts.resolver)],
    ["hosts-section.txt", () => splitHosts(readFileSync(settings.hostsFile)).section.toString("latin1")],
    ["daemon.log", () => logTail(join(settings.stateDir, LOG_FILE))],
  ];
  const redactor = new Redactor(knownSecrets(settings, daemon, facts.resolver.resolvConf ?? ""));
  const redacted = files.map(([name, content]) => ({ name, content: redactor.redact(orReason(content)) }));
  return { files: redacted, redacted: redactor.found };
}

/** A part that cannot be had is itself worth reporting. */
function orReason(content: () => string): string {
  try {
    return content();
  } catch (error) {
    return `cannot be read: ${(error as Error).message}\n`;
  }
}

function about(): object {
  const osRelease = orReason(() => readFileSync("/etc/os-release", "utf8"));
  return {
    czctl: packageVersion(),
    node: process.version,
    openssl: process.versions.openssl,
    kernel: release(),
    architecture: process.arch,
    system: /^PRETTY_NAME="?([^"\n]*)/m.exec(osRelease)?.[1] ?? null,
    memoryMiB: Math.round(totalmem() / 2 ** 20),
    user: process.geteuid?.() === 0 ? "root" : "an ordinary user",
  };
}

function network(): object {
  const plain = <T extends object>(rows: readonly T[]): object[] =>
    rows.map(row => Object.fromEntries(Object.entries(row).map(([key, value]) => [key, textOf(value)])));
  return {
    links: plain(listLinks()),
    addresses: plain(listAddresses()),
    routes: plain(listRoutes()),
    rules: plain(listRules()),
  };
}

/** Addresses and networks as people write them. */
function textOf(value: unknown): unknown {
  return typeof value === "object" && value !== null ? String(value) : value;
}

function logTail(path: string): string {
  const fd = openSync(path, "r");
  try {
    const { size } = fstatSync(fd);
    const from = Math.max(0, size - LOG_BYTES);
    const bytes = Buffer.alloc(size - from);
    const text = bytes.toString("utf8", 0, readSync(fd, bytes, 0, bytes.length, from));
    return from === 0 ? text : text.slice(text.indexOf("\n") + 1);
  } finally {
    closeSync(fd);
  }
}

function knownSecrets(
  settings: Settings,
  daemon: DaemonStatus | Problem | null,
  resolvConf: string,
): KnownSecret[] {
  const known: KnownSecret[] = [{ kind: "host", text: hostname() }];
  const user = (text: string | undefined): void => void (text && known.push({ kind: "user", text }));
  user(orReason(() => userInfo().username));
  user(process.env.SUDO_USER);
  user(process.env.LOGNAME);
  for (const match of resolvConf.matchAll(/^\s*(?:search|domain)\s+(.*)$/gm))
    for (const text of (match[1] as string).split(/\s+/)) known.push({ kind: "domain", text });
  const endpoint = (text: string): void =>
    void known.push({ kind: "endpoint", text: text.replace(/:\d+$/, "").replace(/^\[|\]$/g, "") });
  if (daemon !== null && "endpoint" in daemon) endpoint(daemon.endpoint);
  try {
    for (const { credential } of loadState(settings.stateDir).spaces) {
      endpoint(credential.agent.endpoint);
      known.push({ kind: "key", text: credential.privateKey });
      if (credential.presharedKey !== undefined) known.push({ kind: "key", text: credential.presharedKey });
    }
  } catch {
    // Unreadable for this user, or damaged: the doctor says which.
  }
  return known.filter(({ text }) => !NO_SECRETS.includes(text.toLowerCase()));
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
