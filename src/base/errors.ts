/**
 * The one error type that reaches a user.
 *
 * `category` decides the exit code and what the hint may say; `code` is stable and is what programs match.
 * What comes from the network never throws: the protocol rooms return drop reasons instead.
 */

/** Who can mend it: the person at the keyboard, a file they wrote, the machine or network, or us. */
export type ErrorCategory = "user" | "config" | "environment" | "internal";

/** Exit codes of the CLI by category; 0 is success. */
export const EXIT_CODES: Readonly<Record<ErrorCategory, number>> = {
  internal: 1,
  user: 2,
  config: 3,
  environment: 4,
};

export interface CzctlErrorOptions {
  /** Stable, upper case with underscores: `SPACE_NOT_FOUND`. */
  code: string;
  category: ErrorCategory;
  /** What to do, as one sentence in the imperative. */
  hint?: string;
  cause?: unknown;
}

export class CzctlError extends Error {
  readonly code: string;
  readonly category: ErrorCategory;
  readonly hint: string | undefined;

  constructor(message: string, options: CzctlErrorOptions) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "CzctlError";
    this.code = options.code;
    this.category = options.category;
    this.hint = options.hint;
  }

  toJSON(): { code: string; category: ErrorCategory; message: string; hint?: string } {
    return {
      code: this.code,
      category: this.category,
      message: this.message,
      ...(this.hint === undefined ? {} : { hint: this.hint }),
    };
  }
}
