/** `czctl up`, `down`, `restart` and `cleanup`. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Problem, Settings } from "../../api/index.js";
import { CzctlError } from "../../base/index.js";
import { callDaemon, isNotRunning } from "../client.js";
import { type Flags, type Program, settingsOf } from "../context.js";
import { withLog } from "../log-options.js";
import { print, printJson } from "../output.js";
import { requireRoot } from "../root.js";
import { up } from "./up.js";

const STOP_TIMEOUT_MS = 10_000;

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
    const lock = await StateLock.tryTake(settings.stateDir);
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
  const lock = StateLock.open(settings.stateDir);
  try {
    if (!(await lock.takeOver())) {
      throw new CzctlError("czctl is running; there is nothing to clean up", {
        code: "ALREADY_RUNNING",
        category: "user",
        hint: "Stop it with `sudo czctl down`.",
      });
    }
    const { cleanUp } = await loadTools();
    const removed = await cleanUp(settings);
    if (flags.json) return printJson({ removed });
    print(removed.length === 0 ? "Nothing to clean up." : removed.map(what => `Removed ${what}.`).join("\n"));
  } finally {
    lock.release();
  }
}
