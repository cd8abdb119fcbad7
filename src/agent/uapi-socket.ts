/**
 * Where `wg show` finds a running agent: `/var/run/wireguard/czctl-PORT.sock`, if this user may put a socket
 * there. Usually only root may; then there is none, and nothing else changes.
 */
import { accessSync, constants, mkdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";

const DIRECTORY = "/var/run/wireguard";

/** Null where none can be. The directory is shared by all network namespaces of the machine. */
export function uapiSocketPath(listenPort: number, directory: string = DIRECTORY): string | null {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    accessSync(directory, constants.W_OK | constants.X_OK);
  } catch {
    return null;
  }
  return join(directory, `czctl-${listenPort}.sock`);
}

/** Removes the socket unless another agent answers on it. */
export async function removeUapiSocket(path: string): Promise<void> {
  const answered = await new Promise<boolean>(resolve => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
  if (!answered) await rm(path, { force: true });
}
