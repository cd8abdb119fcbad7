/** How the calling thread shares its processor with others. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
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

/**
 * Limits how long this thread may compute at a stretch while others want its processor (sched_setattr(2)). The fair scheduler
 * of Linux ≥ 6.12 lets a thread that wakes with a short slice interrupt one with a long slice at once; the default, some
 * milliseconds, is what it else waits for. Everybody's share of the processor stays what it was, so this takes no privilege.
 * Returns whether the kernel took it: older ones ignore the wish, and a thread that somebody gave another policy keeps that.
 */
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

/** Lets whoever else waits for this processor run first (sched_yield(2)). */
export function yieldProcessor(): void {
  libc.schedYield();
}

/**
 * Whether a cgroup (v2) of this process has a quota of processor time (`cpu.max`; a container's CPU limit): who uses it up
 * stands still for the rest of the period.
 * @param root where `proc` and `sys` are
 */
export function hasCpuQuota(root: string = "/"): boolean {
  try {
    const [, own = ""] = /^0::(\/.*)$/m.exec(readFileSync(join(root, "proc/self/cgroup"), "utf8")) ?? [];
    for (let group = own; group !== ""; group = group === "/" ? "" : dirname(group)) {
      if (quotaOf(join(root, "sys/fs/cgroup", group, "cpu.max"))) return true;
    }
  } catch {
    // No cgroups, no quota.
  }
  return false;
}

/** "max 100000", or microseconds instead of "max". The root of all has no such file. */
function quotaOf(path: string): boolean {
  return existsSync(path) && !readFileSync(path, "utf8").startsWith("max");
}
