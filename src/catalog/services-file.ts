/** The agent's catalog file: YAML in, services out. The format is described in docs/catalog-file.md. */
import type { SourceService } from "./source.js";

export interface SourceError {
  /** From 1. */
  readonly line: number;
  readonly message: string;
}

/** `services` is complete only when `errors` is empty. */
export interface ParsedServicesFile {
  readonly services: SourceService[];
  readonly errors: SourceError[];
}

export function parseServicesFile(_text: string): ParsedServicesFile {
  throw new Error("not written yet");
}
