/** Processor time from /proc: the kernel's own work on behalf of a process included, interrupts not. */
import { existsSync, readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";

/** USER_HZ: 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** User and system time of the processes so far, all threads. */
export function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    // One of many that has ended meanwhile took its time with it.
    if (!existsSync(`/proc/${pid}/stat`)) continue;
    // The name before the ")" may contain anything; utime and stime are fields 14 and 15.
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / TICKS_PER_SECOND;
}

/** Since it was started, to a hundredth of a second. */
export function ageMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
  const uptimeSeconds = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);
  return (uptimeSeconds - Number(fields[19]) / TICKS_PER_SECOND) * 1000;
}

export interface Machine {
  cpu: string;
  cores: number;
  memoryGiB: number;
  kernel: string;
  node: string;
  date: string;
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

/** Of the largest of them. */
export function residentMB(pids: readonly number[]): number {
  return Math.max(...pids.map(pid => statusField(pid, "VmRSS"))) / 1000;
}
