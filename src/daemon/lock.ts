/**
 * The lock that makes one process the owner of a state directory: a daemon with its supervisor, or a CLI
 * command that changes the state while none runs. It is an flock(2), so a dead owner holds nothing; supervisor
 * and daemon share one open file, so it is free when the last of them is gone, and whoever of them takes it has it for all.
 */
import {
  accessSync,
  closeSync,
  constants,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { LOCK_FILE } from "../api/index.js";
import { CzctlError } from "../base/index.js";

const { O_APPEND, O_CREAT, O_NOFOLLOW, O_RDWR } = constants;

/** A daemon ends within two seconds after its supervisor. */
const TAKE_OVER_MS = 3_000;

export class StateLock {
  readonly fd: number;
  readonly #stateDir: string;

  private constructor(fd: number, stateDir: string) {
    this.fd = fd;
    this.#stateDir = stateDir;
  }

  /** The open file, which is nobody's yet. Makes the directory; refuses one that others may write to. */
  static open(stateDir: string): StateLock {
    try {
      mkdirSync(stateDir, { recursive: true, mode: 0o700 });
      checkOwner(stateDir);
      const path = join(stateDir, LOCK_FILE);
      return new StateLock(openSync(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600), stateDir);
    } catch (error) {
      throw stateUnusable(stateDir, error);
    }
  }

  /** The lock, or null when someone has it. */
  static async tryTake(stateDir: string): Promise<StateLock | null> {
    const lock = StateLock.open(stateDir);
    if (await lock.tryTake()) return lock;
    lock.release();
    return null;
  }

  /** Waits for it, for commands that hold it for milliseconds only. */
  static async take(stateDir: string, timeoutMs: number): Promise<StateLock> {
    for (const until = performance.now() + timeoutMs; ; await sleep(20)) {
      const lock = await StateLock.tryTake(stateDir);
      if (lock !== null) return lock;
      if (performance.now() > until) {
        throw new CzctlError(`another czctl holds ${stateDir}`, {
          code: "STATE_LOCKED",
          category: "environment",
          hint: "Try again when it is done, or look at it with `czctl status`.",
        });
      }
    }
  }

  /** False when somebody else has it. */
  async tryTake(): Promise<boolean> {
    // Not before it is needed: the FFI's library takes 10 ms to load.
    const { tryLock } = await import("../linux/index.js");
    return tryLock(this.fd);
  }

  /** False when who has it is alive. A daemon whose supervisor was killed needs a moment to end. */
  async takeOver(): Promise<boolean> {
    for (const until = performance.now() + TAKE_OVER_MS; ; await sleep(20)) {
      if (await this.tryTake()) return true;
      const holder = lockHolder(this.#stateDir);
      if (holder === null || isAlive(holder) || performance.now() > until) return false;
    }
  }

  /** Notes the supervisor's process id, for `holder`. */
  describe(pid: number): void {
    ftruncateSync(this.fd);
    writeSync(this.fd, `${pid}\n`);
  }

  release(): void {
    closeSync(this.fd);
  }
}

/** The supervisor's process id as the holder of the lock noted it; null: none did. Only while it is held. */
export function lockHolder(stateDir: string): number | null {
  try {
    const pid = Number(readFileSync(join(stateDir, LOCK_FILE), "utf8"));
    return Number.isInteger(pid) && pid > 1 ? pid : null;
  } catch {
    return null;
  }
}

/** Who may write in the directory could have us write elsewhere, or read the keys of the next space. */
function checkOwner(stateDir: string): void {
  accessSync(stateDir, constants.W_OK | constants.X_OK);
  const { uid, mode } = statSync(stateDir);
  if (uid === process.geteuid?.() && (mode & 0o022) === 0) return;
  throw new CzctlError(`${stateDir} is not yours alone to write to`, {
    code: "STATE_UNSAFE",
    category: "config",
    hint: "Make it yours (chown, chmod go-w), or choose another directory with --state-dir.",
  });
}

/** A zombie, whose parent has not looked yet, is not. */
function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
  } catch {
    return false;
  }
}

/** The error for a state directory that cannot be used. */
export function stateUnusable(path: string, error: unknown): CzctlError {
  if (error instanceof CzctlError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const denied = code === "EACCES" || code === "EPERM";
  return new CzctlError(denied ? `no permission for ${path}` : `cannot use ${path}: ${message}`, {
    code: denied ? "PERMISSION_DENIED" : "STATE_UNUSABLE",
    category: "environment",
    hint: denied ? "Run it with sudo." : "Choose another directory with --state-dir.",
    cause: error,
  });
}
