/**
 * The copy that makes an in-place edit safe against sudden death: written and on disk before the first byte
 * of the hosts file changes, gone when the edit is complete.
 *
 * One line `czctl-hosts-backup OLD_BYTES NEW_BYTES SHA256`, then both contents.
 */
import { createHash } from "node:crypto";
import { closeSync, constants, fsyncSync, openSync, readFileSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { overwrite, readAll, writeFrom } from "./in-place.js";

const { O_CREAT, O_NOFOLLOW, O_TRUNC, O_WRONLY } = constants;

export function writeBackup(backupPath: string, old: Buffer, next: Buffer): void {
  const content = Buffer.concat([old, next]);
  const header = `czctl-hosts-backup ${old.length} ${next.length} ${sha256(content)}\n`;
  const temporary = `${backupPath}.new`;
  const fd = openSync(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
  try {
    writeFrom(fd, Buffer.concat([Buffer.from(header), content]), 0);
    fsyncSync(fd);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
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

/**
 * Mends what a run that died has left.
 *
 * The file may be as it was ("none" to do), complete ("none"), or torn: each byte from the old or from the new
 * content. Torn goes back to old ("mended"). If it is none of these somebody edited it since; then it is
 * believed, and the backup is moved aside to `….kept` ("edited").
 */
export function recover(fd: number, backupPath: string): "none" | "mended" | "edited" {
  const backup = readBackup(backupPath);
  if (backup === null) return "none";
  const { old, next } = backup;
  const now = readAll(fd);
  const whole = now.equals(old) || now.equals(next);
  if (!whole && !isMixture(now, old, next)) {
    renameSync(backupPath, `${backupPath}.kept`);
    return "edited";
  }
  if (!whole) {
    overwrite(fd, now, old);
    fsyncSync(fd);
  }
  rmSync(backupPath, { force: true });
  return whole ? "none" : "mended";
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
