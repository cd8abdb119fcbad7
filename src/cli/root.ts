/** What only root may do. */
import { CzctlError } from "../base/index.js";

/** Throws CzctlError (user) unless it is root who asks. */
export function requireRoot(command: string): void {
  if (process.geteuid?.() === 0) return;
  throw new CzctlError(`czctl ${command} needs root`, {
    code: "ROOT_NEEDED",
    category: "user",
    hint: `Run it with sudo: sudo czctl ${command}`,
  });
}
