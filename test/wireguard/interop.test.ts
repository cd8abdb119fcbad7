/**
 * Our device against Debian's wireguard-go, each in a network namespace of its own.
 *
 * ```
 *   namespace A                              namespace B
 *   our device (interop-pump.ts)             wireguard-go ── TUN 10.77.0.2 ── kernel (answers and sends pings)
 *   inner 10.77.0.1                              │
 *        └── veth 192.168.77.1 ───────────── veth 192.168.77.2
 * ```
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import t from "tap";
import type { PumpConfig } from "./interop-pump.js";

const PUMP = fileURLToPath(new URL("./interop-pump.js", import.meta.url));
const WAIT_MS = 15_000;
const OURS = `czwa${process.pid}`;
const THEIRS = `czwb${process.pid}`;
const INTERFACE = `czwg${process.pid}`;

function missing(): string | false {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "needs root on Linux";
  for (const program of ["wireguard-go", "wg", "ip", "ping"]) {
    try {
      execFileSync("sh", ["-c", `command -v ${program}`], { stdio: "ignore" });
    } catch {
      return `${program} is not installed`;
    }
  }
  return false;
}

const run = (program: string, ...args: string[]): string => execFileSync(program, args, { encoding: "utf8" });
const inTheirs = (...args: string[]): string => run("ip", "netns", "exec", THEIRS, ...args);

interface PumpEvent {
  event: string;
  [field: string]: unknown;
}

class Pump {
  readonly seen: PumpEvent[] = [];
  private readonly child: ChildProcess;
  private waiting: (() => void) | null = null;

  constructor(config: PumpConfig) {
    const args = ["netns", "exec", OURS, process.execPath, PUMP, JSON.stringify(config)];
    this.child = spawn("ip", args, { stdio: ["pipe", "pipe", "inherit"] });
    createInterface(this.child.stdout as NodeJS.ReadableStream).on("line", line => {
      this.seen.push(JSON.parse(line) as PumpEvent);
      this.waiting?.();
    });
  }

  tell(command: Record<string, unknown>): void {
    this.child.stdin?.write(`${JSON.stringify(command)}\n`);
  }

  /** The first event of that name, once it is there. */
  event(name: string, matches: (event: PumpEvent) => boolean = () => true): Promise<PumpEvent> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`no ${name} in ${WAIT_MS} ms: ${JSON.stringify(this.seen)}`)),
        WAIT_MS,
      );
      const look = (): void => {
        const found = this.seen.find(event => event.event === name && matches(event));
        if (found === undefined) return;
        clearTimeout(timer);
        this.waiting = null;
        resolve(found);
      };
      this.waiting = look;
      look();
    });
  }

  async stop(): Promise<PumpEvent> {
    this.tell({ stop: true });
    return await this.event("stopped");
  }

  kill(): void {
    this.child.kill("SIGKILL");
  }
}

