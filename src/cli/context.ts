/** What every command has at hand: the settings after flags and environment, and whether to print JSON. */
import type { Argv } from "yargs";
import { readSettings, type Settings } from "../api/index.js";
import { CzctlError } from "../base/index.js";
import { isPort } from "../catalog/index.js";

/** Flags that all commands take; see `withGlobalOptions`. */
export interface GlobalFlags {
  json: boolean;
  stateDir?: string | undefined;
  socket?: string | undefined;
  hostsFile?: string | undefined;
  serviceRange?: string | undefined;
}

/** Those of what runs on, beside them. */
interface RunFlags {
  logLevel?: Settings["logLevel"] | undefined;
  logFormat?: Settings["logFormat"] | undefined;
  metricsPort?: number | undefined;
}

export type Flags<Own = object> = GlobalFlags & Own;

/** The type of a program whose commands get `GlobalFlags`. */
export type Program = Argv<GlobalFlags>;

/** Flags win over the environment, which wins over the defaults. */
export function settingsOf(flags: GlobalFlags & RunFlags): Settings {
  const { stateDir, socket, hostsFile, serviceRange, logLevel, logFormat, metricsPort } = flags;
  const range = serviceRange === undefined ? {} : { serviceRange };
  if (metricsPort !== undefined && !isPort(metricsPort)) {
    throw usageError(`--metrics-port ${metricsPort} is not a port`, "Give 1 to 65535.");
  }
  const settings = readSettings(process.env);
  return {
    ...settings,
    stateDir: stateDir ?? settings.stateDir,
    socketPath: socket ?? settings.socketPath,
    hostsFile: hostsFile ?? settings.hostsFile,
    logLevel: logLevel ?? settings.logLevel,
    logFormat: logFormat ?? settings.logFormat,
    ...(metricsPort === undefined ? {} : { metricsPort }),
    ...range,
  };
}

export function usageError(message: string, hint: string): CzctlError {
  return new CzctlError(message, { code: "USAGE", category: "user", hint });
}
