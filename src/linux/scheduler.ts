/**
 * How long this thread may compute at a stretch while others want its processor (sched_setattr(2)).
 *
 * The fair scheduler of Linux ≥ 6.12 lets a thread that wakes with a short slice interrupt one with a long slice at once;
 * the default, some milliseconds, is what it else waits for. Everybody's share of the processor stays what it was, so
 * this takes no privilege. Older kernels ignore the wish.
 */
import { libc, scratch, scratchAddress, settle } from "./ffi.js";

/** sched_setattr and sched_getattr, for which glibc has names since 2.41 only. */
const SYSTEM_CALLS: Partial<Record<NodeJS.Architecture, readonly [set: number, get: number]>> = {
  x64: [314, 315],
  arm64: [274, 275],
};
/** `struct sched_attr`, first version; words of it: policy, and low and high half of the runtime in nanoseconds. */
const ATTRIBUTE_BYTES = 48;
const POLICY_WORD = 1;
const RUNTIME_WORD = 6;
const SCHED_OTHER = 0;
/** The shortest that the kernel takes. */
const SLICE_NS = 100_000;

/** For the calling thread. Returns whether the kernel took it; a thread that somebody gave another policy keeps that. */
export function askForShortSlice(): boolean {
  const calls = SYSTEM_CALLS[process.arch];
  if (calls === undefined) return false;
  const [set, get] = calls;
  const address = scratchAddress(0, ATTRIBUTE_BYTES);
  scratch.u8.fill(0, 0, ATTRIBUTE_BYTES);
  if (settle(libc.syscall(get, 0, address, ATTRIBUTE_BYTES, 0)) < 0) return false;
  if (scratch.u32[POLICY_WORD] !== SCHED_OTHER) return false;
  scratch.u32[RUNTIME_WORD] = SLICE_NS;
  scratch.u32[RUNTIME_WORD + 1] = 0;
  return settle(libc.syscall(set, 0, address, 0, 0)) === 0;
}
