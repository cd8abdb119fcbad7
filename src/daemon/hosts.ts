/** The machine's hosts file as the daemon and its cleaners edit it: `dns/hosts-file.ts` with our lock and backup. */
import { join } from "node:path";
import type { Settings } from "../api/index.js";
import { CzctlError } from "../base/index.js";
import { updateHosts } from "../dns/index.js";
import { endLease, tryLease, tryLock } from "../linux/index.js";

const LOCK_ATTEMPTS = 100;
const LOCK_PAUSE_MS = 10;
/** Whoever has the file open is done within a moment, or is a `tail -f`. */
const LEASE_ATTEMPTS = 20;
const LEASE_PAUSE_MS = 1;

const pause = new Int32Array(new SharedArrayBuffer(4));

/** Puts the section in the file, or takes it out (null). Throws CzctlError with the file as it was. */
export function writeHosts(settings: Settings, lines: readonly string[] | null): { changed: boolean } {
  return updateHosts(settings.hostsFile, lines, {
    backupPath: join(settings.stateDir, "hosts.backup"),
    lock: fd => waitForLock(fd, settings.hostsFile),
    hold: waitForLease,
  });
}

/** Without one, on a file system that has none, edits of others within microseconds of ours may be lost. */
function waitForLease(fd: number): () => void {
  for (let attempt = 0; attempt < LEASE_ATTEMPTS && !tryLease(fd); attempt++) {
    Atomics.wait(pause, 0, 0, LEASE_PAUSE_MS);
  }
  return () => endLease(fd);
}

/** Blocks: whoever else has the lock edits a small file. */
function waitForLock(fd: number, path: string): void {
  for (let attempt = 0; attempt < LOCK_ATTEMPTS; attempt++) {
    if (tryLock(fd)) return;
    Atomics.wait(pause, 0, 0, LOCK_PAUSE_MS);
  }
  throw new CzctlError(`another program keeps ${path} locked`, {
    code: "HOSTS_LOCKED",
    category: "environment",
    hint: "See which one: fuser PATH.",
  });
}
