/**
 * A Logger that makes one line of text of each entry:
 * `2026-01-02T03:04:05.678Z info  tunnel up endpoint=192.0.2.1:51820`.
 *
 * Control characters are escaped, so that no text from the network can forge a line or steer a terminal.
 */
import { LOG_LEVELS, type Logger, type LogLevel, SECRET_FIELDS } from "./environment.js";

export interface TextLoggerOptions {
  now(): Date;
  /** Takes a line with its newline. */
  write(line: string): void;
  /** The least that is written. */
  level: LogLevel;
}

export function textLogger(options: TextLoggerOptions): Logger {
  const least = LOG_LEVELS.indexOf(options.level);
  const entry = (level: LogLevel): Logger["info"] => {
    if (LOG_LEVELS.indexOf(level) < least) return () => {};
    return (message: string, fields = {}) => {
      let line = `${options.now().toISOString()} ${level.padEnd(5)} ${plainText(message)}`;
      for (const [name, value] of Object.entries(fields)) {
        if (value !== undefined) line += ` ${plainText(name)}=${formatValue(masked(name, value))}`;
      }
      options.write(`${line}\n`);
    };
  };
  return { debug: entry("debug"), info: entry("info"), warn: entry("warn"), error: entry("error") };
}

function masked(name: string, value: unknown): unknown {
  return SECRET_FIELDS.includes(name) ? "[secret]" : value;
}

/** `text` with control characters (C0, DEL, C1) written as `\xNN`. */
export function plainText(text: string): string {
  return text.replace(/\p{Cc}/gu, char => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

function formatValue(value: unknown): string {
  const text =
    value instanceof Error
      ? value.message
      : typeof value === "string"
        ? value
        : JSON.stringify(value, masked);
  return /^[^\s"=]+$/.test(text) ? plainText(text) : JSON.stringify(text);
}
