/** `czctl up`: what it does once its flags are known. */
import { childEnvironment, type Settings } from "../../api/index.js";
import { CzctlError } from "../../base/index.js";
import { loadTools, lockHolder, StateLock, supervise } from "../../daemon/index.js";
import { type Flags, settingsOf } from "../context.js";
import type { LogFlags } from "../log-options.js";
import { formatDuration, paint, print, printJson } from "../output.js";
import { requireRoot } from "../root.js";
import { DetachedStart } from "../start-daemon.js";

export interface UpFlags extends LogFlags {
  space: string | undefined;
  foreground: boolean;
  metricsPort: number | undefined;
}

/** Those of `czctl up` alone. */
export const PLAIN_UP: Flags<UpFlags> = {
  json: false,
  space: undefined,
  foreground: false,
  metricsPort: undefined,
  "log-level": undefined,
  "log-format": undefined,
};

export async function up(flags: Flags<UpFlags>): Promise<void> {
  const settings = settingsOf(flags);
  requireRoot("up");
  const lock = StateLock.open(settings.stateDir);
  // Comes up while this process looks whether it may be; until it is told, it does nothing.
  const start = flags.foreground ? null : new DetachedStart(settings, lock.fd);
  try {
    await takeOver(lock, settings);
    if (flags.space !== undefined) {
      const { performLocked } = await loadTools();
      performLocked(settings, "space.select", { name: flags.space });
    }
    if (start === null) {
      process.exitCode = await runForeground(settings, lock);
      return;
    }
    lock.describe(start.pid);
    const summary = await start.proceed();
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
    start?.end();
    // The daemon and its supervisor have it too.
    lock.release();
  }
}

async function takeOver(lock: StateLock, { stateDir }: Settings): Promise<void> {
  if (await lock.takeOver()) return;
  throw new CzctlError(`czctl is already running (process ${lockHolder(stateDir) ?? "unknown"})`, {
    code: "ALREADY_RUNNING",
    category: "user",
    hint: "See `czctl status`; to change what it does use `czctl restart`.",
  });
}

async function runForeground(settings: Settings, lock: StateLock): Promise<number> {
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
