/**
 * What takes as long to start as the daemon does: the data plane's process. The daemon starts it before it loads its
 * own code, and both come up at the same time, on two cores. The child inherits the TUN descriptor, which becomes a
 * device later, and touches nothing until it is told `start`.
 */
import type { ChildProcess } from "node:child_process";
import { spawnDataplane } from "../dataplane/index.js";
import { openTunFile } from "../linux/index.js";

export interface Ahead {
  tunFile: number;
  dataplane: ChildProcess;
}

/** Null where there is no TUN driver: who wants a device hears why. */
export function startAhead(dataplaneEntry: string | undefined): Ahead | null {
  try {
    const tunFile = openTunFile();
    return { tunFile, dataplane: spawnDataplane([tunFile], dataplaneEntry) };
  } catch {
    return null;
  }
}