t.test("wireguard-go", { skip: missing() }, async t => {
  const directory = mkdtempSync(join(tmpdir(), "czctl-interop-"));
  const children: { kill(): void }[] = [];
  t.teardown(() => {
    for (const child of children) child.kill();
    for (const namespace of [OURS, THEIRS]) {
      try {
        run("ip", "netns", "delete", namespace);
      } catch {
        // It was not made.
      }
    }
    rmSync(`/var/run/wireguard/${INTERFACE}.sock`, { force: true });
    rmSync(directory, { recursive: true });
  });

  for (const namespace of [OURS, THEIRS]) run("ip", "netns", "add", namespace);
  run("ip", "link", "add", "czv0", "netns", OURS, "type", "veth", "peer", "name", "czv1", "netns", THEIRS);
  const ends = [
    [OURS, "czv0", "192.168.77.1/24"],
    [THEIRS, "czv1", "192.168.77.2/24"],
  ] as const;
  for (const [namespace, link, address] of ends) {
    run("ip", "-n", namespace, "address", "add", address, "dev", link);
    run("ip", "-n", namespace, "link", "set", link, "up");
    run("ip", "-n", namespace, "link", "set", "lo", "up");
  }
  const go = spawn("ip", ["netns", "exec", THEIRS, "wireguard-go", "-f", INTERFACE], { stdio: "ignore" });
  children.push({ kill: () => go.kill("SIGTERM") });
  for (let i = 0; ; i++) {
    try {
      execFileSync("ip", ["netns", "exec", THEIRS, "wg", "show", INTERFACE], { stdio: "ignore" });
      break;
    } catch (error) {
      if (i === 100) throw error;
      await new Promise(resolve => setTimeout(resolve, 50));
    }
  }

  const secret = (): string => run("wg", "genkey").trim();
  const publicOf = (key: string): string =>
    execFileSync("wg", ["pubkey"], { input: key, encoding: "utf8" }).trim();
  const file = (name: string, content: string): string => {
    writeFileSync(join(directory, name), content);
    return join(directory, name);
  };
  const theirKey = secret();
  inTheirs("wg", "set", INTERFACE, "private-key", file("private", theirKey), "listen-port", "7002");
  run("ip", "-n", THEIRS, "address", "add", "10.77.0.2/24", "dev", INTERFACE);
  run("ip", "-n", THEIRS, "link", "set", INTERFACE, "up");

  /** A pump with new keys, known to wireguard-go as its only peer. */
  const start = async (port: number, extra: Partial<PumpConfig>, ...theirs: string[]): Promise<Pump> => {
    const privateKey = secret();
    for (const peer of inTheirs("wg", "show", INTERFACE, "peers").split("\n").filter(Boolean)) {
      inTheirs("wg", "set", INTERFACE, "peer", peer, "remove");
    }
    inTheirs("wg", "set", INTERFACE, "peer", publicOf(privateKey), "allowed-ips", "10.77.0.1/32", ...theirs);
    const pump = new Pump({
      prefer: "fast",
      port,
      privateKey,
      peerKey: publicOf(theirKey),
      inner: "10.77.0.1",
      peerInner: "10.77.0.2",
      ...extra,
    });
    children.push(pump);
    await pump.event("ready");
    return pump;
  };

  for (const prefer of ["fast", "plain"] as const) {
    await t.test(`we initiate, with the ${prefer} suite and a pre-shared key`, async t => {
      const presharedKey = run("wg", "genpsk").trim();
      const pump = await start(
        prefer === "fast" ? 7001 : 7003,
        { prefer, presharedKey, peerEndpoint: "192.168.77.2:7002" },
        "preshared-key",
        file("psk", presharedKey),
      );
      const sizes = [28, 29, 60, 84, 500, 1419, 1420];
      for (const [i, bytes] of sizes.entries()) {
        pump.tell({ ping: i + 1, bytes });
        const reply = await pump.event("reply", event => event.sequence === i + 1);
        t.equal(reply.intact, true, `${bytes} bytes`);
      }
      t.match(await pump.event("handshake"), { initiator: true });
      const shown = inTheirs("wg", "show", INTERFACE, "transfer").trim().split(/\s+/);
      const stopped = await pump.stop();
      t.equal(Number(shown[1]), stopped.txBytes, "wg counts what we sent");
      t.equal(Number(shown[2]), stopped.rxBytes, "and what we received");
    });
  }

  await t.test("they initiate, and find us where wg says", async t => {
    const pump = await start(7004, {}, "endpoint", "192.168.77.1:7004");
    const output = inTheirs("ping", "-c", "3", "-i", "0.2", "-W", "5", "10.77.0.1");
    t.match(output, /3 received, 0% packet loss/);
    t.match(await pump.event("handshake"), { initiator: false });
    t.match(await pump.event("endpoint"), { at: "192.168.77.2:7002" });
    pump.tell({ ping: 9 });
    t.match(await pump.event("reply"), { sequence: 9, intact: true }, "and our pings go there");
    pump.tell({ handshake: true });
    t.match(await pump.event("handshake", event => event.initiator === true), {}, "a renewal by us");
    t.match(inTheirs("ping", "-c", "2", "-i", "0.2", "10.77.0.1"), /2 received, 0% packet loss/);
    const { counters } = (await pump.stop()) as unknown as { counters: Record<string, number> };
    const dropped = Object.entries(counters).filter(([name, n]) => name.startsWith("dropped.") && n > 0);
    t.same(dropped, []);
  });

  await t.test("a peer that moves to another port is followed", async t => {
    const pump = await start(7005, {}, "endpoint", "192.168.77.1:7005");
    inTheirs("ping", "-c", "1", "-W", "5", "10.77.0.1");
    inTheirs("wg", "set", INTERFACE, "listen-port", "7012");
    t.match(inTheirs("ping", "-c", "1", "-W", "5", "10.77.0.1"), /1 received/);
    await pump.event("endpoint", event => event.at === "192.168.77.2:7012");
    inTheirs("wg", "set", INTERFACE, "listen-port", "7002");
    await pump.stop();
  });
});
