/**
 * Loaded before a czctl process (`node --import aead-clock.js?dir=DIR`): how much of its processor time the AEAD's machine code
 * has, by the thread's clock around each call of it, which is one per batch. Every 100 ms a line goes to the file DIR/PID:
 * CLOCK_MONOTONIC, what the AEAD has had since the start, and what the process has had; all in microseconds.
 */
import { openSync, writeSync } from "node:fs";
import { join } from "node:path";
import koffi from "koffi";
import { threadCpuMs } from "../../src/linux/index.js";

/** The AEAD is the one code that takes a list and its length behind its workspace (`crypto/fused/worker.ts`). */
const AEAD_PARAMETERS = 3;
const LINE_EVERY_US = 100_000;

const dir = new URL(import.meta.url).searchParams.get("dir") ?? "";

type Native = (...values: number[]) => unknown;

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
      const before = threadCpuMs();
      const result = native(...parameters);
      aeadUs += (threadCpuMs() - before) * 1000;
      writeLine();
      return result;
    };
  },
});
