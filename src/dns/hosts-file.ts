/**
 * Edits a hosts file in place: the same inode, so bind mounts, permissions and open readers stay as they are.
 * Only the part from the first byte that changes on is written, in one call, under a lock.
 *
 * No foreign byte is lost at any moment:
 *
 *   lock → mend a torn file from the backup → read → write backup (old and new) → fsync
 *        → read again, start over if somebody edited meanwhile → pwrite → ftruncate → fsync → drop backup
 *
 * A run that dies in between leaves the backup behind. The next one then finds the file old, new, or torn:
 * each byte as in the old or in the new content. A torn file goes back to old first. A file that is none of
 * the three was edited since; then it is believed, and the backup is kept beside as `….kept`.
 */
import { createHash } from "node:crypto";
import {
  closeSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { CzctlError } from "../base/index.js";
import { replaceSection } from "./hosts-section.js";

export interface HostsOptions {
  /** Copy that a torn edit is mended from: `<state-dir>/hosts.backup`. Without it a power loss can tear. */
  backupPath?: string;
  /** Takes an exclusive lock on the open file (flock); it goes with the descriptor. */
  lock?: (fd: number) => void;
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
): { changed: boolean } {
  let fd = -1;
  try {
    fd = openLocked(path, lines !== null, options.lock);
    if (fd === -1) return { changed: false };
    const { backupPath } = options;
    const mended = backupPath !== undefined && recover(fd, backupPath);
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const old = readAll(fd);
      const next = replaceSection(old, lines);
      if (next.equals(old)) return { changed: mended };
      if (backupPath !== undefined) writeBackup(backupPath, old, next);
      // The backup's fsync takes milliseconds: time enough for somebody who knows of no lock.
      if (!readAll(fd).equals(old)) continue;
      overwrite(fd, old, next);
      if (backupPath !== undefined) rmSync(backupPath, { force: true });
      return { changed: true };
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

function readAll(fd: number): Buffer {
  const chunks: Buffer[] = [];
  for (let position = 0; ; ) {
    const chunk = Buffer.allocUnsafe(65_536);
    const count = readSync(fd, chunk, 0, chunk.length, position);
    if (count === 0) return Buffer.concat(chunks);
    chunks.push(chunk.subarray(0, count));
    position += count;
  }
}

/** Makes `old` into `next`. When that fails (a full disk) the file is `old` again. */
function overwrite(fd: number, old: Buffer, next: Buffer): void {
  const from = commonPrefix(old, next);
  try {
    writeFrom(fd, next, from);
    ftruncateSync(fd, next.length);
    fsyncSync(fd);
  } catch (error) {
    // The blocks of the old content are still the file's own: this needs no space.
    writeFrom(fd, old, from);
    ftruncateSync(fd, old.length);
    fsyncSync(fd);
    throw error;
  }
}

function writeFrom(fd: number, content: Buffer, from: number): void {
  for (let at = from; at < content.length; ) at += writeSync(fd, content, at, content.length - at, at);
}

function commonPrefix(a: Buffer, b: Buffer): number {
  const limit = Math.min(a.length, b.length);
  let length = 0;
  while (length < limit && a[length] === b[length]) length++;
  return length;
}

// ---- the backup: one line `czctl-hosts-backup OLD_BYTES NEW_BYTES SHA256`, then both contents ----

function writeBackup(backupPath: string, old: Buffer, next: Buffer): void {
  const content = Buffer.concat([old, next]);
  const header = `czctl-hosts-backup ${old.length} ${next.length} ${sha256(content)}\n`;
  const temporary = `${backupPath}.new`;
  const fd = openSync(temporary, "w", 0o600);
  try {
    writeFrom(fd, Buffer.concat([Buffer.from(header), content]), 0);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, backupPath);
  syncDirectory(backupPath);
}

function readBackup(backupPath: string): { old: Buffer; next: Buffer } | null {
  let bytes: Buffer;
  try {
    bytes = readFileSync(backupPath);
  } catch {
    return null;
  }
  const end = bytes.indexOf("\n");
  const header = /^czctl-hosts-backup (\d+) (\d+) ([0-9a-f]{64})$/.exec(
    bytes.toString("latin1", 0, Math.max(end, 0)),
  );
  const content = bytes.subarray(end + 1);
  if (header === null || sha256(content) !== header[3]) return null;
  const oldBytes = Number(header[1]);
  return { old: content.subarray(0, oldBytes), next: content.subarray(oldBytes) };
}

/** Mends what a run that died has left; says whether the file was changed by it. */
function recover(fd: number, backupPath: string): boolean {
  const backup = readBackup(backupPath);
  if (backup === null) return false;
  const { old, next } = backup;
  const now = readAll(fd);
  const whole = now.equals(old) || now.equals(next);
  const torn = !whole && isMixture(now, old, next);
  if (torn) overwrite(fd, now, old);
  if (whole || torn) rmSync(backupPath, { force: true });
  else renameSync(backupPath, `${backupPath}.kept`);
  return torn;
}

/** Whether writing `next` over `old` can have stopped at `now`, whatever the order in which blocks got to disk. */
function isMixture(now: Buffer, old: Buffer, next: Buffer): boolean {
  if (now.length < Math.min(old.length, next.length) || now.length > Math.max(old.length, next.length))
    return false;
  // Blocks that were allocated but not yet written read as zeros past the old end.
  return now.every((byte, i) => byte === old[i] || byte === next[i] || (byte === 0 && i >= old.length));
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function syncDirectory(path: string): void {
  const fd = openSync(dirname(path), "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
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
  if (code === "ENOSPC" || code === "EDQUOT")
    return make("HOSTS_NO_SPACE", "the disk is full", "free some space");
  return make("HOSTS_FAILED", code ?? message, "see whether it is an ordinary file that root can write");
}
