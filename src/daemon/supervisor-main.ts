/**
 * Entry point of the detached supervisor: standard error is the log file, descriptor 3 the pipe to `czctl up`,
 * descriptor 4 the lock.
 */
import { readSettings } from "../api/index.js";
import { openLog } from "../telemetry/index.js";
import { supervise } from "./supervisor.js";

const PRELOAD_AFTER_MS = 2_000;

const abort = new AbortController();
for (const name of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(name, () => abort.abort());

// Loaded before it is needed, so that a dead daemon is back sooner; and later than the start, which it would slow.
setTimeout(() => void import("./cleanup.js"), PRELOAD_AFTER_MS).unref();

const { logLevel: level, logFormat: format } = readSettings(process.env);
process.exitCode = await supervise({
  env: process.env,
  signal: abort.signal,
  log: await openLog({ level, format, component: "supervisor" }),
  upPipeFd: 3,
  lockFd: 4,
  cleanUp: async () => {
    const { cleanUp } = await import("./cleanup.js");
    await cleanUp();
  },
});
