/** Starts a data plane's process, which waits for the `start` message. Loads little: see `daemon/ahead.ts`. */
import { type ChildProcess, spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";

/** V8's own number of threads that compile and collect; where there are few processors the packets need one of them. */
const MOST_V8_THREADS = 4;

/** Node's own option. One of V8's would cost 30 ms: see `v8-heap.ts`. */
function poolSize(): string {
  return `--v8-pool-size=${Math.max(1, Math.min(MOST_V8_THREADS, availableParallelism() - 1))}`;
}

/**
 * @param fds descriptors that the child gets as 4, 5, …
 * @param entry script to run instead of the real one (tests)
 */
export function spawnDataplane(fds: readonly number[], entry?: string): ChildProcess {
  const script = entry ?? fileURLToPath(new URL("../dataplane/main.js", import.meta.url));
  const child = spawn(process.execPath, [...process.execArgv, poolSize(), script], {
    stdio: ["ignore", "inherit", "inherit", "pipe", ...fds],
    cwd: "/",
  });
  // `DataplaneProcess` reports it, also when it comes later.
  child.on("error", () => {});
  return child;
}
