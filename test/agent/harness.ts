/** Shared by the tests of this room: directories that vanish, a logger that remembers, waiting with a limit. */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger, LogLevel } from "../../src/base/index.js";
import type { SourceService } from "../../src/catalog/index.js";

export function temporaryDirectory(t: { teardown(clean: () => void): void }): string {
  const dir = mkdtempSync(join(tmpdir(), "czctl-test-"));
  chmodSync(dir, 0o700);
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

export interface LogLine {
  level: LogLevel;
  message: string;
  fields: Readonly<Record<string, unknown>>;
}

export interface MemoryLogger extends Logger {
  lines: LogLine[];
}

export function memoryLogger(): MemoryLogger {
  const lines: LogLine[] = [];
  const at =
    (level: LogLevel) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}): void => {
      lines.push({ level, message, fields });
    };
  return { lines, debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** The first value of `get` that is not undefined. Other processes are waited for, hence the polling. */
export async function until<T>(what: string, get: () => T | undefined, limitMs: number = 5_000): Promise<T> {
  for (const end = performance.now() + limitMs; ; await sleep(5)) {
    const value = get();
    if (value !== undefined) return value;
    if (performance.now() > end) throw new Error(`waited ${limitMs} ms in vain for ${what}`);
  }
}

/** A TCP service; by default with a cluster address and one port. */
export function source(name: string, more: Partial<SourceService> = {}): SourceService {
  return {
    namespace: "shop",
    name,
    kind: "cluster",
    ports: [{ name: "http", protocol: "tcp", port: 80, targetPort: 8080 }],
    clusterIps: ["10.96.3.9"],
    endpoints: [],
    ...more,
  };
}
