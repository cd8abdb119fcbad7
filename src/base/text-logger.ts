/**
 * A Logger that makes one line of text of each entry:
 * `2026-01-02T03:04:05.678Z info  tunnel up endpoint=192.0.2.1:51820`.
 *
 * Control characters are escaped, so that no text from the network can forge a line or steer a terminal.
 */
import type { Logger, LogLevel } from "./environment.js";

export interface TextLoggerOptions {
  now(): Date;
  /** Takes a line with its newline. */
  write(line: string): void;
  debug: boolean;
}

export function textLogger(options: TextLoggerOptions): Logger {
  const entry =
    (level: LogLevel) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}): void => {
      let line = `${options.now().toISOString()} ${level.padEnd(5)} ${plainText(message)}`;
      for (const [name, value] of Object.entries(fields)) {
        if (value !== undefined) line += ` ${plainText(name)}=${formatValue(value)}`;
      }
      options.write(`${line}\n`);
    };
  return {
    debug: options.debug ? entry("debug") : () => {},
    info: entry("info"),
    warn: entry("warn"),
    error: entry("error"),
  };
}

/** `text` with control characters (C0, DEL, C1) written as `\xNN`. */
export function plainText(text: string): string {
  return text.replace(/\p{Cc}/gu, char => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

function formatValue(value: unknown): string {
  const text =
    value instanceof Error ? value.message : typeof value === "string" ? value : JSON.stringify(value);
  return /^[^\s"=]+$/.test(text) ? plainText(text) : JSON.stringify(text);
}
