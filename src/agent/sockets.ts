/** Where the agent's Unix sockets are. */
import { mkdtempSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/** unix(7): `sun_path` holds 108 bytes with the final zero. */
const MAX_PATH_BYTES = 107;

export interface AgentSockets {
  adminPath: string;
  /** The data plane connects here. */
  controlPath: string;
  remove(): void;
}

/**
 * In DIR, or in a private temporary directory when DIR's name is too long for a socket's. The caller holds
 * the run lock: sockets that are there already belonged to an agent that was killed.
 */
export function placeSockets(dir: string): AgentSockets {
  const home = resolve(dir);
  const fits = Buffer.byteLength(join(home, "control.sock")) <= MAX_PATH_BYTES;
  const base = fits ? home : mkdtempSync(join(tmpdir(), "czctl-agent-"));
  const adminPath = join(base, "admin.sock");
  const controlPath = join(base, "control.sock");
  const clear = (): void => {
    rmSync(adminPath, { force: true });
    rmSync(controlPath, { force: true });
  };
  const remove = (): void => {
    clear();
    if (!fits) rmdirSync(base);
  };
  clear();
  return { adminPath, controlPath, remove };
}
