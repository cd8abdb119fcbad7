/**
 * A lock that the kernel drops when its holder dies in any way, so there is never a stale one. Node opens
 * files with O_CLOEXEC, so children do not keep it.
 */
import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { tryLock } from "./descriptor.js";

export interface FileLock {
  /** Replaces the lock file's content: who holds it. */
  describe(text: string): void;
  release(): void;
}

/** Takes the lock on `path` (created with mode 0600), or returns null when another process has it. */
export function tryLockFile(path: string): FileLock | null {
  const fd = openSync(path, "a", 0o600);
  if (!tryLock(fd)) {
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
