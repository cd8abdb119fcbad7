/**
 * The real systemd-resolved on a host of a lab: unpacked by `scripts/system-packages.mjs`, with a bus of its own
 * in the host's private `/run`, and `/etc/resolv.conf` as on a machine that has it installed.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Host } from "./host.js";
import { eventually, type Program } from "./program.js";

/** The clone's root, seen from `dist/test/lab`. */
const FILES = fileURLToPath(new URL("../../../.cache/resolved", import.meta.url));
const LIBRARIES = [
  "usr/lib/x86_64-linux-gnu",
  "usr/lib/x86_64-linux-gnu/systemd",
  "usr/lib/aarch64-linux-gnu",
];
const ENV = {
  LD_LIBRARY_PATH: LIBRARIES.map(path => join(FILES, path)).join(":"),
  SYSTEMD_LOG_LEVEL: "info",
};
/** Both drop to users that the machine does not have. */
const USERS = "systemd-resolve:x:990:990::/:/usr/sbin/nologin\nmessagebus:x:991:991::/:/usr/sbin/nologin\n";
const GROUPS = "systemd-resolve:x:990:\nmessagebus:x:991:\n";
const SET_UP = `
set -e
mount --bind passwd /etc/passwd
mount --bind group /etc/group
mkdir -p /run/dbus /run/systemd/resolve
chown systemd-resolve:systemd-resolve /run/systemd/resolve
`;

/** A program of the unpacked packages; its absence makes a check skip. */
export const RESOLVECTL: string = join(FILES, "usr/bin/resolvectl");

export class SystemdResolved {
  readonly #host: Host;
  #daemon: Program | undefined;

  private constructor(host: Host) {
    this.#host = host;
  }

  static async start(host: Host): Promise<SystemdResolved> {
    for (const [file, added] of [
      ["passwd", USERS],
      ["group", GROUPS],
    ] as const) {
      writeFileSync(join(host.dir, file), readFileSync(`/etc/${file}`, "utf8") + added);
    }
    await host.run("sh", ["-c", SET_UP]);
    const resolved = new SystemdResolved(host);
    await resolved.#startBus();
    await resolved.startDaemon();
    // Each program that asks DNS asks resolved's stub.
    host.writeEtc("resolv.conf", "nameserver 127.0.0.53\noptions edns0 trust-ad\n");
    return resolved;
  }

  async #startBus(): Promise<void> {
    const { dir } = this.#host;
    const config = join(dir, "system.conf");
    const services = join(FILES, "usr/share/dbus-1/system.d");
    const text = readFileSync(join(FILES, "usr/share/dbus-1/system.conf"), "utf8")
      .replace("<includedir>system.d</includedir>", `<includedir>${services}</includedir>`)
      .replace(/<(fork|syslog)\/>/g, "");
    writeFileSync(config, text);
    this.#host.spawn(
      join(FILES, "usr/bin/dbus-daemon"),
      ["--nofork", "--nopidfile", `--config-file=${config}`],
      { env: ENV },
    );
    const socket = this.#host.outside("/run/dbus/system_bus_socket");
    await eventually("the bus", () => {
      if (!existsSync(socket)) throw new Error("no socket");
    });
  }

  async startDaemon(): Promise<void> {
    const path = ["lib/systemd/systemd-resolved", "usr/lib/systemd/systemd-resolved"]
      .map(name => join(FILES, name))
      .find(existsSync);
    this.#daemon = this.#host.spawn(path as string, [], { env: ENV });
    await eventually("systemd-resolved", () => this.ctl("status"), 10_000);
  }

  async stopDaemon(): Promise<void> {
    await this.#daemon?.stop();
  }

  /** `resolvectl`. Throws when it fails. */
  ctl(...args: string[]): Promise<string> {
    return this.#host.run(RESOLVECTL, ["--no-pager", ...args], { env: ENV });
  }
}
