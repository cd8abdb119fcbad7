/** Reads a file that the user names. */
import { readFileSync } from "node:fs";
import { CzctlError } from "../base/index.js";

/** What `-` becomes: yargs takes no value that begins with a dash. */
export const STANDARD_INPUT = "/dev/stdin";

const LIMIT_BYTES = 1024 * 1024;

/** @param what as it reads after "cannot read": `the credential file` */
export function readInput(path: string, what: string): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path === STANDARD_INPUT ? 0 : path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = REASONS[code ?? ""] ?? message;
    throw new CzctlError(`cannot read ${what} ${path}: ${why}`, {
      code: "FILE_UNREADABLE",
      category: "user",
      hint: "Give the path of a readable file, or - for standard input.",
      cause: error,
    });
  }
  if (bytes.length <= LIMIT_BYTES) return bytes.toString("utf8");
  throw new CzctlError(`cannot use ${what} ${path}: it is larger than 1 MiB`, {
    code: "FILE_TOO_LARGE",
    category: "config",
    hint: "Check that it is the right file.",
  });
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "it does not exist",
  EACCES: "no permission",
  EISDIR: "it is a directory",
};
