/**
 * WireGuard's UAPI sockets, `/var/run/wireguard/NAME.sock`, where `wg show` looks. The directory is shared by
 * all network namespaces of the machine, so another daemon's device may bear our name.
 */
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { isListening, removeSocket } from "./unix-socket.js";

export const UAPI_DIRECTORY = "/var/run/wireguard";

/** The socket's path for a device, or null when the directory cannot be made. */
export function uapiSocketPath(device: string): string | null {
  try {
    mkdirSync(UAPI_DIRECTORY, { recursive: true, mode: 0o755 });
    return join(UAPI_DIRECTORY, `${device}.sock`);
  } catch {
    return null;
  }
}

/** Removes sockets of our devices and agents that nobody listens on any more; returns their paths. */
export async function removeStaleUapiSockets(): Promise<string[]> {
  let names: string[];
  try {
    names = readdirSync(UAPI_DIRECTORY);
  } catch {
    return [];
  }
  const removed: string[] = [];
  for (const name of names.filter(each => /^czctl(\d+|-\d+)\.sock$/.test(each))) {
    const path = join(UAPI_DIRECTORY, name);
    if (await isListening(path)) continue;
    removeSocket(path);
    removed.push(path);
  }
  return removed;
}
