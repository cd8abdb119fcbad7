/** The managed section of a hosts file. */
import type { HostEntry } from "../catalog/index.js";

/** The section's lines, markers included, one name a line. */
export function renderSection(_entries: readonly HostEntry[]): string[] {
  throw new Error("not written yet");
}
