/** Removes what a daemon that died may have left. Only for who holds the state directory's lock. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { CONTROL_SOCKET, readSettings, type Settings } from "../api/index.js";
import { writeHosts } from "./hosts.js";
import { stateUnusable } from "./lock.js";
import { removeStaleUapiSockets } from "./uapi.js";
import { isListening, removeSocket } from "./unix-socket.js";

/** Returns what was removed, in words. Throws CzctlError. */
export async function cleanUp(settings: Settings = readSettings(process.env)): Promise<string[]> {
  const removed: string[] = [];
  if (writeHosts(settings, null).changed) removed.push(`section in ${settings.hostsFile}`);
  for (const path of [settings.socketPath, join(settings.stateDir, CONTROL_SOCKET)]) {
    // With another state directory, another daemon may own this socket.
    if (!existsSync(path) || (await isListening(path))) continue;
    try {
      removeSocket(path);
    } catch (error) {
      throw stateUnusable(path, error);
    }
    removed.push(`socket ${path}`);
  }
  return [...removed, ...(await removeStaleUapiSockets()).map(path => `socket ${path}`)];
}
