/**
 * flock(2): a lock that the kernel drops when its holder dies in any way, so there is never a stale one.
 * Node opens files with O_CLOEXEC, so children do not keep the lock.
 */
import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs";
import koffi from "koffi";

const LOCK_EX = 2;
const LOCK_NB = 4;

const flock = koffi.load(null).func("int flock(int fd, int operation)") as (fd: number, op: number) => number;

export interface FileLock {
  /** Replaces the lock file's content: who holds it. */
  describe(text: string): void;
  release(): void;
}

/** Takes the lock on `path` (created with mode 0600), or returns null when another process has it. */
export function tryLockFile(path: string): FileLock | null {
  const fd = openSync(path, "a", 0o600);
  if (flock(fd, LOCK_EX | LOCK_NB) !== 0) {
    closeSync(fd);
    return null;
  }
  return {
    describe(text: string): void {
      ftruncateSync(fd);
      writeSync(fd, text);
    },
    release(): void {
      closeSync(fd);
    },
  };
}
