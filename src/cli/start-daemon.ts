/**
 * Starts the supervisor in a session of its own, tells it to go on, and waits until its daemon says that it is connected, or
 * why it is not. When it is not, nothing is left running.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, constants, copyFileSync, openSync, statSync, truncateSync } from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import {
  childEnvironment,
  LOG_FILE,
  PROCEED,
  type Settings,
  type UpEvent,
  type UpSummary,
} from "../api/index.js";
import { CzctlError } from "../base/index.js";
import { paint } from "./output.js";

const { O_APPEND, O_CREAT, O_NOFOLLOW, O_WRONLY } = constants;
const SUPERVISOR_ENTRY = fileURLToPath(new URL("../daemon/supervisor-main.js", import.meta.url));
/** A log that is larger becomes `daemon.log.1` at the next start. */
const LOG_ROTATE_BYTES = 4 * 1024 * 1024;

export class DetachedStart {
  readonly #child: ChildProcess;
  readonly #logFile: string;

  /** The supervisor, which waits for `proceed`. @param lockFd the state directory's lock, open */
  constructor(settings: Settings, lockFd: number) {
    this.#logFile = join(settings.stateDir, LOG_FILE);
    const logFd = openSync(this.#logFile, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600);
    this.#child = spawn(process.execPath, [...process.execArgv, SUPERVISOR_ENTRY], {
      stdio: ["ignore", logFd, logFd, "pipe", lockFd],
      env: childEnvironment(process.env, settings),
      cwd: "/",
      detached: true,
    });
    closeSync(logFd);
    // It ends without a word, and `proceed` says so.
    this.#child.on("error", () => {});
    this.#pipe.on("error", () => {});
  }

  /** The supervisor's; 0 when it could not be started. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get #pipe(): Socket {
    return this.#child.stdio[3] as Socket;
  }

  /** The lock is taken. Throws CzctlError: the daemon's own reason. */
  async proceed(): Promise<UpSummary> {
    const child = this.#child;
    rotate(this.#logFile);
    // Ctrl-C while it connects: the daemon, in its own session, would go on.
    const stop = (): void => void child.kill("SIGTERM");
    process.once("SIGINT", stop).once("SIGTERM", stop);
    try {
      this.#pipe.write(PROCEED);
      const last = await lastEvent(this.#pipe);
      // What the user waited for, the start of this process included.
      if (last?.type === "up") return { ...last.summary, tookMs: Math.round(performance.now()) };
      await gone(child);
      if (last?.type === "failed") throw new CzctlError(last.error.message, last.error);
      throw new CzctlError(child.killed ? "interrupted" : "the daemon died while it started", {
        code: child.killed ? "INTERRUPTED" : "DAEMON_DIED",
        category: child.killed ? "user" : "internal",
        hint: child.killed ? "Nothing is left running." : "See `sudo czctl logs`.",
      });
    } finally {
      process.off("SIGINT", stop).off("SIGTERM", stop);
    }
  }

  /** A supervisor that was not told to proceed ends; one that was goes on by itself. */
  end(): void {
    this.#child.unref();
    this.#pipe.destroy();
  }
}

/** The event that ends the start; undefined when the pipe ends without one. Shows progress on a terminal. */
async function lastEvent(pipe: Socket): Promise<Exclude<UpEvent, { type: "progress" }> | undefined> {
  const progress = new Progress();
  try {
    for await (const line of createInterface({ input: pipe })) {
      const event = JSON.parse(line) as UpEvent;
      if (event.type !== "progress") return event;
      progress.show(event.message);
    }
    return undefined;
  } finally {
    progress.clear();
  }
}

/** One line on standard error that is overwritten; nothing when that is no terminal. */
class Progress {
  #shown = false;

  show(message: string): void {
    if (process.stderr.isTTY !== true) return;
    process.stderr.write(`\r\x1b[K${paint("dim", `${message}…`, process.stderr)}`);
    this.#shown = true;
  }

  clear(): void {
    if (this.#shown) process.stderr.write("\r\x1b[K");
  }
}

function gone(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise(resolve => child.once("exit", () => resolve()));
}

/** By copying: the supervisor has the file open already. */
function rotate(path: string): void {
  if (statSync(path).size <= LOG_ROTATE_BYTES) return;
  try {
    copyFileSync(path, `${path}.1`);
  } catch {
    // The disk is full, most likely: no reason not to start, and one to have less.
  }
  truncateSync(path);
}
