/**
 * What a policy refuses: each attempt is counted by its reason, and told to the control process as far as a log
 * can take it. An attempt at a service is told when it is the first, and every ten seconds with how many there
 * were since; attempts at nothing in particular are heard once a second.
 */
import type { FromDataplane } from "../api/index.js";
import { LineLimiter, type Milliseconds } from "../base/index.js";
import type { Context } from "./context.js";

const REPEAT_MS = 10_000;
/** Destinations remembered; those of a catalog whose addresses move on are forgotten all at once. */
const DESTINATIONS_MAX = 1_000;
const SCANS_PER_SECOND = 1;
const BURST_SCANS = 10;

type Denied = Extract<FromDataplane, { type: "denied" }>;

/** Attempts by why they were refused; `status --verbose` and /metrics show them as `policy.…`. */
export class DenialCounters {
  /** The service is there, and this device may not reach it. */
  notAllowed = 0;
  /** Nothing that anybody could be granted: a port scan, or a catalog that has moved on. */
  noSuchService = 0;
}

/** One for each party whose attempts shall not hide those of another. */
export class Denials {
  private readonly context: Context;
  private readonly counters: DenialCounters;
  private readonly limiter: LineLimiter;
  private readonly told = new Map<string, { at: Milliseconds; omitted: number }>();

  constructor(context: Context, counters: DenialCounters, now: Milliseconds) {
    this.context = context;
    this.counters = counters;
    this.limiter = new LineLimiter(SCANS_PER_SECOND, BURST_SCANS, now);
  }

  /** @param attempt `name` is the service's, when it is one */
  denied(attempt: Omit<Denied, "type" | "omitted">, now: Milliseconds): void {
    this.counters[attempt.name === undefined ? "noSuchService" : "notAllowed"]++;
    const omitted = attempt.name === undefined ? this.scan(now) : this.repeated(attempt, now);
    if (omitted !== null) this.context.tell({ type: "denied", ...attempt, omitted });
  }

  /** How many of these were not told before; null when this one is not to be either. */
  private scan(now: Milliseconds): number | null {
    return this.limiter.allow(now) ? this.limiter.takeRefused() : null;
  }

  private repeated(
    { protocol, destination }: Pick<Denied, "protocol" | "destination">,
    now: Milliseconds,
  ): number | null {
    const key = `${protocol} ${destination}`;
    const before = this.told.get(key);
    if (before !== undefined && now - before.at < REPEAT_MS) {
      before.omitted++;
      return null;
    }
    if (this.told.size >= DESTINATIONS_MAX) this.told.clear();
    this.told.set(key, { at: now, omitted: 0 });
    return before?.omitted ?? 0;
  }
}
