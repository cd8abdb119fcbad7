/** Where the agent's Unix sockets are. */
import { mkdtempSync, rmSync } from "node:fs";
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

/** In DIR, or in a private temporary directory when DIR's name is too long for a socket's. */
export function placeSockets(dir: string): AgentSockets {
  const home = resolve(dir);
  const fits = Buffer.byteLength(join(home, "control.sock")) <= MAX_PATH_BYTES;
  const base = fits ? home : mkdtempSync(join(tmpdir(), "czctl-agent-"));
  const paths = { adminPath: join(base, "admin.sock"), controlPath: join(base, "control.sock") };
  const remove = (): void => {
    for (const path of Object.values(paths)) rmSync(path, { force: true });
    if (!fits) rmSync(base, { recursive: true, force: true });
  };
  // A killed agent leaves its sockets; the run lock says that they are nobody's.
  for (const path of Object.values(paths)) rmSync(path, { force: true });
  return { ...paths, remove };
}
