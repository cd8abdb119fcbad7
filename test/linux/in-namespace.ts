/**
 * Runs a test file inside a network namespace of its own, so that it may make devices and routes.
 *
 * A process cannot enter a namespace with all its threads once it runs, so the file is executed again under
 * unshare(1): as root with a new network, as anyone else with a user namespace around it.
 *
 * ```ts
 * if (enterNamespace(t, import.meta.url)) {
 *   t.test("…", …); // runs in the namespace only; `lo` is up
 * }
 * ```
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Test } from "tap";
import { setLink } from "../../src/linux/index.js";

const INSIDE = "CZCTL_TEST_NAMESPACE_OF";

/**
 * True inside the namespace. Outside it starts the run inside, as a subtest of `t`, or skips with the reason.
 * @param flags more namespaces for unshare: `["-m"]`
 */
export function enterNamespace(t: Test, moduleUrl: string, flags: readonly string[] = []): boolean {
  if (process.env[INSIDE] === moduleUrl) {
    setLink("lo", { up: true });
    return true;
  }
  const unshare = [process.getuid?.() === 0 ? "-n" : "-Urn", ...flags];
  const probe = spawnSync("unshare", [...unshare, "true"], { encoding: "utf8" });
  if (probe.status !== 0) {
    const reason = probe.error?.message ?? probe.stderr.trim();
    t.pass("in a network namespace", { skip: `unshare ${unshare.join(" ")}: ${reason}` });
    return false;
  }
  const command = [process.execPath, ...process.execArgv, fileURLToPath(moduleUrl)];
  t.spawn(
    "unshare",
    [...unshare, ...command],
    { env: { ...process.env, [INSIDE]: moduleUrl } },
    "in a network namespace",
  );
  return false;
}

/** Why no TUN device can be made even in a namespace of our own, or false. */
export function tunUnavailable(): string | false {
  try {
    accessSync("/dev/net/tun", constants.R_OK | constants.W_OK);
    return false;
  } catch (error) {
    return `no TUN device: ${(error as Error).message}`;
  }
}
