/**
 * The process that outlives the daemon: starts it, starts it again when it dies, and in between removes what
 * a dead daemon cannot remove itself (its data plane, the hosts section; the TUN device goes with its last
 * descriptor). Runs detached below `czctl up`, or inside `czctl up --foreground`.
 *
 * The daemon leads a process group of its own, so one signal reaches it and its data plane. It watches its
 * standard input, a pipe that this process holds: when this process dies, the daemon shuts down.
 */
import type { ChildProcess } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { EXIT_CODES, type Logger } from "../base/index.js";
import { type DaemonSpawn, spawnDaemon } from "./daemon-process.js";

/** Exit code of a daemon that was told to stop and could not undo everything. */
export const EXIT_LEFTOVER = 5;

/** A daemon that lived this long was no instant failure. */
const SETTLED_MS = 10_000;
const BACKOFF_MS = [0, 100, 300, 1_000, 3_000];
const STOP_TIMEOUT_MS = 5_000;
/** 10 ms apart. Not for ever: a zombie that nobody reaps takes signals, too. */
const KILL_ATTEMPTS = 20;

export interface SupervisorOptions extends DaemonSpawn {
  /** The first daemon, where it was started before this code was loaded. */
  first?: ChildProcess;
  /** Ends the daemon, then `supervise`. */
  signal: AbortSignal;
  log: Logger;
  /** Removes what a dead daemon left. */
  cleanUp(): Promise<void>;
}

interface DaemonExit {
  code: number | null;
  signal: string | null;
  livedMs: number;
}

/** Resolves to the exit code that this process should have. */
export async function supervise(options: SupervisorOptions): Promise<number> {
  let started = options.first;
  for (let failures = 0; ; ) {
    const exit = await watch(started ?? spawnDaemon(options), options);
    started = undefined;
    if (exit.code === 0) return 0;
    const clean = await options.cleanUp().then(
      () => true,
      error => void options.log.error("clean-up failed", { error }),
    );
    if (options.signal.aborted || exit.code === EXIT_LEFTOVER) return clean ? 0 : EXIT_CODES.environment;
    const how = exit.signal ?? `exit code ${exit.code}`;
    if (exit.code === EXIT_CODES.user || exit.code === EXIT_CODES.config) {
      options.log.error("the daemon cannot run as it is configured", { how });
      return exit.code;
    }
    failures = exit.livedMs >= SETTLED_MS ? 1 : failures + 1;
    const delayMs = BACKOFF_MS[failures - 1];
    if (delayMs === undefined) {
      options.log.error("the daemon failed too often in a row; giving up", { failures, how });
      return EXIT_CODES.internal;
    }
    options.log.warn("the daemon died; starting it again", { how, delayMs });
    await sleep(delayMs, undefined, { signal: options.signal }).catch(() => {});
    if (options.signal.aborted) return 0;
  }
}

/** Until its end, and that of what it leaves of its process group. */
async function watch(child: ChildProcess, { signal: abort, log }: SupervisorOptions): Promise<DaemonExit> {
  const startedAt = performance.now();
  const stop = (): void => stopDaemon(child);
  abort.addEventListener("abort", stop, { once: true });
  if (abort.aborted) stop();
  const { code, signal } = await ended(child, log);
  abort.removeEventListener("abort", stop);
  if (child.pid !== undefined) await killGroup(child.pid);
  return { code, signal, livedMs: performance.now() - startedAt };
}

async function ended(child: ChildProcess, log: Logger): Promise<Omit<DaemonExit, "livedMs">> {
  if (child.exitCode === null && child.signalCode === null) {
    const error = await new Promise<Error | null>(resolve => {
      child.once("exit", () => resolve(null)).once("error", resolve);
    });
    if (error !== null) log.error("cannot start the daemon", { error });
  }
  return { code: child.exitCode, signal: child.signalCode };
}

function stopDaemon(child: ChildProcess): void {
  child.kill("SIGTERM");
  setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS).unref();
}

/** Kills what is left of the daemon's process group, its data plane, and waits a moment for its end. */
async function killGroup(pid: number): Promise<void> {
  for (let attempt = 0; attempt < KILL_ATTEMPTS; attempt++) {
    try {
      process.kill(-pid, "SIGKILL");
    } catch {
      return;
    }
    await sleep(10);
  }
}
