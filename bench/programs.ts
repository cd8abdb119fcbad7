/** The benchmarks' own small programs (`bench/programs/`), run on a lab's hosts. */
import { join } from "node:path";
import type { Host } from "../test/lab/host.js";
import type { Program } from "../test/lab/program.js";
import { ROOT } from "./peers.js";

export const PYTHON = "/usr/bin/python3";
const ECHO: string = join(ROOT, "bench/programs/echo.py");

export async function startEcho(host: Host, address: string, port: number): Promise<void> {
  host.spawn(PYTHON, [ECHO, "serve", address, String(port)]);
  await host.waitForPort(port);
}

/** For thousands of connections. */
export async function startMany(host: Host, address: string, port: number): Promise<void> {
  host.spawn(PYTHON, [ECHO, "many", address, String(port)]);
  await host.waitForPort(port);
}

/** So many open connections, each used once; they end with the program. */
export async function holdFlows(host: Host, target: string, port: number, count: number): Promise<Program> {
  const program = host.spawn(PYTHON, [ECHO, "hold", target, String(port), String(count)]);
  await program.waitForLine(/held/, 60_000);
  return program;
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

/** A thousand connections that speak; resolves when all are there, and then with the quantiles of their answers' time. */
export async function startActive(
  host: Host,
  target: string,
  port: number,
  seconds: number,
): Promise<{ done: Promise<number[]> }> {
  const program = host.spawn(PYTHON, [ECHO, "active", target, String(port), String(seconds)]);
  await program.waitForLine(/held/, 60_000);
  const line = program.waitForLine(/^{"us": (.*)}$/m, (seconds + 25) * 1000);
  return { done: line.then(([, us]) => JSON.parse(us as string) as number[]) };
}
