/** Edits a hosts file in place. */

export interface HostsOptions {
  /** Copy that a torn edit is mended from: `<state-dir>/hosts.backup`. */
  backupPath?: string;
  /** Takes an exclusive lock on the open file (flock); it goes with the descriptor. */
  lock?: (fd: number) => void;
}

/**
 * Puts the section `lines` (of `renderSection`) in the file, or takes it out (null). Synchronous.
 * Throws CzctlError (environment) with the file as it was.
 */
export function updateHosts(
  _path: string,
  _lines: readonly string[] | null,
  _options: HostsOptions = {},
): { changed: boolean } {
  throw new Error("not written yet");
}
