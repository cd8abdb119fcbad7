/** What the detached supervisor does once its daemon is started. */
import { readSettings } from "../api/index.js";
import { openLog } from "../telemetry/index.js";
import { type SupervisorOptions, supervise } from "./supervisor.js";

const PRELOAD_AFTER_MS = 2_000;

/** Resolves to the exit code that this process should have. */
export async function runSupervisor(options: Omit<SupervisorOptions, "log" | "cleanUp">): Promise<number> {
  // Loaded before it is needed, so that a dead daemon is back sooner; and later than the start, which it would slow.
  setTimeout(() => void import("./cleanup.js"), PRELOAD_AFTER_MS).unref();
  const { logLevel: level, logFormat: format } = readSettings(process.env);
  return supervise({
    ...options,
    log: await openLog({ level, format, component: "supervisor" }),
    cleanUp: async () => {
      const { cleanUp } = await import("./cleanup.js");
      await cleanUp();
    },
  });
}
