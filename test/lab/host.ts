/**
 * One computer of a lab: a network namespace and a mount namespace with its own `/run`, `/etc/hosts`,
 * `/etc/resolv.conf`, `/etc/nsswitch.conf` and (if wanted) `/var/lib`. A sleeping process holds both; programs
 * enter by its process id.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually, execute, Program, type ProgramOptions, type Result } from "./program.js";
import type { Sandbox } from "./sandbox.js";

export interface HostOptions {
  /** Content of `/etc/hosts`; the default knows localhost only. */
  hosts?: string;
  /** Private and empty `/var/lib` and `/var/log`, so that programs' default paths are free. */
  privateState?: boolean;
  /** Of a program that detaches itself; its end is shown when a lab fails. */
  logFile?: string;
}

const LOG_LINES = 25;
/** For all programs to end as they do when asked, or when killed. */
const STOP_LIMIT_MS = 5_000;
/** For the kernel to end what is killed here. */
const END_LIMIT_MS = 3_000;
const LOCALHOST = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n";

/** Mounts, then tells that it is ready, then sleeps. `resolv.conf` may be a link into the old `/run`. */
const HOLDER = `
set -e
cd "$1"
mount -t tmpfs -o mode=0755 run /run
for file in hosts resolv.conf nsswitch.conf; do
  target=$(readlink -m /etc/$file)
  case $target in /run/*) mkdir -p "$(dirname "$target")"; touch "$target";; esac
  if [ -e "$target" ]; then mount --bind etc/$file "$target"; fi
done
if [ "$2" = private ]; then
  for dir in /var/lib /var/log; do
    case "$3" in $dir/*) ;; *) mount -t tmpfs -o mode=0755 state $dir;; esac
  done
fi
ip link set lo up
echo ready
exec sleep infinity
`;

/** None of a process that has ended. */
function namespacesOf(pid: number): string[] {
  try {
    return ["net", "mnt"].map(kind => readlinkSync(`/proc/${pid}/ns/${kind}`));
  } catch {
    return [];
  }
}

function commandOf(pid: number): string {
  return existsSync(`/proc/${pid}`)
    ? readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").slice(0, 80)
    : "";
}

export class Host {
  readonly name: string;
  /** Below the sandbox's directory: scratch space that every host sees under the same path. */
  readonly dir: string;
  readonly #holder: Program;
  readonly #namespaces: readonly string[];
  readonly #programs: Program[] = [];
  readonly #signal: AbortSignal;
  readonly #logFile: string | undefined;

  private constructor(name: string, dir: string, holder: Program, signal: AbortSignal, logFile?: string) {
    this.name = name;
    this.dir = dir;
    this.#holder = holder;
    this.#namespaces = namespacesOf(holder.pid);
    this.#signal = signal;
    this.#logFile = logFile;
  }

  static async make(sandbox: Sandbox, name: string, options: HostOptions = {}): Promise<Host> {
    const dir = join(sandbox.dir, name);
    mkdirSync(join(dir, "etc"), { recursive: true });
    mkdirSync(join(dir, "home"));
    writeFileSync(join(dir, "etc/hosts"), options.hosts ?? LOCALHOST);
    writeFileSync(join(dir, "etc/resolv.conf"), "# no name server here\n");
    writeFileSync(join(dir, "etc/nsswitch.conf"), "passwd: files\ngroup: files\nhosts: files dns\n");
    const script = ["-c", HOLDER, name, dir, options.privateState ? "private" : "shared", process.cwd()];
    const holder = new Program(name, "unshare", ["--net", "--mount", "sh", ...script], {
      signal: sandbox.signal,
    });
    await holder.waitForLine(/ready/);
    return new Host(name, dir, holder, sandbox.signal, options.logFile);
  }

  /** Where a path of this host's own mount namespace is seen from outside. */
  outside(path: string): string {
    return `/proc/${this.pid}/root${path}`;
  }

  /** Process id that holds the namespaces: `ip link set X netns PID`. */
  get pid(): number {
    return this.#holder.pid;
  }

  /** The host's `/etc/hosts`, byte for byte. */
  readHosts(): string {
    return readFileSync(join(this.dir, "etc/hosts"), "utf8");
  }

  writeEtc(file: "hosts" | "resolv.conf" | "nsswitch.conf", text: string): void {
    writeFileSync(join(this.dir, "etc", file), text);
  }

