/** The daemon's status for commands that are there for when it does not answer. */
import type { DaemonStatus, Problem, Settings } from "../api/index.js";
import { CzctlError } from "../base/index.js";
import { callDaemon, isNotRunning } from "./client.js";

/** What it says, why it says nothing, or null when none runs. */
export async function askDaemon(settings: Settings): Promise<DaemonStatus | Problem | null> {
  try {
    return await callDaemon(settings, "status", {});
  } catch (error) {
    if (isNotRunning(error)) return null;
    if (!(error instanceof CzctlError)) throw error;
    const { code, message, hint } = error;
    return { code, message, ...(hint === undefined ? {} : { hint }) };
  }
}
