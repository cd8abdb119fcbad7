/**
 * What takes as long to start as the daemon does: the data plane's process. The daemon starts it before it loads its
 * own code, and both come up at the same time, on two cores. The child inherits the TUN descriptor, which becomes a
 * device later, and touches nothing until it is told `start`.
 */
import type { ChildProcess } from "node:child_process";
import { constants, openSync } from "node:fs";
import { spawnDataplane } from "../dataplane/index.js";

const { O_NONBLOCK, O_RDWR } = constants;

export interface Ahead {
  tunFile: number;
  dataplane: ChildProcess;
}

/** Null where there is no TUN driver: `openTun` says why. Node opens the file, as the FFI's library takes 10 ms to load. */
export function startAhead(dataplaneEntry: string | undefined): Ahead | null {
  try {
    const tunFile = openSync("/dev/net/tun", O_RDWR | O_NONBLOCK);
    return { tunFile, dataplane: spawnDataplane([tunFile], dataplaneEntry) };
  } catch {
    return null;
  }
}
