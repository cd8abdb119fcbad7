/** Numbers of the TCP machine, each with where it comes from. */
import type { Milliseconds } from "../../base/index.js";

/** RFC 9293 §3.7.1 (MUST-15): what a peer without an MSS option takes, per family. */
export const DEFAULT_MSS_V4 = 536;
export const DEFAULT_MSS_V6 = 1220;
/** A smaller MSS option would make every byte cost a header (RFC 6691 sets no floor; Linux has 48 too). */
export const MIN_MSS = 48;

/** RFC 6298 §2.1. */
export const INITIAL_RTO_MS: Milliseconds = 1000;
/** DEVIATION(RFC 6298 §2.4): 1 s is asked for; every current stack uses 200 ms and peers ACK within 40 ms. */
export const MIN_RTO_MS: Milliseconds = 200;
/** RFC 6298 §2.5 asks for at least 60 s. */
export const MAX_RTO_MS: Milliseconds = 120_000;
/** SYN sent at 0, 1, 3, 7, 15, 31, 63 s, given up at 127 s (RFC 9293 §3.8.3 R2, the common figure). */
export const MAX_SYN_RETRANSMITS = 6;
/** SYN-ACKs are given up after 63 s: the client repeats its SYN anyway. */
export const MAX_SYNACK_RETRANSMITS = 5;
/** RFC 9293 §3.8.3: R2 of at least 100 s; 15 time-outs from 200 ms on make 924 s, as on Linux. */
export const MAX_RETRANSMITS = 15;
/** A pending SYN about which nobody decides: longer than any dial lasts. */
export const PENDING_SYN_MS: Milliseconds = 140_000;

/** RFC 1122 §4.2.3.2 allows 500 ms; 40 ms is what Linux uses and what a standard Nagle sender feels. */
export const DELAYED_ACK_MS: Milliseconds = 40;
/** Segments acknowledged at once when a connection starts, so slow start is not held back. */
export const QUICK_ACKS = 16;
/** RFC 5961 §7: at most one challenge ACK in this time, per connection (a shared limit is a side channel). */
export const CHALLENGE_ACK_MS: Milliseconds = 500;
/** RFC 7323 §5.5: after 24 days of silence the peer's timestamp clock may have wrapped. */
export const PAWS_IDLE_MS: Milliseconds = 24 * 24 * 3600 * 1000;
/** A half-closed connection whose receive ring has been given up. */
export const FIN_WAIT_2_MS: Milliseconds = 60_000;

/** RFC 6928: ten segments. */
export const INITIAL_WINDOW_SEGMENTS = 10;
/** RFC 5681 §3.2. */
export const DUPLICATE_ACK_THRESHOLD = 3;
/** Bursts in flight that are kept track of; more wait, so neither tiny writes nor tiny SACK blocks can fill memory. */
export const MAX_SENT_ENTRIES = 16_384;
/** Payload bytes one connection sends before the next one has its turn. */
export const DISPATCH_QUANTUM_BYTES: number = 128 << 10;
/** With less than this to send, a connection is before those with more. */
export const BRIEF_BYTES = 4096;
/** Text of at least so many bytes is sent from where it lies in the ring: less is copied sooner than a second piece is told of. */
export const MIN_GATHERED_BYTES = 1024;
/** Ranges of out-of-order bytes per connection; a segment that would make one more is dropped. */
export const MAX_OUT_OF_ORDER_RANGES = 256;
/** RFC 7323 §2.3. */
export const MAX_WINDOW_SHIFT = 14;

/**
 * An own connection in TIME-WAIT lets a new one have its port after this time, when timestamps tell their segments
 * apart (RFC 6191, RFC 7323 §5; as Linux does): else 60 s of TIME-WAIT bound the rate of connections.
 */
export const TIME_WAIT_REUSE_MS = 1000;

/** A connection over which nothing has come or gone for so long gives up what only one in use needs. */
export const REST_AFTER_MS: Milliseconds = 5_000;
/** Thousands that fell silent together do so in one go, not one by one. */
export const REST_GRAIN_MS: Milliseconds = 1_000;
