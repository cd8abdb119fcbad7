/** Starts the daemon's process. Loads little: the supervisor does it before anything else. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Environment variable that tells the daemon whether its descriptor 3 leads to a waiting `czctl up`. */
export const UP_PIPE = "CZCTL_UP_PIPE";

export interface DaemonSpawn {
  /** Environment of the daemon: `childEnvironment`. */
  env: NodeJS.ProcessEnv;
  /** The state directory's lock, which the daemon shares. */
  lockFd: number;
  /** Script to run instead of the daemon (tests). */
  entry?: string;
}

/** @param upPipeFd pipe to the waiting `czctl up`; closed here, so that the daemon's death closes it for `czctl up`, too */
export function spawnDaemon({ env, lockFd, entry }: DaemonSpawn, upPipeFd?: number): ChildProcess {
  const script = entry ?? fileURLToPath(new URL("../daemon/main.js", import.meta.url));
  const child = spawn(process.execPath, [...process.execArgv, script], {
    stdio: ["pipe", "inherit", "inherit", upPipeFd ?? "ignore", lockFd],
    env: { ...env, [UP_PIPE]: upPipeFd === undefined ? "" : "1" },
    cwd: "/",
    detached: true,
  });
  if (upPipeFd !== undefined) closeSync(upPipeFd);
  // `supervise` reports it, also when it comes later.
  child.on("error", () => {});
  return child;
}
