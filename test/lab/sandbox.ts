/**
 * A place where nothing that is done can touch the machine: own network, mount and process namespaces, and an
 * own user namespace when started by an ordinary user. Used by the labs, the demo and the benchmarks.
 *
 *   this program (outside) ── unshare ── sh (process 1, reaps orphans) ── this program again (inside)
 *          └──────────────── a pipe; its end tells "inside" that "outside" is gone ───────┘
 *
 * However the inside ends (return, crash, Ctrl-C, SIGKILL of any of the three), process 1 of its process
 * namespace ends with it, the kernel kills everything else in there, and devices, mounts and addresses go with
 * their namespaces. Nothing needs cleaning up, except one empty directory below the temporary directory.
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmdirSync } from "node:fs";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Says "inside" and names the work directory; set by the outside only. */
const MARKER = "CZCTL_SANDBOX_DIR";
const GOODBYE_PIPE = 3;
/** How long the inside may take to end by itself after Ctrl-C. */
const GRACE_MS = 3_000;

export interface Sandbox {
  /** A tmpfs of our own, visible to every host. */
  readonly dir: string;
  /** Aborted by Ctrl-C, SIGTERM, and when the outside is gone. */
  readonly signal: AbortSignal;
  /** Real root, as opposed to root in a user namespace that has no other user. */
  readonly root: boolean;
}

/** Runs `main` inside; its number is the exit code of the whole. `url` is the caller's `import.meta.url`. */
export async function inSandbox(url: string, main: (sandbox: Sandbox) => Promise<number>): Promise<void> {
  const dir = process.env[MARKER];
  process.exitCode = dir === undefined ? await outside(fileURLToPath(url)) : await inside(dir, main);
  // Lingering sockets of a failed run must not keep process 1 waiting.
  if (dir !== undefined) process.exit();
}

function namespaceFlags(): string[] {
  const flags = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
  return process.getuid?.() === 0 ? flags : ["--user", "--map-root-user", ...flags];
}

/** Why the sandbox cannot be made here, or undefined. */
export function sandboxObstacle(): string | undefined {
  const probe = spawnSync("unshare", [...namespaceFlags(), "true"], { encoding: "utf8" });
  if (probe.error !== undefined) return "unshare is missing: install util-linux";
  if (probe.status !== 0) {
    return `no namespaces for this user (${probe.stderr.trim()}): run as root, or allow user namespaces`;
  }
  const ip = spawnSync("ip", ["-V"]);
  return ip.error === undefined ? undefined : "ip is missing: install iproute2";
}

async function outside(script: string): Promise<number> {
  const obstacle = sandboxObstacle();
  if (obstacle !== undefined) {
    console.error(`cannot make a sandbox: ${obstacle}`);
    return 4;
  }
  const dir = mkdtempSync(join(tmpdir(), "czctl-sandbox-"));
  const node = [process.execPath, ...process.execArgv, script, ...process.argv.slice(2)];
  const mount = `mount -t tmpfs -o mode=0755 sandbox "$${MARKER}" && mount -t tmpfs -o mode=0755 run /run || exit 4`;
  // Not `exec`: the shell stays process 1 and reaps what daemons leave behind.
  const init = `${mount}; ip link set lo up; "$@"; exit $?`;
  const child = spawn("unshare", [...namespaceFlags(), "--", "sh", "-c", init, "sh", ...node], {
    stdio: ["inherit", "inherit", "inherit", "pipe"],
    env: { ...process.env, [MARKER]: dir },
  });
  const end = (): void => {
    (child.stdio[GOODBYE_PIPE] as Socket).destroy();
    setTimeout(() => child.kill("SIGKILL"), GRACE_MS).unref();
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, end);
  const code = await new Promise<number>(resolve => {
    child.once("error", () => resolve(4));
    child.once("exit", (status, signal) => resolve(status ?? (signal === null ? 1 : 130)));
  });
  try {
    rmdirSync(dir);
  } catch {
    // Somebody looks into it; the tmpfs that was mounted there is gone all the same.
  }
  return code;
}

async function inside(dir: string, main: (sandbox: Sandbox) => Promise<number>): Promise<number> {
  delete process.env[MARKER];
  const abort = new AbortController();
  const end = (): void => abort.abort(new Error("interrupted"));
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, end);
  const goodbye = new Socket({ fd: GOODBYE_PIPE, readable: true, writable: false });
  goodbye.on("close", end).on("error", end).resume().unref();
  const interrupted = new Promise<number>(resolve => {
    // A body that ignores the signal has half the grace before it is left behind.
    abort.signal.addEventListener("abort", () => setTimeout(resolve, GRACE_MS / 2, 130));
  });
  // One mapped user: a user namespace of ours, in which root is the only one there is.
  const root = Number(readFileSync("/proc/self/uid_map", "utf8").trim().split(/\s+/)[2]) > 1;
  try {
    const code = await Promise.race([main({ dir, signal: abort.signal, root }), interrupted]);
    return abort.signal.aborted ? 130 : code;
  } catch (error) {
    if (!abort.signal.aborted) console.error(error);
    return abort.signal.aborted ? 130 : 1;
  }
}
