/** `--log-level` and `--log-format` of what runs on: daemon and agent. */
import type { Argv } from "yargs";
import { LOG_FORMATS, type LogFormat } from "../api/index.js";
import { LOG_LEVELS, type LogLevel } from "../base/index.js";

/** As yargs writes and as it reads them: it makes camel case of the names beside. */
export interface LogFlags {
  "log-level": LogLevel | undefined;
  "log-format": LogFormat | undefined;
  logLevel?: LogLevel | undefined;
  logFormat?: LogFormat | undefined;
}

export function withLog<T>(y: Argv<T>): Argv<T & LogFlags> {
  return y
    .option("log-level", {
      choices: LOG_LEVELS,
      requiresArg: true,
      description: "The least that is logged [CZCTL_LOG_LEVEL, info]",
    })
    .option("log-format", {
      choices: LOG_FORMATS,
      requiresArg: true,
      description: "Lines of text, or of JSON for a collector [CZCTL_LOG_FORMAT, text]",
    });
}
