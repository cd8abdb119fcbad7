/** Kernel streams that have something to read or write this turn. */
import { type Milliseconds, NEVER } from "../base/index.js";
import type { KernelStream } from "./kernel-stream.js";
import type { Machine } from "./loop.js";

/** Most bytes read from kernel sockets per turn, so that fast senders cannot starve the rest of the loop. */
export const TURN_READ_BYTES: number = 256 * 1024;

/** How soon a stream asks again for ring memory that the pool did not have. */
const STARVED_RETRY_MS = 20;

/** Streams in the order in which they are served. */
class Lane {
  count = 0;
  /** The first `count` of them. The arrays keep their length: one that shrinks gives its room back, every turn. */
  private current: (KernelStream | null)[] = [];
  private next: (KernelStream | null)[] = [];

  push(stream: KernelStream): void {
    this.current[this.count++] = stream;
  }

  /**
   * Serves those that are here by now, until they have read `share` bytes; the others are first the next time. One stream's
   * bytes are sealed and sent while they are in the cache, and not after those of all others were read.
   * @param bulk for those that are brief no more
   * @returns how many bytes were read
   */
  serve(share: number, bulk: Lane | null): number {
    const { count, current: batch, next: queued } = this;
    if (count === 0) return 0;
    this.current = queued;
    this.count = 0;
    let served = 0;
    let bytes = 0;
    for (; served < count && bytes < share; served++) {
      const stream = batch[served] as KernelStream;
      if (bulk === null || stream.isBrief) bytes += stream.service();
      else bulk.push(stream);
    }
    const left = count - served;
    const again = this.count;
    // Most of the time they are one or two, for which an array's own methods take longer.
    if (served > 0) for (let i = 0; i < left; i++) batch[i] = batch[served + i] as KernelStream;
    // What is left behind would keep closed streams alive.
    for (let i = 0; i < again; i++) {
      batch[left + i] = queued[i] as KernelStream;
      queued[i] = null;
    }
    for (let i = left + again; i < count; i++) batch[i] = null;
    this.current = batch;
    this.next = queued;
    this.count = left + again;
    return bytes;
  }
}

/** Streams that say little go first: an answer of a few bytes does not wait until eight downloads have had their turn. */
export class StreamQueue implements Machine {
  private readonly brief: Lane = new Lane();
  private readonly bulk: Lane = new Lane();
  private starved: KernelStream[] = [];
  private retryAt: Milliseconds = NEVER;

  push(stream: KernelStream): void {
    const lane = stream.isBrief ? this.brief : this.bulk;
    lane.push(stream);
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

  flush(_now: Milliseconds): void {
    const bytes = this.brief.serve(TURN_READ_BYTES, this.bulk);
    // One at least, or many that say little would keep a download waiting for ever.
    this.bulk.serve(Math.max(1, TURN_READ_BYTES - bytes), null);
  }

  pollAt(): Milliseconds {
    return this.brief.count + this.bulk.count > 0 ? 0 : this.retryAt;
  }
}
