/**
 * Where one daemon keeps its things, as every process of the laptop side finds it: command line flags become
 * these environment variables, and children inherit them. Several daemons may live on one machine (in
 * different network namespaces) with different settings.
 */
import { CzctlError, LOG_LEVELS, type LogLevel } from "../base/index.js";
import { isPort } from "../catalog/index.js";

export const LOG_FORMATS = ["text", "json"] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

export const OFFLOADS = ["gso", "gro", "tso"] as const;
export type Offload = (typeof OFFLOADS)[number];
export const CONGESTION_CONTROLS = ["bbr", "cubic"] as const;
export type CongestionControl = (typeof CONGESTION_CONTROLS)[number];

/** Switches for lines and kernels that do not bear what is best elsewhere; daemon and agent have the same. */
export interface Tuning {
  /** `CZCTL_DISABLE_OFFLOADS=gso,gro,tso` or some of them. */
  disableOffloads: readonly Offload[];
  /** `CZCTL_CONGESTION=cubic`: fairer to others behind a short queue, slow on lines that lose (docs/decisions/0011). */
  congestion: CongestionControl;
}

export const DEFAULT_TUNING: Tuning = { disableOffloads: [], congestion: "bbr" };

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
  logFormat: LogFormat;
  /** `CZCTL_METRICS_PORT`: TCP port of /metrics on loopback; absent: none. */
  metricsPort?: number;
  tuning: Tuning;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** Empty variables count as absent. Throws CzctlError (user) on a value that is none. */
export function readSettings(env: Environment): Settings {
  const range = env.CZCTL_SERVICE_RANGE;
  const debug = oneOf(env, "CZCTL_DEBUG", ["0", "1"]) === "1";
  const port = Number(env.CZCTL_METRICS_PORT);
  if (env.CZCTL_METRICS_PORT && !isPort(port)) throw unfit(env, "CZCTL_METRICS_PORT", "a port (1 to 65535)");
  return {
    stateDir: env.CZCTL_STATE_DIR || "/var/lib/czctl",
    socketPath: env.CZCTL_SOCKET || "/run/czctl.sock",
    hostsFile: env.CZCTL_HOSTS_FILE || "/etc/hosts",
    logLevel: oneOf(env, "CZCTL_LOG_LEVEL", LOG_LEVELS) ?? (debug ? "debug" : "info"),
    logFormat: oneOf(env, "CZCTL_LOG_FORMAT", LOG_FORMATS) ?? "text",
    tuning: {
      disableOffloads: listOf(env, "CZCTL_DISABLE_OFFLOADS", OFFLOADS),
      congestion: oneOf(env, "CZCTL_CONGESTION", CONGESTION_CONTROLS) ?? DEFAULT_TUNING.congestion,
    },
    ...(range ? { serviceRange: range } : {}),
    ...(isPort(port) ? { metricsPort: port } : {}),
  };
}

function oneOf<T extends string>(env: Environment, name: string, values: readonly T[]): T | undefined {
  const given = env[name] || undefined;
  const value = values.find(each => each === given);
  if (value === undefined && given !== undefined) throw unfit(env, name, `one of ${values.join(", ")}`);
  return value;
}

/** Separated by commas. */
function listOf<T extends string>(env: Environment, name: string, values: readonly T[]): T[] {
  const given = (env[name] || undefined)?.split(",") ?? [];
  if (given.every(each => values.includes(each as T))) return given as T[];
  throw unfit(env, name, `a list of ${values.join(", ")}`);
}

function unfit(env: Environment, name: string, allowed: string): CzctlError {
  return new CzctlError(`${name}=${env[name]} in the environment is not ${allowed}`, {
    code: "ENVIRONMENT_INVALID",
    category: "user",
    hint: `Set it to one, or unset it (unset ${name}).`,
  });
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
    CZCTL_DISABLE_OFFLOADS: settings.tuning.disableOffloads.join(","),
    CZCTL_CONGESTION: settings.tuning.congestion,
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
