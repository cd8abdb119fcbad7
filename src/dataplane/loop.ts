/**
 * The event loop of a data plane process.
 *
 * One turn: block in epoll until a descriptor is ready or a timer is due; let every ready source take in a
 * bounded batch; fire due timers; then let every sink put out what the turn produced. Nothing in between
 * yields, so a batch crosses TUN, stacks, WireGuard and sockets in one run, and what could not be finished
 * (a source with more to read) is carried to the next turn with a timeout of zero.
 */
import { type Milliseconds, NEVER } from "../base/index.js";
import { monotonicMs, type Poller } from "../linux/index.js";
import type { Stack } from "../netstack/index.js";

/** Something with a descriptor. */
export interface Source {
  /** The descriptor has the epoll `events`. */
  onReady(events: number, now: Milliseconds): void;
}

/** Something with timers, output, or both; asked every turn. */
export interface Machine {
  /** Due timers. */
  poll(now: Milliseconds): void;
  /** Emits what is pending, at the end of each turn. */
  flush?(now: Milliseconds): void;
  /** When `poll` is wanted next; anything ≤ now asks for another turn at once. */
  pollAt(): Milliseconds;
}

const flushes = (machine: Machine): machine is Required<Machine> => machine.flush !== undefined;

/** How the loop waits for what its poller watches: the poller itself, or `Linger`. */
export interface Waiter {
  /** As `Poller.wait`. @param now CLOCK_MONOTONIC */
  wait(timeoutMs: Milliseconds, now: Milliseconds): number;
}

/** A netstack as a machine of the loop. */
export class StackMachine implements Machine {
  private readonly stack: Stack;
  private readonly afterwards: () => void;

  /** @param afterwards told whenever the stack has sent what it had to: text that a link was to gather may change from here on */
  constructor(stack: Stack, afterwards: () => void = () => {}) {
    this.stack = stack;
    this.afterwards = afterwards;
  }

  poll(now: Milliseconds): void {
    this.stack.poll(now);
    this.afterwards();
  }

  flush(now: Milliseconds): void {
    this.stack.dispatch(now);
    this.afterwards();
  }

  pollAt(): Milliseconds {
    return this.stack.pollAt();
  }
}

export class Loop {
  readonly poller: Poller;
  private readonly waiter: Waiter;
  now: Milliseconds = monotonicMs();
  private readonly sources: (Source | undefined)[] = [];
  /** The turn in which each descriptor came in. */
  private readonly addedIn: number[] = [];
  /** Of the turn at hand. */
  turnNumber = 0;
  /** When a machine wants to be polled next, as far as was known when the turn began. */
  private nextAt: Milliseconds = 0;
  private readonly machines: Machine[] = [];
  /** Those of them that have something to do at the end of a turn. */
  private readonly flushed: Required<Machine>[] = [];
  private stopped = false;

  constructor(poller: Poller, waiter: Waiter = poller) {
    this.poller = poller;
    this.waiter = waiter;
  }

  /** 0, or −errno when the kernel does not take it. */
  add(fd: number, events: number, source: Source): number {
    const result = this.poller.add(fd, events);
    if (result < 0) return result;
    this.sources[fd] = source;
    this.addedIn[fd] = this.turnNumber;
    return 0;
  }

  modify(fd: number, events: number): void {
    this.poller.modify(fd, events);
  }

  /** Hands `fd`, watched already, to another source. */
  replace(fd: number, source: Source): void {
    this.sources[fd] = source;
  }

  /** Call before closing `fd`. */
  remove(fd: number): void {
    this.poller.remove(fd);
    this.forget(fd);
  }

  /** As `remove`, of what no other descriptor and no other process has open: closing the last one ends the watch (epoll(7)). */
  forget(fd: number): void {
    this.sources[fd] = undefined;
  }

  /** Machines are polled and flushed in the order in which they were added. */
  addMachine(machine: Machine): void {
    this.machines.push(machine);
    if (flushes(machine)) this.flushed.push(machine);
  }

  stop(): void {
    this.stopped = true;
  }

  /** Runs until `stop`. */
  run(): void {
    while (!this.stopped) this.turn();
  }

  /** One turn. @param limitMs longest time to block */
  turn(limitMs: Milliseconds = NEVER): void {
    this.nextAt = this.earliest();
    const since = monotonicMs();
    const ready = this.waiter.wait(Math.min(Math.max(0, this.nextAt - since), limitMs), since);
    const now = monotonicMs();
    this.now = now;
    this.turnNumber++;
    for (let i = 0; i < ready; i++) {
      const fd = this.poller.fdAt(i);
      // An earlier source of this turn may have closed the descriptor, and its number may already be somebody
      // else's: the event is the old one's.
      if (this.addedIn[fd] !== this.turnNumber) this.sources[fd]?.onReady(this.poller.eventsAt(i), now);
    }
    const machines = this.machines;
    // What the sources have just made due has a turn of its own at once.
    if (this.nextAt <= now) {
      for (let i = 0; i < machines.length; i++) {
        const machine = machines[i] as Machine;
        if (machine.pollAt() <= now) machine.poll(now);
      }
    }
    for (let i = 0; i < this.flushed.length; i++) (this.flushed[i] as Required<Machine>).flush(now);
  }

  private earliest(): Milliseconds {
    let next = NEVER;
    for (let i = 0; i < this.machines.length; i++) {
      const at = (this.machines[i] as Machine).pollAt();
      if (at < next) next = at;
    }
    return next;
  }
}
