/** `--output FILE`: where a secret goes that a shell's `>` would leave readable for everybody. */
import { closeSync, constants, openSync, rmSync, writeFileSync } from "node:fs";
import type { Argv } from "yargs";
import { CzctlError } from "../base/index.js";

const { O_CREAT, O_EXCL, O_WRONLY } = constants;

export interface OutputFlags {
  output: string | undefined;
}

export function withOutput<T>(y: Argv<T>): Argv<T & OutputFlags> {
  return y.option("output", {
    type: "string",
    requiresArg: true,
    description: "Write the credential to this new file, for its owner only [standard output]",
  });
}

/**
 * Makes a secret, and puts it into `path` if there is one: a new file (0600), made first, so that nothing is made
 * in vain. One that is there already is not touched. Throws CzctlError.
 */
export async function intoFile<T>(
  path: string | undefined,
  make: () => Promise<T>,
  secretOf: (made: T) => string | Uint8Array,
): Promise<T> {
  if (path === undefined) return make();
  const fd = createFile(path);
  try {
    const made = await make();
    writeFileSync(fd, secretOf(made));
    return made;
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
}

function createFile(path: string): number {
  try {
    return openSync(path, O_WRONLY | O_CREAT | O_EXCL, 0o600);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new CzctlError(`cannot make ${path}: ${code === "EEXIST" ? "it is there already" : message}`, {
      code: "OUTPUT_UNUSABLE",
      category: "user",
      hint: "Give the path of a new file.",
      cause: error,
    });
  }
}
