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
export const TURN_READ_BYTES: number = 512 * 1024;

/** How soon a stream asks again for ring memory that the pool did not have. */
const STARVED_RETRY_MS = 20;

/** Kernel streams that have something to read or write this turn. */
export class StreamQueue implements Machine {
  private current: KernelStream[] = [];
  private next: KernelStream[] = [];
  private starved: KernelStream[] = [];
  private retryAt: Milliseconds = NEVER;

  push(stream: KernelStream): void {
    this.current.push(stream);
  }

  /** Nobody tells when the pool has memory again, so these streams ask. */
  starve(stream: KernelStream, now: Milliseconds): void {
    this.starved.push(stream);
    if (this.retryAt === NEVER) this.retryAt = now + STARVED_RETRY_MS;
  }

  poll(now: Milliseconds): void {
    if (this.retryAt > now) return;
    this.retryAt = NEVER;
    this.current.push(...this.starved);
    this.starved = [];
  }

  /**
   * Serves streams until the turn's share is read; the others are first in the next turn. One stream's bytes are sealed
   * and sent while they are in the cache, and not after those of all others were read.
   */
  flush(_now: Milliseconds): void {
    const batch = this.current;
    this.current = this.next;
    let served = 0;
    for (let bytes = 0; served < batch.length && bytes < TURN_READ_BYTES; served++) {
      bytes += (batch[served] as KernelStream).service();
    }
    batch.copyWithin(0, served);
    batch.length -= served;
    for (let i = 0; i < this.current.length; i++) batch.push(this.current[i] as KernelStream);
    this.current.length = 0;
    this.next = this.current;
    this.current = batch;
  }

  pollAt(): Milliseconds {
    return this.current.length > 0 ? 0 : this.retryAt;
  }
}
