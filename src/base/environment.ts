/** What the pure rooms are given instead of reaching for it: time, randomness, a place for log lines. */

/** Milliseconds since an arbitrary origin that never goes back; fractions allowed. */
export type Milliseconds = number;

/** `pollAt()` of a machine that waits for nothing. */
export const NEVER: Milliseconds = Number.POSITIVE_INFINITY;

export interface Random {
  /** An unsigned 32-bit integer that an attacker cannot predict. */
  uint32(): number;
  /** Fills `bytes` with such integers' bytes. */
  fill(bytes: Uint8Array): void;
}

/** From the least to the most important. */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Names of fields that no log line shows, should one ever be given any. */
export const SECRET_FIELDS: readonly string[] = [
  "privateKey",
  "presharedKey",
  "credential",
  "authorization",
  "token",
];

/** Values in `fields` must be safe to show: no keys, no payload. */
export interface Logger {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}
