/** Processor time from /proc: the kernel's own work on behalf of a process included, interrupts not. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { ROOT } from "./peers.js";

/** USER_HZ: 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** What one process has used so far, or per 10⁹ bytes: seconds of its own code, of the kernel for it, and how often it was taken off its core. */
export interface Usage {
  user: number;
  system: number;
  switches: number;
}

/** All threads. */
export function usage(pid: number): Usage {
  // One of many that has ended meanwhile took its time with it.
  if (!existsSync(`/proc/${pid}/stat`)) return { user: 0, system: 0, switches: 0 };
  // The name before the ")" may contain anything; utime and stime are fields 14 and 15.
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
  const counts = readFileSync(`/proc/${pid}/status`, "utf8").matchAll(/_ctxt_switches:\s+(\d+)/g);
  return {
    user: Number(fields[11]) / TICKS_PER_SECOND,
    system: Number(fields[12]) / TICKS_PER_SECOND,
    switches: [...counts].reduce((sum, [, count]) => sum + Number(count), 0),
  };
}

/** User and system time of the processes so far. */
export function cpuSeconds(pids: readonly number[]): number {
  return pids.map(usage).reduce((sum, { user, system }) => sum + user + system, 0);
}

/** Since it was started, to a hundredth of a second. */
export function ageMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
  const uptimeSeconds = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);
  return (uptimeSeconds - Number(fields[19]) / TICKS_PER_SECOND) * 1000;
}

/**
 * Processor time so far: everybody's on this machine, and that of the processes that can be seen from here, which in a
 * sandbox are its own; those that have ended are in their parents' sums.
 */
function machineSeconds(): { all: number; own: number } {
  const [user = 0, nice = 0, system = 0] = (readFileSync("/proc/stat", "utf8").split("\n")[0] ?? "")
    .split(/\s+/)
    .slice(1)
    .map(Number);
  let own = 0;
  for (const pid of readdirSync("/proc").filter(name => /^\d+$/.test(name))) {
    try {
      const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
      for (const at of [11, 12, 13, 14]) own += Number(fields[at]);
    } catch {
      // It has ended since it was listed.
    }
  }
  return { all: (user + nice + system) / TICKS_PER_SECOND, own: own / TICKS_PER_SECOND };
}

/**
 * Starts watching; the function that it returns says what share of the machine programs outside of the sandbox have had
 * since. What they take is not missed by all contenders alike: many threads get more of the rest than few.
 */
export function watchOthers(): () => number {
  const [before, start] = [machineSeconds(), performance.now()];
  return () => {
    const after = machineSeconds();
    const seconds = ((performance.now() - start) / 1000) * cpus().length;
    return Math.max(0, (after.all - before.all - (after.own - before.own)) / seconds);
  };
}

export interface Machine {
  cpu: string;
  cores: number;
  memoryGiB: number;
  kernel: string;
  node: string;
  date: string;
}

/** Of the clone that runs; "+" when files of it differ. Empty where there is no git. */
export function describeCommit(): string {
  const git = ["describe", "--always", "--exclude=*", "--dirty=+"];
  return spawnSync("git", git, { cwd: ROOT, encoding: "utf8" }).stdout?.trim() ?? "";
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    date: new Date().toISOString(),
  };
}

/** A number of `/proc/PID/status`. */
export function statusField(pid: number, name: string): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1]);
}

export function residentMB(pid: number): number {
  return statusField(pid, "VmRSS") / 1000;
}
