/** Starts a data plane's process, which waits for the `start` message. Loads little: see `daemon/ahead.ts`. */
import { type ChildProcess, spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";

/** V8's own number of threads that compile and collect; where there are few processors the packets need one of them. */
const MOST_V8_THREADS = 4;

/** The packet path makes no garbage: a nursery of V8's default size would only be resident (in MiB); `Tidier` collects. */
function v8Options(): string[] {
  const threads = Math.max(1, Math.min(MOST_V8_THREADS, availableParallelism() - 1));
  return ["--max-semi-space-size=4", "--expose-gc", `--v8-pool-size=${threads}`];
}

/**
 * @param fds descriptors that the child gets as 4, 5, …
 * @param entry script to run instead of the real one (tests)
 */
export function spawnDataplane(fds: readonly number[], entry?: string): ChildProcess {
  const script = entry ?? fileURLToPath(new URL("../dataplane/main.js", import.meta.url));
  const child = spawn(process.execPath, [...process.execArgv, ...v8Options(), script], {
    stdio: ["ignore", "inherit", "inherit", "pipe", ...fds],
    cwd: "/",
  });
  // `DataplaneProcess` reports it, also when it comes later.
  child.on("error", () => {});
  return child;
}
