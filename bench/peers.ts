/** Where the peers' programs are: named by environment, built by `install-peers.mjs`, or on PATH. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The clone's root, seen from `dist/bench`. */
export const ROOT: string = fileURLToPath(new URL("../..", import.meta.url));

/** `CZCTL_BENCH_BORINGTUN_CLI=/path` names boringtun-cli. */
export function peerProgram(name: string): string {
  const named = process.env[`CZCTL_BENCH_${name.toUpperCase().replaceAll("-", "_")}`];
  const built = join(ROOT, ".cache/peers/bin", name);
  return named ?? (existsSync(built) ? built : name);
}

/** The process and everything that it started. */
export function processTree(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  return [pid, ...children.split(" ").filter(Boolean).map(Number).flatMap(processTree)];
}
