/** What the parts of one data plane process share. */

import type { FromDataplane } from "../api/index.js";
import { type Arena, type BlockPool, type Milliseconds, NEVER, Ring } from "../base/index.js";
import type { DialLimit } from "./dial-limit.js";
import type { KernelStream } from "./kernel-stream.js";
import type { Loop, Machine } from "./loop.js";

export interface Context {
  readonly arena: Arena;
  readonly pool: BlockPool;
  readonly loop: Loop;
  readonly streams: StreamQueue;
  readonly dials: DialLimit;
  /** Arena offset of one endpoint record for the call at hand. */
  readonly scratchEndpoint: number;
  /** Arena offset of 64 KiB for one datagram at hand. */
  readonly scratchDatagram: number;
  /** Tells the control process; never blocks. */
  readonly tell: (message: FromDataplane) => void;
}

/** First window of a stream direction; the stacks raise it towards the pool's largest block as they measure. */
export const INITIAL_RING_BYTES: number = 256 * 1024;

export function newRing(context: Context): Ring {
  return new Ring(context.arena, context.pool, INITIAL_RING_BYTES);
}

/** Most bytes read from kernel sockets per turn, so that fast senders cannot starve the rest of the loop. */
export const TURN_READ_BYTES: number = 256 * 1024;

/** How soon a stream asks again for ring memory that the pool did not have. */
const STARVED_RETRY_MS = 20;

/** Kernel streams that have something to read or write this turn. */
export class StreamQueue implements Machine {
  /** The first `count` of them. The arrays keep their length: one that shrinks gives its room back, every turn. */
  private current: (KernelStream | null)[] = [];
  private next: (KernelStream | null)[] = [];
  private count = 0;
  private starved: KernelStream[] = [];
  private retryAt: Milliseconds = NEVER;

  push(stream: KernelStream): void {
    this.current[this.count++] = stream;
  }

  /** Nobody tells when the pool has memory again, so these streams ask. */
  starve(stream: KernelStream, now: Milliseconds): void {
    this.starved.push(stream);
    if (this.retryAt === NEVER) this.retryAt = now + STARVED_RETRY_MS;
  }

  poll(now: Milliseconds): void {
    if (this.retryAt > now) return;
    this.retryAt = NEVER;
    for (const stream of this.starved) this.push(stream);
    this.starved = [];
  }

  /**
   * Serves streams until the turn's share is read; the others are first in the next turn. One stream's bytes are sealed
   * and sent while they are in the cache, and not after those of all others were read.
   */
  flush(_now: Milliseconds): void {
    const { count, current: batch, next: queued } = this;
    this.current = queued;
    this.count = 0;
    let served = 0;
    for (let bytes = 0; served < count && bytes < TURN_READ_BYTES; served++) {
      bytes += (batch[served] as KernelStream).service();
    }
    const left = count - served;
    const again = this.count;
    batch.copyWithin(0, served, count);
    for (let i = 0; i < again; i++) batch[left + i] = queued[i] as KernelStream;
    // What is left behind would keep closed streams alive.
    queued.fill(null, 0, again);
    batch.fill(null, left + again, Math.max(count, left + again));
    this.current = batch;
    this.next = queued;
    this.count = left + again;
  }

  pollAt(): Milliseconds {
    return this.count > 0 ? 0 : this.retryAt;
  }
}
