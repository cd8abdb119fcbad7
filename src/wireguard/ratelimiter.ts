/**
 * Limits on handshake work (paper §5.3): a token bucket, and a table of them per source address.
 *
 * IPv4 sources count by address, IPv6 sources by /64, as one host has all of it.
 */
import { type Arena, type Milliseconds, NEVER, type Random } from "../base/index.js";

/** As the kernel's implementation: 20 handshakes a second and 5 at once. */
const PER_SOURCE_RATE = 20;
const PER_SOURCE_BURST = 5;
/** Fixed, so that no flood grows it: sources beyond are refused while all slots in reach are busy. */
const SLOTS = 8192;
const REACH = 8;

export class TokenBucket {
  private readonly perMs: number;
  private readonly burst: number;
  private tokens: number;
  private last: Milliseconds = -NEVER;

  constructor(perSecond: number, burst: number) {
    this.perMs = perSecond / 1000;
    this.burst = burst;
    this.tokens = burst;
  }

  take(now: Milliseconds): boolean {
    this.tokens = Math.min(this.burst, this.tokens + (now - this.last) * this.perMs);
    this.last = now;
    if (this.tokens < 1) return false;
    this.tokens--;
    return true;
  }
}

/** Token buckets by source, kept as the time at which each will be full again. */
export class SourceLimiter {
  private readonly arena: Arena;
  private readonly seed: number;
  private readonly high: Int32Array = new Int32Array(SLOTS);
  private readonly low: Int32Array = new Int32Array(SLOTS);
  private readonly fullAt: Float64Array = new Float64Array(SLOTS).fill(-NEVER);

  constructor(arena: Arena, random: Random) {
    this.arena = arena;
    this.seed = random.uint32();
  }

  /** @param source arena offset of an endpoint record */
  allow(source: number, now: Milliseconds): boolean {
    const { u8, view } = this.arena;
    const isV6 = u8[source] === 6;
    const high = view.getInt32(source + 4);
    // IPv4 sources take ::/32 of the keys, which no IPv6 source has.
    const low = isV6 ? view.getInt32(source + 8) : 0;
    return this.take(this.slot(isV6 ? high : 0, isV6 ? low : high, now), now);
  }

  private take(slot: number, now: Milliseconds): boolean {
    const perTokenMs = 1000 / PER_SOURCE_RATE;
    if (slot === -1) return false;
    const fullAt = Math.max(this.fullAt[slot] as number, now) + perTokenMs;
    if (fullAt > now + PER_SOURCE_BURST * perTokenMs) return false;
    this.fullAt[slot] = fullAt;
    return true;
  }

  /** The source's slot, a free one (whose bucket is full) that becomes its own, or -1. */
  private slot(high: number, low: number, now: Milliseconds): number {
    let hash = Math.imul(high ^ this.seed, 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13) ^ low, 0xc2b2ae35);
    const home = hash ^ (hash >>> 16);
    let free = -1;
    for (let i = 0; i < REACH; i++) {
      const slot = (home + i) & (SLOTS - 1);
      if ((this.fullAt[slot] as number) <= now) {
        if (free === -1) free = slot;
      } else if (this.high[slot] === high && this.low[slot] === low) {
        return slot;
      }
    }
    if (free !== -1) {
      this.high[free] = high;
      this.low[free] = low;
    }
    return free;
  }
}
