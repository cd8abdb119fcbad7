/**
 * Where one daemon keeps its things, as every process of the laptop side finds it: command line flags become
 * these environment variables, and children inherit them. Several daemons may live on one machine (in
 * different network namespaces) with different settings.
 */
import { LOG_LEVELS, type LogLevel } from "../base/index.js";
import { isPort } from "../catalog/index.js";

export interface Settings {
  /** `CZCTL_STATE_DIR`: state file (holds keys), locks, log. Mode 0700. */
  stateDir: string;
  /** `CZCTL_SOCKET`: the daemon's API. */
  socketPath: string;
  /** `CZCTL_HOSTS_FILE` */
  hostsFile: string;
  /** `CZCTL_SERVICE_RANGE`: `ADDRESS/BITS`; absent: the first free one of the usual ones. */
  serviceRange?: string;
  /** `CZCTL_LOG_LEVEL`, or `CZCTL_DEBUG=1` for "debug": the least that is logged. */
  logLevel: LogLevel;
  /** `CZCTL_LOG_FORMAT` */
  logFormat: "text" | "json";
  /** `CZCTL_METRICS_PORT`: TCP port of /metrics on loopback; absent: none. */
  metricsPort?: number;
}

export type Environment = Readonly<Record<string, string | undefined>>;

export function readSettings(env: Environment): Settings {
  const range = env.CZCTL_SERVICE_RANGE;
  const debug = env.CZCTL_DEBUG === "1";
  const port = Number(env.CZCTL_METRICS_PORT);
  return {
    stateDir: env.CZCTL_STATE_DIR || "/var/lib/czctl",
    socketPath: env.CZCTL_SOCKET || "/run/czctl.sock",
    hostsFile: env.CZCTL_HOSTS_FILE || "/etc/hosts",
    logLevel: LOG_LEVELS.find(level => level === env.CZCTL_LOG_LEVEL) ?? (debug ? "debug" : "info"),
    logFormat: env.CZCTL_LOG_FORMAT === "json" ? "json" : "text",
    ...(range ? { serviceRange: range } : {}),
    ...(isPort(port) ? { metricsPort: port } : {}),
  };
}

/** The variables that make `readSettings` give the same settings again. */
function writeSettings(settings: Settings): Record<string, string> {
  return {
    CZCTL_STATE_DIR: settings.stateDir,
    CZCTL_SOCKET: settings.socketPath,
    CZCTL_HOSTS_FILE: settings.hostsFile,
    CZCTL_SERVICE_RANGE: settings.serviceRange ?? "",
    CZCTL_LOG_LEVEL: settings.logLevel,
    CZCTL_LOG_FORMAT: settings.logFormat,
    CZCTL_METRICS_PORT: settings.metricsPort === undefined ? "" : String(settings.metricsPort),
  };
}

/**
 * What supervisor, daemon and data plane of a laptop are started with. They never speak TLS, and for
 * `NODE_EXTRA_CA_CERTS`, which machines behind an inspecting proxy have, Node reads every certificate as it starts:
 * 40 ms for each of three processes in a row.
 */
export function childEnvironment(env: Environment, settings: Settings): Record<string, string | undefined> {
  return { ...env, ...writeSettings(settings), NODE_EXTRA_CA_CERTS: undefined };
}

export const STATE_FILE = "state.json";
export const LOCK_FILE = "daemon.lock";
export const LOG_FILE = "daemon.log";
/** The data plane's end of the agent's control API, see `dataplane.ts`. */
export const CONTROL_SOCKET = "control.sock";
