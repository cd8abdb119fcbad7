/** A failed control call as the error that a user sees; the packet path returns −errno instead. */
import { getSystemErrorMap, getSystemErrorName } from "node:util";
import { CzctlError } from "../base/index.js";

interface Advice {
  readonly code: string;
  readonly hint: string;
}

const ADVICE: Readonly<Record<string, Advice>> = {
  EPERM: { code: "PERMISSION_DENIED", hint: "Run it with sudo." },
  EACCES: { code: "PERMISSION_DENIED", hint: "Run it with sudo." },
  EADDRINUSE: {
    code: "ADDRESS_IN_USE",
    hint: "Choose another port, or stop the program that uses this one.",
  },
  EADDRNOTAVAIL: { code: "ADDRESS_NOT_AVAILABLE", hint: "Choose an address that this machine has." },
  EBUSY: { code: "DEVICE_BUSY", hint: "Stop the program that uses it, or choose another name." },
  EEXIST: { code: "ALREADY_EXISTS", hint: "Remove what is there, or choose another name." },
  ENODEV: { code: "NO_SUCH_DEVICE", hint: "Check that the network device still exists." },
  EMFILE: { code: "TOO_MANY_FILES", hint: "Raise the limit of open files (ulimit -n)." },
};

/** Why a control call failed, in Node's own shape. */
export interface SystemCause extends Error {
  errno: number;
  code: string;
  syscall: string;
}

/**
 * @param doing what was attempted, as it reads after "cannot": `bind UDP port 51820`
 * @param result −errno
 * @param advice overrides what the errno alone suggests
 */
export function systemError(
  doing: string,
  syscall: string,
  result: number,
  advice?: Partial<Advice> & { detail?: string },
): CzctlError {
  const name = getSystemErrorName(result);
  const cause: SystemCause = Object.assign(new Error(`${syscall}: ${name}`), {
    errno: -result,
    code: name,
    syscall,
  });
  const known = ADVICE[name];
  const hint = advice?.hint ?? known?.hint;
  const why = advice?.detail ?? getSystemErrorMap().get(result)?.[1] ?? "the system refused";
  return new CzctlError(`cannot ${doing}: ${why} (${name})`, {
    code: advice?.code ?? known?.code ?? "SYSTEM_CALL_FAILED",
    category: "environment",
    ...(hint === undefined ? {} : { hint }),
    cause,
  });
}

/** The errno (positive) behind an error of this room, or 0. */
export function errnoOf(error: unknown): number {
  const cause = error instanceof CzctlError ? error.cause : undefined;
  return cause instanceof Error && "errno" in cause && typeof cause.errno === "number" ? cause.errno : 0;
}
