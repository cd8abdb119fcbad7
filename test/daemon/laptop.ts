/** A laptop for tests: directories of its own and the real command line, with the fake data plane. */
import { type ChildProcess, spawn } from "node:child_process";
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { CatalogEvent, ToDataplane } from "../../src/api/index.js";
import { toBase64 } from "../../src/base/index.js";
import { type Credential, formatCredential, type Service } from "../../src/catalog/index.js";
import { listLinks } from "../../src/linux/index.js";

export const CLI: string = fileURLToPath(new URL("../../bundle/cli/main.js", import.meta.url));
const FAKE_DATAPLANE = fileURLToPath(new URL("./fake-dataplane.js", import.meta.url));

export const HOSTS = "127.0.0.1 localhost\n192.0.2.7 office # no newline at the end";

export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** @param fill distinguishes keys */
export function credential(teamspace: string, fill: number = 1): Credential {
  const key = (byte: number): string => toBase64(new Uint8Array(32).fill(byte));
  return {
    version: 1,
    kind: "czctl-credential",
    teamspace,
    device: "laptop",
    privateKey: key(fill),
    presharedKey: key(fill + 1),
    innerAddresses: ["100.126.0.2", "fd00:7e::2"],
    agent: {
      publicKey: key(fill + 2),
      endpoint: "127.0.0.1:9",
      innerAddresses: ["100.126.0.1", "fd00:7e::1"],
    },
    zone: "cluster.local",
    mtu: 1420,
  };
}

export function service(name: string, namespace: string, target: string, port: number = 80): Service {
  return {
    namespace,
    name,
    kind: "cluster",
    ports: [{ name: "http", protocol: "tcp", port }],
    targets: [target],
    endpoints: [],
  };
}

export function snapshot(...services: Service[]): CatalogEvent {
  return { type: "snapshot", zone: "cluster.local", teamspace: "team", agentVersion: "0.1.0", services };
}

export class Laptop {
  readonly dir: string = mkdtempSync(join(tmpdir(), "czctl-test-"));
  readonly stateDir: string = join(this.dir, "state");
  readonly hostsFile: string = join(this.dir, "hosts");
  readonly env: NodeJS.ProcessEnv;

  constructor() {
    writeFileSync(this.hostsFile, HOSTS);
    mkdirSync(join(this.dir, "fake"));
    this.env = {
      PATH: process.env.PATH,
      CZCTL_STATE_DIR: this.stateDir,
      CZCTL_SOCKET: join(this.dir, "socket"),
      CZCTL_HOSTS_FILE: this.hostsFile,
      CZCTL_DATAPLANE_ENTRY: FAKE_DATAPLANE,
      FAKE_DATAPLANE_DIR: join(this.dir, "fake"),
    };
  }

  write(name: string, content: string): string {
    const path = join(this.dir, name);
    writeFileSync(path, content);
    return path;
  }

  writeCredential(value: Credential): string {
    return this.write(`${value.teamspace}.credential`, formatCredential(value));
  }

  /** For the fake data plane's stream. */
  sendEvents(...events: CatalogEvent[]): void {
    for (const event of events) appendFileSync(join(this.dir, "fake/events"), `${JSON.stringify(event)}\n`);
  }

  get hosts(): string {
    return readFileSync(this.hostsFile, "utf8");
  }

  get log(): string {
    return readFileSync(join(this.stateDir, "daemon.log"), "utf8");
  }

  /** What the daemon has told its data planes. */
  get told(): ToDataplane[] {
    const lines = readFileSync(join(this.dir, "fake/log"), "utf8").trim().split("\n");
    return lines.map(line => JSON.parse(line) as ToDataplane);
  }

  start(
    args: readonly string[],
    options: { input?: string; env?: NodeJS.ProcessEnv; uid?: number } = {},
  ): ChildProcess {
    // tap puts its loaders into every child, which makes each start three times as slow.
    const child = spawn(
      "/bin/sh",
      ["-c", 'unset NODE_OPTIONS; exec "$@"', "sh", process.execPath, CLI, ...args],
      {
        env: { ...this.env, ...options.env },
        stdio: "pipe",
        ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
      },
    );
    child.stdin.on("error", () => {});
    child.stdin.end(options.input ?? "");
    return child;
  }

  /** Runs the real command to its end. */
  async czctl(args: readonly string[], options: Parameters<Laptop["start"]>[1] = {}): Promise<Outcome> {
    const child = this.start(args, options);
    const outcome: Outcome = { code: null, stdout: "", stderr: "" };
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      outcome.stdout += text;
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      outcome.stderr += text;
    });
    outcome.code = await new Promise(resolve => child.once("close", resolve));
    return outcome;
  }

  async json<T>(...args: string[]): Promise<T> {
    const { stdout, stderr } = await this.czctl([...args, "--json"]);
    if (stdout === "") throw new Error(stderr);
    return JSON.parse(stdout) as T;
  }

  async close(): Promise<void> {
    await this.czctl(["down"]);
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** A catalog at the fake agent, and the credential added. */
export async function prepare(laptop: Laptop): Promise<void> {
  laptop.sendEvents(
    snapshot(service("frontend", "shop", "10.96.0.10"), service("orders", "shop", "10.96.0.11", 5432)),
  );
  await laptop.czctl(["space", "add", laptop.writeCredential(credential("team"))]);
}

/** The first of our devices in this namespace. */
export function device(): string | undefined {
  return listLinks().find(({ name }) => name.startsWith("czctl"))?.name;
}

/** Looks again until it is so; for what other processes do. */
export async function eventually(
  what: string,
  test: () => boolean | Promise<boolean>,
  timeoutMs = 10_000,
): Promise<void> {
  for (const until = performance.now() + timeoutMs; ; await sleep(20)) {
    if (await test()) return;
    if (performance.now() > until) throw new Error(`not within ${timeoutMs} ms: ${what}`);
  }
}
