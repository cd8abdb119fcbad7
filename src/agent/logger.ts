/**
 * Log lines on stderr: `time level message key=value …`, or one JSON object per line. Text that came from
 * elsewhere is quoted, so it cannot forge a line or steer a terminal.
 */
import type { Logger, LogLevel } from "../base/index.js";

const LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];

export interface LoggerOptions {
  json?: boolean;
  /** Lowest level that is written; default: info. */
  level?: LogLevel;
  write?: (line: string) => void;
}

export function createLogger(options: LoggerOptions = {}): Logger {
  const write = options.write ?? (line => void process.stderr.write(line));
  const lowest = LEVELS.indexOf(options.level ?? "info");
  const format = options.json ? formatJson : formatText;
  const at =
    (level: LogLevel) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}): void => {
      if (LEVELS.indexOf(level) >= lowest) write(`${format(new Date(), level, message, fields)}\n`);
    };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

type Fields = Readonly<Record<string, unknown>>;

function formatJson(time: Date, level: LogLevel, message: string, fields: Fields): string {
  return JSON.stringify({ ...fields, time: time.toISOString(), level, message });
}

function formatText(time: Date, level: LogLevel, message: string, fields: Fields): string {
  let line = `${time.toISOString()} ${level.padEnd(5)} ${printable(message)}`;
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) line += ` ${printable(name)}=${formatValue(value)}`;
  }
  return line;
}

function formatValue(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
  return /^[\w.:/@+*!-]+$/.test(text) ? text : printable(JSON.stringify(text));
}

function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, c => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
}
