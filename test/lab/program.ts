/**
 * One running program of a lab: its output, its end, and waiting for either. Ended by its own process id and
 * nothing else.
 */
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";

/** What is kept of each output stream: enough for an error message, and for the largest JSON that we read. */
const KEPT_CHARACTERS = 4_000_000;
const DEFAULT_TIMEOUT_MS = 60_000;
/** For what it wrote last to be read, once it has ended. */
const DRAIN_MS = 500;

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface Result extends Exit {
  stdout: string;
  stderr: string;
  ms: number;
}

export interface ProgramOptions {
  env?: Record<string, string>;
  input?: string;
  /** Killed when aborted. */
  signal?: AbortSignal;
}

export class Program {
  readonly name: string;
  readonly pid: number;
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  #stdout = "";
  #stderr = "";
  #running = true;
  readonly #listeners = new Set<() => void>();

  constructor(name: string, command: string, args: string[], options: ProgramOptions = {}) {
    this.name = name;
    const spawnOptions: SpawnOptions = {
      stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
      env: { ...process.env, ...options.env },
    };
    this.#child = spawn(command, args, spawnOptions);
    this.pid = this.#child.pid ?? 0;
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.#stdout = (this.#stdout + text).slice(-KEPT_CHARACTERS);
      this.#notify();
    });
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-KEPT_CHARACTERS);
      this.#notify();
    });
    this.exited = new Promise(resolve => {
      const end = (code: number | null, signal: NodeJS.Signals | null): void => {
        this.#running = false;
        this.#notify();
        resolve({ code, signal });
      };
      // "close" comes when its output ends. A descendant that outlives it holds on to that, for ever perhaps.
      this.#child.once("exit", (code, signal) => setTimeout(end, DRAIN_MS, code, signal).unref());
      this.#child.once("error", error => {
        this.#stderr += `${error.message}\n`;
        end(127, null);
      });
      this.#child.once("close", end);
    });
    if (options.input !== undefined) this.#child.stdin?.on("error", () => {}).end(options.input);
    const kill = (): void => this.kill("SIGKILL");
    options.signal?.addEventListener("abort", kill, { once: true });
    void this.exited.then(() => options.signal?.removeEventListener("abort", kill));
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  get running(): boolean {
    return this.#running;
  }

  /** Both streams' last lines, for error messages. */
  tail(lines = 12): string {
    const text = `${this.#stdout}\n${this.#stderr}`.trim().split("\n").slice(-lines);
    return text.map(line => `    ${this.name}: ${line}`).join("\n");
  }

  kill(signal: NodeJS.Signals): void {
    if (this.#running && this.pid > 0) this.#child.kill(signal);
  }

  /** Asks, waits, then kills. */
  async stop(graceMs = 2_000): Promise<Exit> {
    this.kill("SIGTERM");
    const timer = setTimeout(() => this.kill("SIGKILL"), graceMs);
    const exit = await this.exited;
    clearTimeout(timer);
    return exit;
  }

  /** The first match in either stream, from the beginning of the run. */
  async waitForLine(pattern: RegExp, timeoutMs = 10_000): Promise<RegExpMatchArray> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const match = this.#stdout.match(pattern) ?? this.#stderr.match(pattern);
      if (match !== null) return match;
      const left = deadline - Date.now();
      if (!this.#running) throw new Error(`${this.name} ended before it printed ${pattern}\n${this.tail()}`);
      if (left <= 0)
        throw new Error(`${this.name} did not print ${pattern} within ${timeoutMs} ms\n${this.tail()}`);
      await this.#change(left);
    }
  }

  #change(timeoutMs: number): Promise<void> {
    return new Promise(resolve => {
      const done = (): void => {
        clearTimeout(timer);
        this.#listeners.delete(done);
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      this.#listeners.add(done);
    });
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** Runs to the end. A time-out kills it and shows as signal SIGKILL. */
export async function execute(
  name: string,
  command: string,
  args: string[],
  options: ProgramOptions & { timeoutMs?: number } = {},
): Promise<Result> {
  const start = performance.now();
  const program = new Program(name, command, args, options);
  const timer = setTimeout(() => program.kill("SIGKILL"), options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  const exit = await program.exited;
  clearTimeout(timer);
  return { ...exit, stdout: program.stdout, stderr: program.stderr, ms: performance.now() - start };
}

/** Polls the outside world, which sends no events; throws the last error when the time is over. */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T> | T,
  timeoutMs = 5_000,
  stepMs = 25,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    try {
      return await probe();
    } catch (error) {
      if (Date.now() >= deadline) {
        throw new Error(`${what}: not within ${timeoutMs} ms: ${(error as Error).message}`, { cause: error });
      }
      await new Promise(resolve => setTimeout(resolve, stepMs));
    }
  }
}
