/**
 * Loaded before a czctl process (`node --import aead-clock.js?dir=DIR`): how much of its processor time the AEAD's machine code
 * has, by the thread's clock around each call of it, which is one per batch. Every 100 ms a line goes to the file DIR/PID:
 * CLOCK_MONOTONIC, what the AEAD has had since the start, and what the process has had; all in microseconds.
 */
import { openSync, writeSync } from "node:fs";
import { join } from "node:path";
import koffi from "koffi";

/** The AEAD is the one code that takes a list and its length behind its workspace (`crypto/fused/worker.ts`). */
const AEAD_PARAMETERS = 3;
const CLOCK_THREAD_CPUTIME_ID = 3;
const LINE_EVERY_US = 100_000;

const dir = new URL(import.meta.url).searchParams.get("dir") ?? "";

type Native = (...values: number[]) => unknown;

const time = new Uint32Array(4);
const timeAddress = Number(koffi.address(time));
const clockGettime = koffi.load(null).func("clock_gettime", "int", ["int", "intptr_t"]) as Native;

/** Of a `struct timespec`, whose halves are 64 bits each. */
function threadUs(): number {
  clockGettime(CLOCK_THREAD_CPUTIME_ID, timeAddress);
  return (time[0] as number) * 1e6 + (time[2] as number) / 1e3;
}

let file = -1;
let [aeadUs, nextLineUs] = [0, 0];

function writeLine(): void {
  const now = Number(process.hrtime.bigint() / 1_000n);
  if (now < nextLineUs) return;
  nextLineUs = now + LINE_EVERY_US;
  const { user, system } = process.cpuUsage();
  writeSync(file, `${now} ${aeadUs} ${user + system}\n`);
}

const decode = koffi.decode as (...values: unknown[]) => unknown;
Object.assign(koffi, {
  decode: (...values: unknown[]): unknown => {
    const found = decode(...values);
    if (typeof found !== "function") return found;
    const native = found as Native;
    return (...parameters: number[]): unknown => {
      if (parameters.length !== AEAD_PARAMETERS) return native(...parameters);
      // While the process may still open it.
      if (file === -1) file = openSync(join(dir, String(process.pid)), "a");
      const before = threadUs();
      const result = native(...parameters);
      aeadUs += threadUs() - before;
      writeLine();
      return result;
    };
  },
});
