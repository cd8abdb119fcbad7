/** The clocks of this machine, for the outer rooms; the pure rooms are given their readings. */
// The global one is looked up at each use, a third of what it takes.
import { performance } from "node:perf_hooks";
import type { Milliseconds } from "../base/index.js";
import { libc, scratch, scratchAddress } from "./ffi.js";

const CLOCK_THREAD_CPUTIME_ID = 3;
const CLOCK_BOOTTIME = 7;

/** CLOCK_MONOTONIC since the start of the process: stands still while the machine is suspended. */
export function monotonicMs(): Milliseconds {
  return performance.now();
}

/**
 * CLOCK_BOOTTIME: goes on while the machine is suspended, so `boottimeMs() - monotonicMs()` jumps by the
 * length of a suspension.
 */
export function boottimeMs(): Milliseconds {
  return readClock(CLOCK_BOOTTIME);
}

/** CLOCK_THREAD_CPUTIME_ID: how long the calling thread has been on a processor. */
export function threadCpuMs(): Milliseconds {
  return readClock(CLOCK_THREAD_CPUTIME_ID);
}

function readClock(clock: number): Milliseconds {
  libc.clockGettime(clock, scratchAddress(0, 16));
  return (scratch.u32[0] as number) * 1000 + (scratch.u32[2] as number) / 1e6;
}
