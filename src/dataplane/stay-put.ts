/**
 * Keeps the thread that carries packets on its processor while it is busy there.
 *
 * A data plane in a transfer sleeps and wakes thousands of times a second, and at each time Linux places it anew: often
 * beside whoever woke it, where the two take turns although another processor is free, and cold in its caches after each
 * move. So a busy thread stays where it is, and now and then lets go for a moment, so that Linux can move it to a better
 * one. It is free whenever it has little to do, and as soon as it gets little done, since others want that processor too.
 */
import { type Milliseconds, NEVER } from "../base/index.js";
import type { Placement } from "../linux/index.js";
import type { Machine } from "./loop.js";

/** A few of the scheduler's ticks, in which it balances the processors' load. */
const LOOK_EVERY_MS: Milliseconds = 20;
/** Of the time since the last look. Many small packets take less; who lingers (linger.ts) is busy all the time, and stays too. */
const BUSY_SHARE = 0.6;
/** Then it lets go until the next look. */
const HOLD_MS: Milliseconds = 2_000;

export class StayPut implements Machine {
  private readonly placement: Placement;
  private readonly cpuMs: () => Milliseconds;
  private lookedAt: Milliseconds = 0;
  private lookedAtCpuMs: Milliseconds;
  private held = false;
  private heldSince: Milliseconds = 0;

  /** @param cpuMs how long the thread has been on a processor */
  constructor(placement: Placement, cpuMs: () => Milliseconds) {
    this.placement = placement;
    this.cpuMs = cpuMs;
    this.lookedAtCpuMs = cpuMs();
  }

  poll(now: Milliseconds): void {
    this.look(now);
  }

  flush(now: Milliseconds): void {
    if (now - this.lookedAt >= LOOK_EVERY_MS) this.look(now);
  }

  /** A loop that goes to sleep is woken to let go. */
  pollAt(): Milliseconds {
    return this.held ? this.lookedAt + LOOK_EVERY_MS : NEVER;
  }

  private look(now: Milliseconds): void {
    const cpuMs = this.cpuMs();
    const busy = cpuMs - this.lookedAtCpuMs > (now - this.lookedAt) * BUSY_SHARE;
    this.lookedAt = now;
    this.lookedAtCpuMs = cpuMs;
    if (!this.held) {
      this.held = busy && this.placement.hold();
      this.heldSince = now;
    } else if (!busy || now - this.heldSince >= HOLD_MS) {
      this.placement.letGo();
      this.held = false;
    }
  }
}
