/** `czctl up`, `down`, `restart` and `cleanup`. */
import { setTimeout as sleep } from "node:timers/promises";
import { childEnvironment, type Problem, type Settings } from "../../api/index.js";
import { CzctlError } from "../../base/index.js";
import { callDaemon, isNotRunning } from "../client.js";
import { type Flags, type Program, settingsOf } from "../context.js";
import { type LogFlags, withLog } from "../log-options.js";
import { formatDuration, paint, print, printJson } from "../output.js";
import { startDetached } from "../start-daemon.js";

const STOP_TIMEOUT_MS = 10_000;

interface UpFlags extends LogFlags {
  space: string | undefined;
  foreground: boolean;
  metricsPort: number | undefined;
}

export function addLifecycleCommands(program: Program): void {
  program.command(["up", "start"], "Connect to the selected space (root)", upOptions, up);
  program.command(["down", "stop"], "Disconnect, and leave everything as it was", y => y, down);
  program.command("restart", "down, then up", upOptions, async flags => {
    await stop(settingsOf(flags));
    await up(flags);
  });
  program.command(
    "cleanup",
    "Remove what a crashed run left: hosts section, sockets (root)",
    y => y,
    cleanup,
  );
}

const upOptions = (y: Program) =>
  withLog(y)
    .option("space", { type: "string", requiresArg: true, description: "Select this space first" })
    .option("foreground", {
      type: "boolean",
      default: false,
      description: "Stay, log to standard error, keep trying while the agent is away",
    })
    .option("metrics-port", {
      type: "number",
      requiresArg: true,
      description: "TCP port of /metrics and /healthz on 127.0.0.1 [CZCTL_METRICS_PORT, none]",
    });

async function up(flags: Flags<UpFlags>): Promise<void> {
  const settings = settingsOf(flags);
  requireRoot("up");
  const { loadTools, lockHolder, StateLock } = await import("../../daemon/index.js");
  const lock = await StateLock.takeOver(settings.stateDir);
  if (lock === null) {
    throw new CzctlError(`czctl is already running (process ${lockHolder(settings.stateDir) ?? "unknown"})`, {
      code: "ALREADY_RUNNING",
      category: "user",
      hint: "See `czctl status`; to change what it does use `czctl restart`.",
    });
  }
  try {
    if (flags.space !== undefined) {
      const { performLocked } = await loadTools();
      performLocked(settings, "space.select", { name: flags.space });
    }
    if (flags.foreground) {
      process.exitCode = await runForeground(settings, lock);
      return;
    }
    const summary = await startDetached(settings, lock);
    if (flags.json) return printJson(summary);
    const { services, ranges, device, warnings } = summary;
    print(
      `${paint("green", "Connected")} to ${paint("bold", summary.space)} (agent ${summary.endpoint}) in ${formatDuration(summary.tookMs)}.`,
    );
    print(
      `${services.consumed} of ${services.known} services at ${ranges[0]} on ${device}: czctl services list`,
    );
    for (const warning of warnings) print(`${paint("yellow", "Warning:")} ${warning}`);
  } finally {
    // The daemon and its supervisor have it too.
    lock.release();
  }
}

async function runForeground(
  settings: Settings,
  lock: { fd: number; describe(pid: number): void },
): Promise<number> {
  const { loadTools, supervise } = await import("../../daemon/index.js");
  const { openLog } = await import("../../telemetry/index.js");
  const abort = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => abort.abort());
  lock.describe(process.pid);
  // Now, and not when the daemon has died: an upgrade may have taken this version's files away by then.
  const tools = loadTools();
  return supervise({
    env: childEnvironment(process.env, settings),
    signal: abort.signal,
    log: await openLog({ level: settings.logLevel, format: settings.logFormat, component: "supervisor" }),
    lockFd: lock.fd,
    cleanUp: async () => void (await (await tools).cleanUp(settings)),
  });
}

async function down(flags: Flags): Promise<void> {
  const { stopped, problem, removed } = await stop(settingsOf(flags));
  if (problem) {
    const { code, message, hint } = problem;
    throw new CzctlError(message, {
      code,
      category: "environment",
      ...(hint === undefined ? {} : { hint }),
    });
  }
  if (flags.json) return printJson({ stopped, removed });
  print(stopped ? "Disconnected; everything is as it was." : "czctl is not running.");
  for (const what of removed) print(`Removed what an earlier run left: ${what}.`);
}

interface Stopped {
  /** False when nothing ran. */
  stopped: boolean;
  /** What could not be undone. */
  problem: Problem | null;
  /** What a run that died had left, in words. */
  removed: string[];
}

/** Returns when none of its processes is left. */
async function stop(settings: Settings): Promise<Stopped> {
  let answered = true;
  let problem: Problem | null = null;
  try {
    ({ problem } = await callDaemon(settings, "stop", {}));
  } catch (error) {
    if (!isNotRunning(error)) throw error;
    answered = false;
  }
  // Members of the socket's group may stop the daemon, but not look into its directory.
  if (process.geteuid?.() !== 0) return { stopped: answered, problem, removed: [] };
  const { loadTools, lockHolder, StateLock } = await import("../../daemon/index.js");
  let signalled = false;
  for (const until = performance.now() + STOP_TIMEOUT_MS; performance.now() < until; await sleep(10)) {
    const lock = StateLock.tryTake(settings.stateDir);
    if (lock !== null) {
      try {
        if (answered || signalled) return { stopped: true, problem, removed: [] };
        const { cleanUp } = await loadTools();
        return { stopped: false, problem, removed: await cleanUp(settings) };
      } finally {
        lock.release();
      }
    }
    // The daemon is just being started again: its supervisor has to know.
    const pid = lockHolder(settings.stateDir);
    if (answered || signalled || pid === null) continue;
    signalled = true;
    process.kill(pid, "SIGTERM");
  }
  throw new CzctlError("czctl does not stop", {
    code: "STOP_TIMEOUT",
    category: "internal",
    hint: "See `czctl logs`; kill its processes, then run `sudo czctl cleanup`.",
  });
}

async function cleanup(flags: Flags): Promise<void> {
  const settings = settingsOf(flags);
  requireRoot("cleanup");
  const { loadTools, StateLock } = await import("../../daemon/index.js");
  const lock = await StateLock.takeOver(settings.stateDir);
  if (lock === null) {
    throw new CzctlError("czctl is running; there is nothing to clean up", {
      code: "ALREADY_RUNNING",
      category: "user",
      hint: "Stop it with `sudo czctl down`.",
    });
  }
  try {
    const { cleanUp } = await loadTools();
    const removed = await cleanUp(settings);
    if (flags.json) return printJson({ removed });
    print(removed.length === 0 ? "Nothing to clean up." : removed.map(what => `Removed ${what}.`).join("\n"));
  } finally {
    lock.release();
  }
}

function requireRoot(command: string): void {
  if (process.geteuid?.() === 0) return;
  throw new CzctlError(`czctl ${command} needs root`, {
    code: "ROOT_NEEDED",
    category: "user",
    hint: `Run it with sudo: sudo czctl ${command}`,
  });
}
