/**
 * Edits a hosts file in place: the same inode, so bind mounts, permissions and open readers stay as they are.
 * Only the part from the first byte that changes on is written, in one call, under a lock.
 *
 * No foreign byte is lost at any moment:
 *
 *   lock → mend a torn file from the backup → read → write backup (old and new) → fsync
 *        → read again, start over if somebody edited meanwhile → pwrite → ftruncate → fsync → drop backup
 *
 * A run that dies in between leaves the backup behind, and the next one mends what it finds (hosts-backup.ts).
 * Programs that edit the file without the lock can still lose against us within the microseconds between the
 * second read and the write.
 */
import { closeSync, fstatSync, openSync, rmSync, statSync } from "node:fs";
import { CzctlError } from "../base/index.js";
import { recover, writeBackup } from "./hosts-backup.js";
import { replaceSection } from "./hosts-section.js";
import { overwrite, readAll } from "./in-place.js";

export interface HostsOptions {
  /** Copy that a torn edit is mended from: `<state-dir>/hosts.backup`. Without it a power loss can tear. */
  backupPath?: string;
  /** Takes an exclusive lock on the open file (flock); it goes with the descriptor. */
  lock?: (fd: number) => void;
}

export interface HostsUpdate {
  changed: boolean;
  /** Set when an earlier run died and the file was edited since: where its backup is now, for a human to compare. */
  keptBackup: string | null;
}

/** Somebody who keeps editing faster than we can write is left alone after this many tries. */
const TRIES_MAX = 20;

/**
 * Puts the section `lines` (of `renderSection`) in the file, or takes it out (null). Writes nothing when the
 * file already is so. Synchronous: it takes a few milliseconds and must not be interleaved with itself.
 * Throws CzctlError (environment), with the file as it was.
 */
export function updateHosts(
  path: string,
  lines: readonly string[] | null,
  options: HostsOptions = {},
): HostsUpdate {
  let fd = -1;
  try {
    fd = openLocked(path, lines !== null, options.lock);
    if (fd === -1) return { changed: false, keptBackup: null };
    const { backupPath } = options;
    const recovery = backupPath === undefined ? "none" : recover(fd, backupPath);
    const keptBackup = recovery === "edited" ? `${backupPath}.kept` : null;
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const old = readAll(fd);
      const next = replaceSection(old, lines);
      if (next.equals(old)) return { changed: recovery === "mended", keptBackup };
      if (backupPath !== undefined) writeBackup(backupPath, old, next);
      // The backup's fsync takes milliseconds: time enough for somebody who knows of no lock.
      if (!readAll(fd).equals(old)) continue;
      overwrite(fd, old, next);
      if (backupPath !== undefined) rmSync(backupPath, { force: true });
      return { changed: true, keptBackup };
    }
    throw new Error("another program keeps changing it");
  } catch (cause) {
    throw cause instanceof CzctlError ? cause : hostsError(path, cause);
  } finally {
    if (fd !== -1) closeSync(fd);
  }
}

/** A descriptor for the file that `path` names once the lock is held; -1 when there is none and none is wanted. */
function openLocked(path: string, create: boolean, lock: HostsOptions["lock"]): number {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    let fd: number;
    try {
      fd = openSync(path, "r+");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      if (!create) return -1;
      fd = openSync(path, "wx+", 0o644);
    }
    let current = false;
    try {
      lock?.(fd);
      // Editors that save by renaming put another inode there while we wait for the lock.
      const mine = fstatSync(fd);
      const named = statSync(path);
      current = mine.ino === named.ino && mine.dev === named.dev;
    } finally {
      if (!current) closeSync(fd);
    }
    if (current) return fd;
  }
  throw new Error("another program keeps replacing it");
}

function hostsError(path: string, cause: unknown): CzctlError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const make = (name: string, why: string, hint: string) =>
    new CzctlError(`${path} cannot be edited: ${why}`, { code: name, category: "environment", hint, cause });
  if (code === "EROFS" || code === "EPERM") {
    return make(
      "HOSTS_READ_ONLY",
      "it is read-only",
      "make it writable, or name another file with --hosts-file",
    );
  }
  if (code === "EACCES") return make("HOSTS_DENIED", "permission denied", "run czctl up as root");
  if (code === "ENOSPC" || code === "EDQUOT") {
    return make("HOSTS_NO_SPACE", "the disk is full", "free some space");
  }
  return make("HOSTS_FAILED", code ?? message, "see whether it is an ordinary file that root can write");
}
