/** How long a peer has not answered handshakes, and when that is worth telling: after 5 s, then each minute. */
import { type Milliseconds, NEVER } from "../base/index.js";
import { REKEY_TIMEOUT_MS } from "./constants.js";

const REPORT_AGAIN_MS = 60_000;

export class Silence {
  private since: Milliseconds = NEVER;
  private reportAt: Milliseconds = NEVER;

  /** At each attempt: seconds since the first one when they are to be told, else -1. */
  report(now: Milliseconds): number {
    if (this.since === NEVER) {
      this.since = now;
      this.reportAt = now + REKEY_TIMEOUT_MS;
    }
    if (now < this.reportAt) return -1;
    this.reportAt = now + REPORT_AGAIN_MS;
    return Math.floor((now - this.since) / 1000);
  }

  ended(): void {
    this.since = NEVER;
    this.reportAt = NEVER;
  }
}
