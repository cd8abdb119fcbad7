/**
 * How the loop waits: where the next event comes within a fraction of a millisecond, as in requests and answers, it asks
 * again and again before it sleeps. To be woken takes longer than all that a turn does then, since an idle processor
 * has gone to sleep too; in a virtual machine that is a matter for the hypervisor.
 *
 * Between two questions everybody else may use the processor (sched_yield(2)). A thread that yields to a program that
 * computes gets its turn back milliseconds later, though, and one that sleeps at once when there is something for it: so
 * nobody lingers where the processor is wanted.
 */
import type { Milliseconds } from "../base/index.js";
import { monotonicMs, type Poller, yieldProcessor } from "../linux/index.js";
import type { Waiter } from "./loop.js";

/** Waits without lingering. */
type Sleeper = Pick<Poller, "wait">;

/** What it needs of the machine. */
export interface Processor {
  /** CLOCK_MONOTONIC. */
  now(): Milliseconds;
  /** Lets others run first. */
  yield(): void;
}

/** A wait that is over sooner is worth lingering for. */
const SHORT_MS: Milliseconds = 0.2;
/** A turn that took longer carries bulk: what it costs to be woken is little beside it, and processor time is dear. */
const LONG_TURN_MS: Milliseconds = 0.06;
/**
 * Short waits in a row after which the next is taken for one; a long wait is worth as many. Requests and answers in turns have
 * hundreds; events that come by chance, a quarter of a millisecond apart on average, have five now and then.
 */
const SHORT_ENOUGH = 12;
const MOST_SHORT: number = 2 * SHORT_ENOUGH;
/** To yield took longer: not for a request or an answer, somebody computes. */
const STALL_MS: Milliseconds = 0.1;
/** So many stalls, with few good waits between them, end the lingering for a time, which is longer if that happens again soon. */
const STALLS = 3;
/** What a good wait makes up for. */
const STALLS_FORGIVEN = 0.1;
const FIRST_PAUSE_MS: Milliseconds = 20;
const LONGEST_PAUSE_MS: Milliseconds = 2_000;

export class Linger implements Waiter {
  private readonly poller: Sleeper;
  private readonly processor: Processor;
  /** Rises with each short wait, falls with long ones. */
  private short = 0;
  /** End of the last wait; turns without one between them count as a single turn. */
  private wokeAt: Milliseconds = 0;
  private pausedUntil: Milliseconds = 0;
  private pauseMs: Milliseconds = 0;
  private stalls = 0;

  constructor(poller: Sleeper, processor: Processor = { now: monotonicMs, yield: yieldProcessor }) {
    this.poller = poller;
    this.processor = processor;
  }

  /** As `Waiter.wait`. */
  wait(timeoutMs: Milliseconds, since: Milliseconds): number {
    if (timeoutMs <= 0) return this.poller.wait(0);
    if (since - this.wokeAt > LONG_TURN_MS) this.short = 0;
    const lingers = this.short >= SHORT_ENOUGH && timeoutMs >= SHORT_MS && since >= this.pausedUntil;
    const ready = lingers ? this.linger(since, timeoutMs) : this.poller.wait(timeoutMs);
    this.wokeAt = this.processor.now();
    if (this.wokeAt - since > SHORT_MS) this.short = Math.max(0, this.short - SHORT_ENOUGH);
    else if (ready > 0) this.short = Math.min(MOST_SHORT, this.short + 1);
    return ready;
  }

  private linger(since: Milliseconds, timeoutMs: Milliseconds): number {
    const { poller, processor } = this;
    let now = since;
    while (now - since < SHORT_MS) {
      const before = now;
      processor.yield();
      const ready = poller.wait(0);
      now = processor.now();
      if (now - before > STALL_MS) this.noteStall(now);
      if (ready > 0) {
        this.stalls = Math.max(0, this.stalls - STALLS_FORGIVEN);
        return ready;
      }
    }
    return poller.wait(Math.max(0, timeoutMs - (now - since)));
  }

  private noteStall(now: Milliseconds): void {
    if (++this.stalls < STALLS) return;
    this.stalls = 0;
    const soon = now - this.pausedUntil < this.pauseMs;
    this.pauseMs = soon ? Math.min(2 * this.pauseMs, LONGEST_PAUSE_MS) : FIRST_PAUSE_MS;
    this.pausedUntil = now + this.pauseMs;
  }
}
