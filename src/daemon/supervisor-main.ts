/**
 * Entry point of the detached supervisor: standard error is the log file, descriptor 3 the pipe to `czctl up`,
 * descriptor 4 the lock. What `czctl up` waits for comes first: the daemon, as soon as the lock is taken.
 */
import { readSync } from "node:fs";
import { spawnDaemon } from "./daemon-process.js";

const UP_FD = 3;
const LOCK_FD = 4;

// No more than a newline comes this way; the end, when `czctl up` has changed its mind or died.
if (readSync(UP_FD, Buffer.alloc(1)) === 0) process.exit();

const abort = new AbortController();
for (const name of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(name, () => abort.abort());
const daemon = { env: process.env, lockFd: LOCK_FD };
const first = spawnDaemon(daemon, UP_FD);
const { runSupervisor } = await import("./supervisor-run.js");
process.exitCode = await runSupervisor({ ...daemon, first, signal: abort.signal });
