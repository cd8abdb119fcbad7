/**
 * Giving up what a process no longer needs, and knowing what it has.
 *
 * Linux keeps credentials per *thread*. glibc's setuid family (which Node calls) changes all threads together,
 * but capset and prctl change the calling one only. Node has other threads by then: V8's workers and libuv's
 * pool. So:
 *  - When the user changes away from root, setuid clears the capabilities of every thread. This is the way.
 *  - When it cannot (the target is not mapped into our user namespace), only this thread, which runs all of
 *    the JavaScript, and the threads that it starts later lose theirs. `capableThreads` says how many keep some;
 *    a namespace's own root has power over that namespace alone.
 *  - The bounding set and no_new_privs are likewise per thread; a process that this thread starts gets them.
 */
import { readdirSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { systemError } from "./errors.js";
import { EINVAL, libc, scratch, scratchAddress, settle } from "./ffi.js";

const PR_SET_PDEATHSIG = 1;
const PR_GET_PDEATHSIG = 2;
const PR_SET_DUMPABLE = 4;
const PR_CAPBSET_DROP = 24;
const PR_SET_NO_NEW_PRIVS = 38;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_CLEAR_ALL = 4;
const LINUX_CAPABILITY_VERSION_3 = 0x20080522;
const CAP_NET_ADMIN = 12n;

export interface User {
  uid: number;
  gid: number;
}

export interface DroppedPrivileges {
  /** The process runs as the user that was asked for. */
  userChanged: boolean;
  /** Threads of this process that still have capabilities; 0 after a change of user. */
  capableThreads: number;
}

/**
 * Leaves root for good: groups, group, user (when given and mapped into this user namespace), then all
 * capabilities, and forbids to gain any by exec.
 */
export function dropPrivileges(user: User | undefined): DroppedPrivileges {
  dropBoundingSet();
  // The kernel forgets the parent death signal when credentials change.
  libc.prctl(PR_GET_PDEATHSIG, scratchAddress(0, 4), 0, 0, 0);
  const deathSignal = scratch.u32[0] as number;
  const userChanged = user !== undefined && changeUser(user);
  libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  // struct __user_cap_header_struct, then two __user_cap_data_struct: effective, permitted, inheritable.
  scratch.u8.fill(0, 0, 64);
  scratch.u32[0] = LINUX_CAPABILITY_VERSION_3;
  const dropped = settle(libc.capset(scratchAddress(0, 8), scratchAddress(16, 24)));
  if (dropped < 0) throw systemError("give up capabilities", "capset", dropped);
  const sealed = settle(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  if (sealed < 0) throw systemError("give up privileges", "prctl", sealed);
  // No core dumps and no ptrace by the user's other programs: this memory holds keys.
  libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  libc.prctl(PR_SET_PDEATHSIG, deathSignal, 0, 0, 0);
  return { userChanged, capableThreads: countCapableThreads() };
}

/** Needs CAP_SETPCAP, hence before the change of user; without it there is nothing in it to lose. */
function dropBoundingSet(): void {
  for (let capability = 0; capability < 64; capability++) {
    if (settle(libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)) === -EINVAL) return;
  }
}

/** False when this process may not become `user`, being no root or `user` not being mapped. */
function changeUser(user: User): boolean {
  if (process.geteuid?.() !== 0) return false;
  if (!isMapped("/proc/self/uid_map", user.uid) || !isMapped("/proc/self/gid_map", user.gid)) return false;
  // A user namespace made without privilege forbids setgroups; its process then keeps what it had.
  if (readFileSync("/proc/self/setgroups", "latin1").trim() === "allow") process.setgroups?.([]);
  process.setgid?.(user.gid);
  process.setuid?.(user.uid);
  return true;
}

/** The id exists in this user namespace (user_namespaces(7): lines of inside, outside, count). */
function isMapped(file: string, id: number): boolean {
  return readFileSync(file, "latin1")
    .trim()
    .split("\n")
    .some(line => {
      const [inside, , count] = line.trim().split(/\s+/).map(Number);
      return inside !== undefined && count !== undefined && id >= inside && id < inside + count;
    });
}

function countCapableThreads(): number {
  let count = 0;
  for (const thread of readdirSync("/proc/self/task")) {
    try {
      if (effectiveCapabilities(`/proc/self/task/${thread}/status`) !== 0n) count++;
    } catch {
      // The thread has ended.
    }
  }
  return count;
}

function effectiveCapabilities(statusFile: string): bigint {
  const match = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync(statusFile, "latin1"));
  return BigInt(`0x${match?.[1] ?? "0"}`);
}

/** This process may configure the network of its namespace. */
export function hasNetAdmin(): boolean {
  return ((effectiveCapabilities("/proc/self/status") >> CAP_NET_ADMIN) & 1n) === 1n;
}

/**
 * Has the kernel send this process `signal` when its parent dies in any way. A parent that is gone already is
 * not noticed: the end of the inherited control socket tells.
 */
export function setParentDeathSignal(signal: NodeJS.Signals): void {
  const result = settle(libc.prctl(PR_SET_PDEATHSIG, constants.signals[signal], 0, 0, 0));
  if (result < 0) throw systemError("follow the parent process", "prctl", result);
}
