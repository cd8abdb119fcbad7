/**
 * Where log lines go: standard error, as text for people (base's own logger) or one JSON object a line for a
 * cluster's collector (pino, loaded only then: it takes longer to load than the supervisor to run).
 *
 *     {"level":"info","time":"2026-01-02T03:04:05.678Z","component":"agent","teamspace":"shop","msg":"agent runs"}
 */
import type { LogFormat } from "../api/index.js";
import { type Logger, type LogLevel, SECRET_FIELDS, textLogger } from "../base/index.js";

export interface LogOptions {
  /** The least that is written. */
  level: LogLevel;
  format: LogFormat;
  component: "agent" | "daemon" | "supervisor";
}

const STDERR = 2;

export async function openLog({ level, format, component }: LogOptions): Promise<Logger> {
  if (format === "text") {
    return textLogger({ now: () => new Date(), write: line => process.stderr.write(line), level });
  }
  const { pino } = await import("pino");
  const log = pino(
    {
      level,
      base: { component },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: label => ({ level: label }) },
      serializers: { error: pino.stdSerializers.errWithCause },
      redact: { paths: SECRET_FIELDS.flatMap(name => [name, `*.${name}`]), censor: "[secret]" },
    },
    // What is said right before the end must be there after it.
    pino.destination({ dest: STDERR, sync: true }),
  );
  const entry =
    (at: LogLevel) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}): void =>
      log[at]({ ...fields }, message);
  return { debug: entry("debug"), info: entry("info"), warn: entry("warn"), error: entry("error") };
}
