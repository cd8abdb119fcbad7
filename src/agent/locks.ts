/** The two locks of an agent's directory: one for its files, one that says who runs it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";
import { CzctlError } from "../base/index.js";
import { type FileLock, tryLockFile } from "../linux/index.js";

const RETRY_MS = 15;
const PATIENCE_MS = 10_000;

/** Runs `change` while no other process changes the peers. */
export async function withPeersLock<T>(dir: string, change: () => Promise<T>): Promise<T> {
  const path = join(dir, "peers.lock");
  for (let waitedMs = 0; waitedMs < PATIENCE_MS; waitedMs += RETRY_MS) {
    const lock = take(path);
    if (lock === null) {
      await sleep(RETRY_MS);
      continue;
    }
    try {
      return await change();
    } finally {
      lock.release();
    }
  }
  throw new CzctlError(`${path} has been locked for ${PATIENCE_MS / 1000} s`, {
    code: "AGENT_BUSY",
    category: "environment",
    hint: "Another `czctl agent` command hangs on this directory; end it and try again.",
  });
}

/** Who runs the agent, as it wrote itself into the lock file. */
export interface RunningAgent {
  pid: number;
  adminSocket: string;
}

const holder: z.ZodType<RunningAgent> = z.object({ pid: z.number().int(), adminSocket: z.string() });

/** Claims DIR; an agent that already runs there is an error. The holder describes itself as `RunningAgent`. */
export function lockForRun(dir: string): FileLock {
  const lock = take(join(dir, "agent.lock"));
  if (lock !== null) return lock;
  const pid = readRunningAgent(dir)?.pid;
  throw new CzctlError(`an agent already runs on ${dir}${pid === undefined ? "" : ` (pid ${pid})`}`, {
    code: "AGENT_RUNNING",
    category: "user",
    hint: "Stop it first, or use another --dir.",
  });
}

/** What the lock file says; its writer may have died since. */
export function readRunningAgent(dir: string): RunningAgent | null {
  try {
    return holder.parse(JSON.parse(readFileSync(join(dir, "agent.lock"), "utf8")));
  } catch {
    return null;
  }
}

function take(path: string): FileLock | null {
  try {
    return tryLockFile(path);
  } catch (cause) {
    throw new CzctlError(`cannot lock ${path}: ${(cause as Error).message}`, {
      code: "AGENT_STATE_DENIED",
      category: "environment",
      hint: "Run as the user that owns the directory.",
      cause,
    });
  }
}
