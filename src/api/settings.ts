/**
 * Where one daemon keeps its things, as every process of the laptop side finds it: command line flags become
 * these environment variables, and children inherit them. Several daemons may live on one machine (in
 * different network namespaces) with different settings.
 */
export interface Settings {
  /** `CZCTL_STATE_DIR`: state file (holds keys), locks, log. Mode 0700. */
  stateDir: string;
  /** `CZCTL_SOCKET`: the daemon's API. */
  socketPath: string;
  /** `CZCTL_HOSTS_FILE` */
  hostsFile: string;
  /** `CZCTL_SERVICE_RANGE`: `ADDRESS/BITS`; absent: the first free one of the usual ones. */
  serviceRange?: string;
  /** `CZCTL_DEBUG=1`: debug lines in the log. */
  debug: boolean;
}

export type Environment = Readonly<Record<string, string | undefined>>;

export function readSettings(env: Environment): Settings {
  const range = env.CZCTL_SERVICE_RANGE;
  return {
    stateDir: env.CZCTL_STATE_DIR || "/var/lib/czctl",
    socketPath: env.CZCTL_SOCKET || "/run/czctl.sock",
    hostsFile: env.CZCTL_HOSTS_FILE || "/etc/hosts",
    debug: env.CZCTL_DEBUG === "1",
    ...(range ? { serviceRange: range } : {}),
  };
}

/** The variables that make `readSettings` give the same settings again. */
export function writeSettings(settings: Settings): Record<string, string> {
  return {
    CZCTL_STATE_DIR: settings.stateDir,
    CZCTL_SOCKET: settings.socketPath,
    CZCTL_HOSTS_FILE: settings.hostsFile,
    CZCTL_SERVICE_RANGE: settings.serviceRange ?? "",
    CZCTL_DEBUG: settings.debug ? "1" : "",
  };
}

export const STATE_FILE = "state.json";
export const LOCK_FILE = "daemon.lock";
export const LOG_FILE = "daemon.log";
/** The data plane's end of the agent's control API, see `dataplane.ts`. */
export const CONTROL_SOCKET = "control.sock";
