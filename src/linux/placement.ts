/**
 * Where the calling thread runs (sched_setaffinity(2)). Other threads of the process are not touched.
 *
 * A thread is held only while it may run on every processor of the machine, for that can be given back exactly: "all",
 * whatever a cpuset becomes in the meantime. Whoever narrowed it (taskset, a cpuset) knows better, and is left alone.
 */
import { readFileSync } from "node:fs";
import { libc, scratch, scratchAddress } from "./ffi.js";

/** A set of 8192 processors, Linux's limit: sched_getaffinity refuses less room than the machine has processors. */
const SET_BYTES = 1024;

export interface Placement {
  /** Keeps the thread on the processor that it runs on. False when it is not ours to decide. */
  hold(): boolean;
  letGo(): void;
}

/** Of the thread that calls; to be used by no other. */
export class ThreadPlacement implements Placement {
  private readonly processors: number = onlineProcessors();
  private held = 0;

  hold(): boolean {
    if (this.processors < 2 || this.allowed() !== this.processors) return false;
    this.held = libc.schedGetcpu();
    scratch.u8.fill(0, 0, SET_BYTES);
    scratch.u8[this.held >> 3] = 1 << (this.held & 7);
    return libc.schedSetaffinity(0, SET_BYTES, scratchAddress(0, SET_BYTES)) === 0;
  }

  letGo(): void {
    // Any other set than that of `hold` is somebody else's will.
    if (this.allowed() !== 1 || scratch.u8[this.held >> 3] !== 1 << (this.held & 7)) return;
    scratch.u8.fill(0xff, 0, SET_BYTES);
    libc.schedSetaffinity(0, SET_BYTES, scratchAddress(0, SET_BYTES));
  }

  /** How many processors the thread may run on; the set is left in `scratch`. */
  private allowed(): number {
    scratch.u8.fill(0, 0, SET_BYTES);
    if (libc.schedGetaffinity(0, SET_BYTES, scratchAddress(0, SET_BYTES)) !== 0) return -1;
    let count = 0;
    for (let i = 0; i < SET_BYTES; i++) {
      for (let bits = scratch.u8[i] as number; bits !== 0; bits &= bits - 1) count++;
    }
    return count;
  }
}

/** "0-3,6": five. */
function onlineProcessors(): number {
  try {
    return readFileSync("/sys/devices/system/cpu/online", "utf8")
      .split(",")
      .map(range => range.split("-").map(Number))
      .reduce((sum, [first = 0, last = first]) => sum + last - first + 1, 0);
  } catch {
    return 0;
  }
}
