/**
 * The daemon's process: standard input is a pipe that the supervisor holds
 * (its end means that the supervisor is gone), standard error the log, descriptor 3 the pipe to
 * `czctl up` if that waits, descriptor 4 the state directory's lock.
 *
 * Ends with 0 when it was told to stop, or has told `czctl up` why it cannot start; with `EXIT_LEFTOVER` when
 * something of it stays all the same; else by the error's category, and the supervisor decides.
 */
import { closeSync, writeSync } from "node:fs";
import { readSettings, type UpEvent } from "../api/index.js";
import { CzctlError, EXIT_CODES } from "../base/index.js";
import { openLog } from "../telemetry/index.js";
import type { Ahead } from "./ahead.js";
import { errorBody } from "./api-server.js";
import { Daemon } from "./daemon.js";
import { UP_PIPE } from "./daemon-process.js";
import { EXIT_LEFTOVER } from "./supervisor.js";

const UP_FD = 3;
const UP_TIMEOUT_MS = 10_000;

const settings = readSettings(process.env);
const { logLevel: level, logFormat: format } = settings;
const log = await openLog({ level, format, component: "daemon" });
/** False as soon as descriptor 3 is closed: its number then means something else. */
let waiting: boolean = process.env[UP_PIPE] === "1";
let daemon: Daemon | undefined;

function tell(event: UpEvent): void {
  if (event.type === "progress") log.info(event.message);
  if (!waiting) return;
  try {
    writeSync(UP_FD, `${JSON.stringify(event)}\n`);
  } catch {
    // Nobody waits any more.
  }
}

async function stopAndExit(): Promise<void> {
  await daemon?.stop();
  await exit(0);
}

/** The supervisor starts another daemon, which makes a new device. */
async function leaveToNext(): Promise<void> {
  // Whoever waits is told below.
  if (waiting) return;
  log.error("the network device is gone; starting over");
  await daemon?.stop();
  await exit(EXIT_CODES.environment);
}

async function exit(code: number): Promise<void> {
  await daemon?.closeApi();
  process.exit(code === 0 && daemon?.leftover ? EXIT_LEFTOVER : code);
}

/** Returns when the daemon is connected, or goes on trying. @param dataplaneEntry script instead of the data plane (tests) */
export async function runDaemon(ahead: Ahead | null, dataplaneEntry: string | undefined): Promise<void> {
  process.stdin.on("close", () => {
    log.warn("the supervisor is gone; stopping");
    void stopAndExit();
  });
  process.stdin.on("error", () => {});
  process.stdin.resume();
  for (const name of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(name, () => void stopAndExit());

  try {
    daemon = await Daemon.start({
      settings,
      log,
      dataplaneEntry,
      ahead,
      supervisorPid: process.ppid,
      progress: message => tell({ type: "progress", message }),
      onDeviceGone: () => void leaveToNext(),
      onStopped: () => void exit(0),
    });
    try {
      tell({ type: "up", summary: await daemon.connected(UP_TIMEOUT_MS) });
    } catch (error) {
      // Whoever waits gets the reason and a machine as it was; a daemon on its own goes on trying.
      if (waiting) throw error;
      log.warn("not connected yet; still trying", { error });
    }
    if (waiting) closeSync(UP_FD);
    waiting = false;
  } catch (error) {
    log.error("cannot run", { error });
    tell({ type: "failed", error: errorBody(error).error });
    await daemon?.stop();
    await exit(waiting ? 0 : EXIT_CODES[error instanceof CzctlError ? error.category : "internal"]);
  }
}
