/**
 * Numbers of the WireGuard protocol. The first part is the specification's (Donenfeld, "WireGuard: Next
 * Generation Kernel Network Tunnel", §5.4 and §6.1); the second is this implementation's.
 */
export const CONSTRUCTION = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
export const IDENTIFIER = "WireGuard v1 zx2c4 Jason@zx2c4.com";
export const LABEL_MAC1 = "mac1----";
export const LABEL_COOKIE = "cookie--";

export const MESSAGE_INITIATION = 1;
export const MESSAGE_RESPONSE = 2;
export const MESSAGE_COOKIE = 3;
export const MESSAGE_TRANSPORT = 4;

export const INITIATION_BYTES = 148;
export const RESPONSE_BYTES = 92;
export const COOKIE_BYTES = 64;
export const TRANSPORT_HEADER_BYTES = 16;
export const TAG_BYTES = 16;
/** A transport message without content. */
export const KEEPALIVE_BYTES: number = TRANSPORT_HEADER_BYTES + TAG_BYTES;
export const PADDING_BYTES = 16;
export const KEY_BYTES = 32;
export const TIMESTAMP_BYTES = 12;

export const REKEY_AFTER_TIME_MS = 120_000;
export const REJECT_AFTER_TIME_MS = 180_000;
export const REKEY_ATTEMPT_TIME_MS = 90_000;
export const REKEY_TIMEOUT_MS = 5_000;
export const KEEPALIVE_TIMEOUT_MS = 10_000;
export const COOKIE_SECRET_MAX_AGE_MS = 120_000;
/** DEVIATION(paper §6.1, 2^60): counters are exact in a JavaScript number up to 2^53 only. */
export const REKEY_AFTER_MESSAGES: number = 2 ** 52;
/** DEVIATION(paper §6.1, 2^64 − 2^13 − 1): as above. No session lives long enough to see either. */
export const REJECT_AFTER_MESSAGES: number = 2 ** 53 - 2 ** 13 - 1;

/**
 * DEVIATION(paper §6.4, §6.5), for peers that are `eager`: silence is noticed, and a handshake that was not
 * answered is repeated, after one second instead of fifteen and five, or after three round trips when they are
 * longer. So a laptop whose agent has died is with another replica in seconds. After EAGER_RETRIES it goes on at
 * the paper's pace. Silence is what a question met (questions.ts): who only acknowledged asks first, by an echo request.
 */
export const EAGER_PATIENCE_MS = 1_000;
export const EAGER_RETRY_MS = 1_000;
export const EAGER_RETRIES = 5;
export const EAGER_ROUND_TRIPS = 3;
/** A peer that was there but had nothing to say is given twice the time, until there was no alarm for so long. */
export const EAGER_CALM_MS = 60_000;

/** Spreads retries, so that two peers that start together do not stay in step. */
export const REKEY_TIMEOUT_JITTER_MAX_MS = 333;
export const MAX_HANDSHAKE_RETRIES: number = REKEY_ATTEMPT_TIME_MS / REKEY_TIMEOUT_MS;
/** Initiations of one peer closer together than this are dropped. */
export const MIN_INITIATION_INTERVAL_MS = 20;
/** Counters this far behind the greatest are refused (RFC 6479). */
export const REPLAY_WINDOW = 8128;
