/** Starts a data plane's process, which waits for the `start` message. Loads little: see `daemon/ahead.ts`. */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** The packet path makes no garbage: a nursery of V8's default size would only be resident (in MiB); `Tidier` collects. */
const V8_OPTIONS = ["--max-semi-space-size=4", "--expose-gc"];

/**
 * @param fds descriptors that the child gets as 4, 5, …
 * @param entry script to run instead of the real one (tests)
 */
export function spawnDataplane(fds: readonly number[], entry?: string): ChildProcess {
  const script = entry ?? fileURLToPath(new URL("../dataplane/main.js", import.meta.url));
  const child = spawn(process.execPath, [...process.execArgv, ...V8_OPTIONS, script], {
    stdio: ["ignore", "inherit", "inherit", "pipe", ...fds],
    cwd: "/",
  });
  // `DataplaneProcess` reports it, also when it comes later.
  child.on("error", () => {});
  return child;
}
