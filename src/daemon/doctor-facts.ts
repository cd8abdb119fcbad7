/** Looks at this machine for `doctor.ts`: reads and asks, changes nothing. */
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
} from "node:fs";
import { join } from "node:path";
import { CONTROL_SOCKET, type DaemonStatus, type Problem, type Settings } from "../api/index.js";
import { CzctlError } from "../base/index.js";
import { NAME_SERVERS } from "../dns/index.js";
import { listLinks } from "../linux/index.js";
import type { Facts } from "./doctor.js";
import { findServiceRange } from "./service-range.js";
import { loadState, type State } from "./state.js";
import { probeTunnel } from "./tunnel-probe.js";
import { isListening } from "./unix-socket.js";

/**
 * @param daemon what the daemon answered to `status`, why not, or null when none runs
 * @param withThroughput measures that too, for three seconds
 */
export async function gatherFacts(
  settings: Settings,
  daemon: DaemonStatus | Problem | null,
  withThroughput: boolean = false,
): Promise<Facts> {
  const { hostsFile, stateDir, socketPath } = settings;
  const state = attempt(() => loadState(stateDir));
  const sockets = [socketPath, join(stateDir, CONTROL_SOCKET)].filter(path => existsSync(path));
  const stale: string[] = [];
  for (const path of daemon === null ? sockets : [])
    if (!(await isListening(path))) stale.push(`socket ${path}`);
  return {
    root: process.geteuid?.() === 0,
    tunError: failure(() => closeSync(openSync("/dev/net/tun", "r+"))),
    spaces: "code" in state ? state : state.spaces.length,
    daemon,
    rangeProblem: daemon === null ? await rangeProblem(settings, state) : null,
    devices: listLinks()
      .map(({ name }) => name)
      .filter(name => /^czctl\d+$/.test(name)),
    resolver: {
      resolvConf: readText("/etc/resolv.conf"),
      resolvConfTarget: linkTarget("/etc/resolv.conf"),
      nsswitch: readText("/etc/nsswitch.conf"),
      processes: nameServerProcesses(),
    },
    hosts: {
      path: hostsFile,
      text: readText(hostsFile),
      writeError: failure(() => accessSync(hostsFile, constants.W_OK)),
      backup: existsSync(join(stateDir, "hosts.backup")),
    },
    staleSockets: stale,
    probe: await probe(settings, daemon, withThroughput),
    now: Date.now(),
  };
}

async function probe(
  { stateDir }: Settings,
  daemon: DaemonStatus | Problem | null,
  withThroughput: boolean,
): Promise<Facts["probe"]> {
  const connected = daemon !== null && "pid" in daemon && daemon.link === "connected";
  // The state directory is root's.
  if (!connected || process.geteuid?.() !== 0) return null;
  return probeTunnel(join(stateDir, CONTROL_SOCKET), withThroughput);
}

async function rangeProblem(settings: Settings, state: State | Problem): Promise<Problem | null> {
  try {
    await findServiceRange(settings.serviceRange, "code" in state ? null : state.serviceRange);
    return null;
  } catch (error) {
    return asProblem(error);
  }
}

function attempt<T>(body: () => T): T | Problem {
  try {
    return body();
  } catch (error) {
    return asProblem(error);
  }
}

export function asProblem(error: unknown): Problem {
  if (!(error instanceof CzctlError)) throw error;
  const { code, message, hint } = error;
  return { code, message, ...(hint === undefined ? {} : { hint }) };
}

/** The errno's name, or null when it works. */
function failure(body: () => void): string | null {
  try {
    body();
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "unknown error";
  }
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return null;
  }
}

/** By the kernel's name for each process, which has 15 characters at most. */
function nameServerProcesses(): string[] {
  const pids = readdirSync("/proc").filter(name => /^\d+$/.test(name));
  const running = new Set(pids.map(pid => readText(`/proc/${pid}/comm`)?.trim()));
  return NAME_SERVERS.filter(name => running.has(name));
}

function linkTarget(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}
