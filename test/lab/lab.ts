/**
 * A lab: real programs in the topology, and a list of checks that each pass, fail or are skipped for a stated
 * lack. Prints TAP, so `npm test` counts every check.
 */
import { spawnSync } from "node:child_process";
import { setMaxListeners } from "node:events";
import { inSandbox, type Sandbox } from "./sandbox.js";
import { makeTopology, type Topology } from "./topology.js";

const LAB_LIMIT_MS = 10 * 60_000;
const CHECK_LIMIT_MS = 60_000;

export interface CheckOptions {
  /** Programs and devices (`/dev/…`, to be opened) without which the check is skipped. */
  needs?: string[];
  /** Needs users beside root: not there in an ordinary user's namespace. */
  needsRoot?: boolean;
  timeoutMs?: number;
}

export interface Lab extends Topology {
  sandbox: Sandbox;
  /** Ends with the lab's time limit and with Ctrl-C. */
  signal: AbortSignal;
  /** One numbered line. The body may return a remark: a figure, a duration. True if it passed. */
  check(name: string, body: () => Promise<string | undefined>, options?: CheckOptions): Promise<boolean>;
  note(text: string): void;
}

export function missing(programs: string[]): string[] {
  return programs.filter(program => {
    const test = program.startsWith("/dev/") ? `: <>${program}` : `command -v ${program}`;
    return spawnSync("sh", ["-c", test]).status !== 0;
  });
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

export function assertEqual<T>(actual: T, expected: T, what: string): void {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what}: got ${a}, expected ${b}`);
}

/** Rejects when the body takes longer; the programs of the body end with the lab. */
async function limited<T>(body: () => Promise<T>, timeoutMs: number, signal: AbortSignal): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const abort = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${timeoutMs} ms`)), timeoutMs);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  try {
    return await Promise.race([body(), abort]);
  } finally {
    clearTimeout(timer);
  }
}

export async function lab(url: string, body: (lab: Lab) => Promise<void>): Promise<void> {
  await inSandbox(url, async sandbox => {
    const signal = AbortSignal.any([sandbox.signal, AbortSignal.timeout(LAB_LIMIT_MS)]);
    // Every program of the lab listens to it.
    setMaxListeners(0, signal, sandbox.signal);
    const topology = await makeTopology(sandbox);
    let count = 0;
    let failed = 0;
    const line = (ok: boolean, name: string, remark: string): void => {
      count++;
      if (!ok) failed++;
      console.log(`${ok ? "ok" : "not ok"} ${count} - ${name}${remark}`);
    };
    const detail = (error: unknown): void => {
      // Our own assertions say it all; a TypeError wants its place.
      const plain = error instanceof Error && error.name === "Error" ? error.message : undefined;
      const text = plain ?? (error instanceof Error ? (error.stack ?? error.message) : String(error));
      console.log(text.replaceAll(/^/gm, "#   "));
    };
    const check: Lab["check"] = async (name, run, options = {}) => {
      signal.throwIfAborted();
      const lacks = missing(options.needs ?? []);
      if (options.needsRoot && !sandbox.root) lacks.push("root");
      if (lacks.length > 0) {
        line(true, name, ` # SKIP needs ${lacks.join(", ")}`);
        return false;
      }
      const start = performance.now();
      try {
        const remark = await limited(run, options.timeoutMs ?? CHECK_LIMIT_MS, signal);
        const ms = Math.round(performance.now() - start);
        line(true, name, ` (${ms} ms${remark === undefined ? "" : `; ${remark}`})`);
        return true;
      } catch (error) {
        line(false, name, "");
        detail(error);
        return false;
      }
    };
    console.log("TAP version 14");
    try {
      await body({ ...topology, sandbox, signal, check, note: text => console.log(`# ${text}`) });
    } catch (error) {
      line(false, "the lab runs to its end", "");
      detail(error);
    }
    if (failed > 0)
      console.log(
        topology.hosts
          .map(host => host.tails())
          .join("\n")
          .replaceAll(/^/gm, "# "),
      );
    console.log(`1..${count}`);
    await topology.close();
    return failed === 0 ? 0 : 1;
  });
}
