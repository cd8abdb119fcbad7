/**
 * Edits a hosts file in place: the same inode, so bind mounts, permissions and open readers stay as they are.
 * Only the part from the first byte that changes on is written, in one call, under a lock.
 *
 * No foreign byte is lost at any moment:
 *
 *   lock → mend a torn file from the backup → read → write backup (old and new) → fsync
 *        → hold → read again, start over if somebody edited meanwhile → pwrite → ftruncate → let go
 *        → fsync → drop backup → start over if the file was replaced meanwhile
 *
 * A run that dies in between leaves the backup behind, and the next one mends what it finds (hosts-backup.ts).
 * The lock is for those who know of it; while the file is held nobody else can even open it, so an editor that
 * knows of no lock loses nothing either, and no reader sees half of an edit.
 */
import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
} from "node:fs";
import { CzctlError } from "../base/index.js";
import { recover, writeBackup } from "./hosts-backup.js";
import { replaceSection } from "./hosts-section.js";
import { overwrite, readAll } from "./in-place.js";

export interface HostsOptions {
  /** Copy that a torn edit is mended from: `<state-dir>/hosts.backup`. Without it a power loss can tear. */
  backupPath?: string;
  /** Takes an exclusive lock on the open file (flock); it goes with the descriptor. */
  lock?: (fd: number) => void;
  /** Keeps others from opening the file for the moment of the write (a lease); returns what ends that. */
  hold?: (fd: number) => () => void;
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
  const update: HostsUpdate = { changed: false, keptBackup: null };
  try {
    for (let tries = 0; tries < TRIES_MAX; tries++)
      if (tryUpdate(path, lines, options, update)) return update;
    throw new Error("another program keeps changing it");
  } catch (cause) {
    // Not ours to write, and nothing to write: a read-only file that never had a section.
    if (isDone(path, lines, options)) return update;
    throw cause instanceof CzctlError ? cause : hostsError(path, cause);
  }
}

/** Whether the file is as wanted, and no torn edit waits to be mended. */
function isDone(path: string, lines: readonly string[] | null, { backupPath }: HostsOptions): boolean {
  if (backupPath !== undefined && existsSync(backupPath)) return false;
  try {
    const old = readFileSync(path);
    return replaceSection(old, lines).equals(old);
  } catch {
    return false;
  }
}

/** False when somebody has edited or replaced the file meanwhile. */
function tryUpdate(
  path: string,
  lines: readonly string[] | null,
  options: HostsOptions,
  update: HostsUpdate,
): boolean {
  const fd = openLocked(path, lines !== null, options.lock);
  if (fd === -1) return true;
  const { backupPath } = options;
  try {
    const recovery = backupPath === undefined ? "none" : recover(fd, backupPath);
    if (recovery === "mended") update.changed = true;
    if (recovery === "edited") update.keptBackup = `${backupPath}.kept`;
    const old = readAll(fd);
    const next = replaceSection(old, lines);
    if (next.equals(old)) return true;
    if (backupPath !== undefined) tryBackup(backupPath, old, next, lines === null);
    // The backup's fsync takes milliseconds: time enough for somebody who knows of no lock.
    const written = writeHeld(fd, old, next, options.hold);
    if (written) {
      fsyncSync(fd);
      update.changed = true;
    }
    if (backupPath !== undefined) rmSync(backupPath, { force: true });
    return written && isNamed(fd, path);
  } finally {
    closeSync(fd);
  }
}

/** A section that stays is worse than one whose end is not safe against a power loss: out it goes on a full disk. */
function tryBackup(backupPath: string, old: Buffer, next: Buffer, optional: boolean): void {
  try {
    writeBackup(backupPath, old, next);
  } catch (error) {
    if (!optional) throw error;
  }
}

/** False when the file is not `old` any more. */
function writeHeld(fd: number, old: Buffer, next: Buffer, hold: HostsOptions["hold"]): boolean {
  const letGo = hold?.(fd);
  try {
    if (!readAll(fd).equals(old)) return false;
    overwrite(fd, old, next);
    return true;
  } finally {
    letGo?.();
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
      current = isNamed(fd, path);
    } finally {
      if (!current) closeSync(fd);
    }
    if (current) return fd;
  }
  throw new Error("another program keeps replacing it");
}

/** Whether `path` still names the open file. */
function isNamed(fd: number, path: string): boolean {
  const mine = fstatSync(fd);
  const named = statSync(path, { throwIfNoEntry: false });
  return mine.ino === named?.ino && mine.dev === named.dev;
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
