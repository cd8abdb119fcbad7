/**
 * A discrete-event world for stacks: a virtual clock, packets in flight, and the stacks that they reach.
 *
 * `run` goes from event to event: it hands every packet that is due to its stack, polls, dispatches, and moves
 * the clock to whatever comes next. Nothing sleeps, so hours of protocol time take milliseconds.
 */
import { Arena, BlockPool, type Milliseconds, NEVER } from "../../../src/base/index.js";
import type { Stack } from "../../../src/netstack/index.js";

/** What the world drives: a stack, or something that plays one. */
export type Host = Pick<Stack, "process" | "poll" | "dispatch" | "pollAt" | "connections">;

export interface Delivery {
  at: Milliseconds;
  /** Packets due at the same time arrive in the order in which they were sent. */
  order: number;
  deliver: (now: Milliseconds) => void;
}

export class World {
  now: Milliseconds;
  readonly arena: Arena;
  readonly pool: BlockPool;
  readonly stacks: Host[] = [];
  /** Called whenever everything that was due has happened. */
  onSettled: (() => void) | null = null;
  private readonly queue: Delivery[] = [];
  private order = 0;
  private readonly borrowed: { text: number; copy: Uint8Array }[] = [];

  constructor(poolBytes: number = 64 << 20, startMs: Milliseconds = 1000) {
    this.now = startMs;
    this.arena = new Arena(poolBytes + (2 << 20));
    this.pool = new BlockPool(this.arena.reserve(poolBytes), poolBytes);
  }

  /** Calls `deliver` when the clock has reached `at`. */
  schedule(at: Milliseconds, deliver: (now: Milliseconds) => void): void {
    const item: Delivery = { at, order: this.order++, deliver };
    const { queue } = this;
    let index = queue.length;
    queue.push(item);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!before(item, queue[parent] as Delivery)) break;
      queue[index] = queue[parent] as Delivery;
      index = parent;
    }
    queue[index] = item;
  }

  /** Runs until `done` says so, nothing is left to happen, or `limit` more milliseconds have gone by. */
  run(limit: Milliseconds, done: () => boolean = () => false): void {
    const end = this.now + limit;
    for (;;) {
      this.settle();
      this.onSettled?.();
      if (done()) return;
      let next = this.queue[0]?.at ?? NEVER;
      for (const stack of this.stacks) next = Math.min(next, stack.pollAt());
      if (next === NEVER) return;
      if (next > end) {
        this.now = end;
        return;
      }
      this.now = Math.max(this.now, next);
    }
  }

  /** Everything that is due now, until nothing is. */
  private settle(): void {
    for (let rounds = 0; rounds < 10_000; rounds++) {
      let worked = false;
      while (this.queue.length > 0 && (this.queue[0] as Delivery).at <= this.now) {
        this.pop().deliver(this.now);
        worked = true;
      }
      for (const stack of this.stacks) this.lend(() => stack.poll(this.now));
      // Twice: what one stack's turn does to a ring may give another one something to send.
      for (const stack of this.stacks) this.lend(() => stack.dispatch(this.now));
      for (const stack of this.stacks) this.lend(() => stack.dispatch(this.now));
      if (!worked) return;
    }
    throw new Error("the world does not settle");
  }

  /** A link was told of text that stays as it is until the stack's `dispatch` or `poll` returns. */
  borrow(text: number, bytes: number): void {
    this.borrowed.push({ text, copy: this.arena.u8.slice(text, text + bytes) });
  }

  private lend(act: () => void): void {
    act();
    for (const { text, copy } of this.borrowed) {
      const same = Buffer.compare(copy, this.arena.u8.subarray(text, text + copy.length)) === 0;
      if (!same) throw new Error(`${copy.length} bytes of text have changed before they were sent`);
    }
    this.borrowed.length = 0;
  }

  private pop(): Delivery {
    const { queue } = this;
    const top = queue[0] as Delivery;
    const last = queue.pop() as Delivery;
    if (queue.length === 0) return top;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= queue.length) break;
      if (child + 1 < queue.length && before(queue[child + 1] as Delivery, queue[child] as Delivery)) child++;
      if (!before(queue[child] as Delivery, last)) break;
      queue[index] = queue[child] as Delivery;
      index = child;
    }
    queue[index] = last;
    return top;
  }
}

function before(a: Delivery, b: Delivery): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
