/** The benchmarks' own small programs (`bench/programs/`), run on a lab's hosts. */
import { join } from "node:path";
import type { Host } from "../test/lab/host.js";
import { ROOT } from "./peers.js";

export const PYTHON = "/usr/bin/python3";
export const ECHO: string = join(ROOT, "bench/programs/echo.py");

export async function startEcho(host: Host, address: string, port: number): Promise<void> {
  host.spawn(PYTHON, [ECHO, "serve", address, String(port)]);
  await host.waitForPort(port);
}

export async function runEcho<T>(
  host: Host,
  mode: string,
  target: string,
  port: number,
  seconds: number,
): Promise<T> {
  const args = [ECHO, mode, target, String(port), String(seconds)];
  return JSON.parse(await host.run(PYTHON, args, { timeoutMs: (seconds + 25) * 1000 })) as T;
}
