/** What the parts of one data plane process share. */

import type { FromDataplane } from "../api/index.js";
import { type Arena, type BlockPool, Ring } from "../base/index.js";
import type { DialLimit } from "./dial-limit.js";
import type { Loop } from "./loop.js";
import type { StreamQueue } from "./stream-queue.js";

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