  #enter(command: string, args: string[]): string[] {
    return ["-t", String(this.pid), "-n", "-m", `--wd=${this.dir}`, "--", command, ...args];
  }

  #options(options: ProgramOptions): ProgramOptions {
    const signals = [this.#signal, ...(options.signal === undefined ? [] : [options.signal])];
    return {
      ...options,
      env: { HOME: join(this.dir, "home"), ...options.env },
      signal: AbortSignal.any(signals),
    };
  }

  /** Starts a program that lasts; `close()` ends it. nsenter replaces itself, so `pid` is the program's own. */
  spawn(command: string, args: string[], options: ProgramOptions = {}): Program {
    const name = `${this.name}/${command.split("/").at(-1)}`;
    const program = new Program(name, "nsenter", this.#enter(command, args), this.#options(options));
    this.#programs.push(program);
    return program;
  }

  /** Runs a program to its end, whatever that is. */
  exec(
    command: string,
    args: string[],
    options: ProgramOptions & { timeoutMs?: number } = {},
  ): Promise<Result> {
    const enter = this.#enter(command, args);
    return execute(`${this.name}/${command}`, "nsenter", enter, {
      ...this.#options(options),
      ...timeout(options),
    });
  }

  /** Runs a program that must succeed; its standard output. */
  async run(
    command: string,
    args: string[],
    options: ProgramOptions & { timeoutMs?: number } = {},
  ): Promise<string> {
    const result = await this.exec(command, args, options);
    if (result.code !== 0) {
      const how = result.signal ?? `exit ${result.code}`;
      const said = `${result.stdout}\n${result.stderr}`.trim().slice(-2_000);
      throw new Error(`${this.name}: ${command} ${args.join(" ")}: ${how}\n${said}`);
    }
    return result.stdout;
  }

  /** `ip` with one command per line. */
  async ip(commands: string): Promise<void> {
    await this.run("ip", ["-batch", "-"], { input: commands });
  }

  async sysctl(key: string, value: string): Promise<void> {
    await this.run("sh", ["-c", `echo ${value} > /proc/sys/${key.replaceAll(".", "/")}`]);
  }

  /** Until something listens on this TCP (or UDP) port here. */
  async waitForPort(port: number, protocol: "tcp" | "udp" = "tcp", timeoutMs = 10_000): Promise<void> {
    const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
    const files = [`/proc/${this.pid}/net/${protocol}`, `/proc/${this.pid}/net/${protocol}6`];
    const listening = protocol === "tcp" ? "0A" : "07";
    await eventually(
      `${this.name}: port ${port}/${protocol}`,
      () => {
        for (const file of files) {
          for (const line of readFileSync(file, "utf8").split("\n").slice(1)) {
            const columns = line.trim().split(/\s+/);
            if (columns[1]?.endsWith(suffix) && columns[3] === listening) return;
          }
        }
        throw new Error("nobody listens");
      },
      timeoutMs,
    );
  }

  #logTail(): string {
    const path = this.outside(this.#logFile ?? "");
    if (this.#logFile === undefined || !existsSync(path)) return "";
    const lines = readFileSync(path, "utf8").trim().split("\n").slice(-LOG_LINES);
    return `\n${lines.map(line => `    ${this.#logFile}: ${line}`).join("\n")}`;
  }

  /** Last lines of every program that ran here, for a failed lab. */
  tails(): string {
    const programs = this.#programs.filter(program => `${program.stdout}${program.stderr}`.trim() !== "");
    return programs.map(program => program.tail(6)).join("\n") + this.#logTail();
  }

  /** Everything that runs here but the holder, whoever started it. */
  #inhabitants(): number[] {
    const pids = readdirSync("/proc").filter(name => /^\d+$/.test(name));
    const isHere = (pid: number): boolean => namespacesOf(pid).some(one => this.#namespaces.includes(one));
    return pids.map(Number).filter(pid => pid !== this.pid && isHere(pid));
  }

  /**
   * Ends the programs, then what they left behind: daemons, and children that never hear of their parent's end, such
   * as an ssh whose router is gone. Takes seconds at most; what does not end is told about.
   */
  async close(): Promise<void> {
    const stopped = Promise.all(this.#programs.map(program => program.stop()));
    await Promise.race([stopped, sleep(STOP_LIMIT_MS, undefined, { ref: false })]);
    const endAll = (): void => {
      const left = this.#inhabitants();
      for (const pid of left) process.kill(pid, "SIGKILL");
      if (left.length > 0) throw new Error(left.map(pid => `${pid} ${commandOf(pid)}`).join(", "));
    };
    await eventually(`${this.name}: the end of all programs`, endAll, END_LIMIT_MS).catch((error: Error) =>
      console.error(error.message),
    );
    this.#holder.kill("SIGKILL");
    await this.#holder.exited;
  }
}

function timeout(options: { timeoutMs?: number }): { timeoutMs?: number } {
  return options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs };
}
