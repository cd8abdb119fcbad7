/** What every command has at hand: the settings after flags and environment, and whether to print JSON. */
import type { Argv } from "yargs";
import { readSettings, type Settings } from "../api/index.js";
import { CzctlError } from "../base/index.js";

/** Flags that all commands take; see `withGlobalOptions`. */
export interface GlobalFlags {
  json: boolean;
  stateDir?: string | undefined;
  socket?: string | undefined;
  hostsFile?: string | undefined;
  serviceRange?: string | undefined;
}

export type Flags<Own = object> = GlobalFlags & Own;

/** The type of a program whose commands get `GlobalFlags`. */
export type Program = Argv<GlobalFlags>;

/** Flags win over the environment, which wins over the defaults. */
export function settingsOf(flags: GlobalFlags): Settings {
  const { stateDir, socket, hostsFile, serviceRange } = flags;
  const range = serviceRange === undefined ? {} : { serviceRange };
  const settings = readSettings(process.env);
  return {
    ...settings,
    stateDir: stateDir ?? settings.stateDir,
    socketPath: socket ?? settings.socketPath,
    hostsFile: hostsFile ?? settings.hostsFile,
    ...range,
  };
}

export function usageError(message: string, hint: string): CzctlError {
  return new CzctlError(message, { code: "USAGE", category: "user", hint });
}
