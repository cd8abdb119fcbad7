/**
 * How large the inner packets for one peer may be: RFC 8899's search, between the two ends of a tunnel.
 *
 * The probe is an echo request to the peer's inner address, of exactly the size in question, in a datagram that
 * no router may fragment. Each is followed by one of BASE_BYTES, which every path carries: when that one is
 * answered and the probe is not, for MAX_PROBES times in a row, the size does not pass. When neither is, nothing
 * is known: the path is down, or the peer answers no echo.
 *
 * ```
 *   restart ─▶ largest size ──answered──▶ done ──used, CONFIRMATION_MS──▶ current size again (RAISE_MS: largest)
 *   suspect ─▶ current size ──lost 3×──▶ BASE_BYTES at once, then halving towards the largest
 * ```
 *
 * The search begins at the top (RFC 8899 §5.3.2 leaves the order open), and until it ends the configured size is
 * used, as WireGuard does: nearly every path carries it. What the kernel learnt from ICMP (RFC 1191, RFC 8201)
 * bounds the search from above. Sizes are multiples of 16, to which WireGuard pads.
 *
 * DEVIATION(RFC 8899 §5.1.1): PROBE_TIMER is 1 s, but no more than half a round trip once the answer to the
 * smaller packet has shown how long that is: flows stand still until a black hole is found.
 * DEVIATION(RFC 8899 §5.1.2): nothing below BASE_PLPMTU is searched. A path under 1280 bytes carries no IPv6;
 * over IPv4 the kernel fragments for it, once ICMP told it to.
 */
import { type Milliseconds, NEVER } from "../base/index.js";
import type { Timed, TimerHeap } from "../netstack/index.js";

/** BASE_PLPMTU: what fits a path of 1280 bytes, over IPv6 too. */
export const BASE_BYTES = 1200;
/** RFC 8899 §5.1.2. */
const MAX_PROBES = 3;
const PROBE_TIMER_MS: Milliseconds = 1_000;
/** What the answer to a probe may come later than the one to the packet behind it. */
const MIN_REORDERING_MS: Milliseconds = 20;
/** RFC 8899 §5.1.1: PMTU_RAISE_TIMER. */
const RAISE_MS: Milliseconds = 600_000;
/** CONFIRMATION_TIMER; it runs only while large packets are sent. Routers that fragment raise no suspicion. */
const CONFIRMATION_MS: Milliseconds = 3_000;
/** Suspicions this soon after an answer, or after there was none, are not looked into. */
const QUIET_MS: Milliseconds = 2_000;
const QUIET_UNANSWERED_MS: Milliseconds = 15_000;
/** A peer may change its address with every packet, and a search may not: it asks the kernel and sends two datagrams. */
const RESTART_PAUSE_MS: Milliseconds = 100;
const STEP_BYTES = 16;

/** What the search needs of the tunnel. */
export interface PathProber {
  /**
   * Sends an echo request that makes an inner packet of `bytes`.
   * @returns "too-big": not even this machine's link takes it; "unable": there is no session, or nobody to ask
   */
  probe(bytes: number, sequence: number): "sent" | "too-big" | "unable";
  /** Largest inner packet that the kernel believes the path to carry. */
  kernelLimit(): number;
  /** `size` has changed. */
  resized(): void;
}

/** How sure `size` is. */
export type PathMtuState = "searching" | "confirmed" | "unanswered";

export class PathMtu implements Timed {
  /** Bytes of the largest inner packet. */
  size: number;
  state: PathMtuState = "unanswered";
  /** The peer has answered on this path. */
  answers = false;
  /** Times that a size in use stopped passing. */
  blackHoles = 0;
  wakeAt: Milliseconds = NEVER;
  heapIndex = -1;
  private readonly largest: number;
  private readonly prober: PathProber;
  private readonly timers: TimerHeap;
  /** What to do at `deadline`. */
  private next: "nothing" | "restart" | "confirm" | "attempt" | "judge" = "nothing";
  private deadline: Milliseconds = NEVER;

  private quietUntil: Milliseconds = Number.NEGATIVE_INFINITY;
  private raiseAt: Milliseconds = NEVER;
  private restartedAt: Milliseconds = Number.NEGATIVE_INFINITY;
  // The search: `low` passes, `high` may, `candidate` is asked about.
  /** Only whether the size in use still passes. */
  private confirming = false;
  private low = BASE_BYTES;
  private high: number;
  private candidate = 0;
  private failures = 0;
  private silences = 0;
  private baseAnswered = false;
  /** Number of the current attempt and of the first one with this candidate; 15 bits. */
  private attempt = 0;
  private since = 0;
  private sentAt: Milliseconds = 0;

  /** @param largest configured inner MTU */
  constructor(largest: number, prober: PathProber, timers: TimerHeap) {
    this.largest = largest;
    this.size = largest;
    this.high = largest;
    this.prober = prober;
    this.timers = timers;
  }

  /** The path is a new one, or may be: searches from the top. */
  restart(now: Milliseconds): void {
    this.answers = false;
    this.wake("restart", Math.max(now, this.restartedAt + RESTART_PAUSE_MS));
  }

  /** A session came up. */
  onSession(now: Milliseconds): void {
    if (this.answers) this.suspect(now);
    else this.restart(now);
  }

  /** Something large was lost, maybe for its size: asks whether the current size still passes. */
  suspect(now: Milliseconds): void {
    if ((this.next !== "nothing" && this.next !== "confirm") || now < this.quietUntil) return;
    this.wake("confirm", now);
  }

  /** A packet of `bytes` was sent: the path is in use. */
  onSent(bytes: number, now: Milliseconds): void {
    if (this.next === "nothing" && bytes >= BASE_BYTES) this.wake("confirm", now + CONFIRMATION_MS);
  }

  /** The echo request `sequence` was answered. */
  onAnswer(sequence: number, now: Milliseconds): void {
    const age = (this.attempt - (sequence >> 1)) & 0x7fff;
    if (this.next !== "judge" || age > ((this.attempt - this.since) & 0x7fff)) return;
    this.answers = true;
    if (isBase(sequence)) {
      if (age > 0 || this.baseAnswered) return;
      this.baseAnswered = true;
      this.wake("judge", now + Math.max((now - this.sentAt) / 2, MIN_REORDERING_MS));
    } else {
      this.passes(now);
    }
  }

  /** The peer is gone. */
  stop(): void {
    this.next = "nothing";
    this.timers.cancel(this);
  }

  onWake(now: Milliseconds): void {
    if (this.next === "nothing") return;
    if (now < this.deadline) return this.timers.schedule(this, this.deadline);
    switch (this.next) {
      case "restart":
        this.restartedAt = now;
        return this.begin(this.largest, now);
      case "confirm":
        return this.begin(now >= this.raiseAt ? this.largest : this.size, now);
      case "attempt":
        return this.send(now);
      case "judge":
        return this.judge(now);
    }
  }

  private wake(what: PathMtu["next"], at: Milliseconds): void {
    this.next = what;
    this.deadline = at;
    this.timers.schedule(this, at);
  }

  private begin(candidate: number, now: Milliseconds): void {
    const limit = this.prober.kernelLimit();
    this.low = BASE_BYTES;
    this.high = limit >= this.largest ? this.largest : Math.max(wholeSteps(limit), BASE_BYTES);
    if (this.size > this.high) this.resize(this.high);
    this.confirming = candidate < this.high;
    if (!this.confirming) this.raiseAt = now + RAISE_MS;
    this.state = "searching";
    this.silences = 0;
    this.ask(Math.min(candidate, this.high), now);
  }

  private ask(candidate: number, now: Milliseconds): void {
    this.candidate = candidate;
    this.failures = 0;
    this.since = (this.attempt + 1) & 0x7fff;
    this.wake("attempt", now);
  }

  private send(now: Milliseconds): void {
    const { prober, candidate } = this;
    this.attempt = (this.attempt + 1) & 0x7fff;
    this.baseAnswered = false;
    this.sentAt = now;
    const outcome = prober.probe(candidate, this.attempt << 1);
    if (outcome === "unable") return this.giveUp(now);
    if (outcome === "too-big") return this.fails(now);
    if (candidate > BASE_BYTES) prober.probe(BASE_BYTES, (this.attempt << 1) | 1);
    this.wake("judge", now + PROBE_TIMER_MS);
  }

  /** The attempt's time is over. */
  private judge(now: Milliseconds): void {
    if (this.baseAnswered) {
      this.silences = 0;
      if (++this.failures >= MAX_PROBES) return this.fails(now);
    } else if (++this.silences >= MAX_PROBES) {
      return this.giveUp(now);
    }
    this.send(now);
  }

  private passes(now: Milliseconds): void {
    const { candidate } = this;
    this.silences = 0;
    this.low = candidate;
    if (candidate > this.size) this.resize(candidate);
    if (this.confirming) this.finish("confirmed", now + QUIET_MS);
    else this.proceed(now);
  }

  private fails(now: Milliseconds): void {
    const { candidate } = this;
    this.confirming = false;
    this.high = wholeSteps(candidate - 1);
    if (candidate <= this.size) {
      this.blackHoles++;
      this.resize(this.low);
    }
    this.proceed(now);
  }

  private proceed(now: Milliseconds): void {
    const { low, high } = this;
    if (high - low < STEP_BYTES) return this.finish("confirmed", now + QUIET_MS);
    this.ask(wholeSteps((low + high + STEP_BYTES) / 2), now);
  }

  private giveUp(now: Milliseconds): void {
    // Nobody to learn from: the kernel's word stands, and it fragments where it must.
    if (!this.answers && this.size !== this.high) this.resize(this.high);
    this.finish("unanswered", now + QUIET_UNANSWERED_MS);
  }

  private finish(state: PathMtuState, quietUntil: Milliseconds): void {
    this.state = state;
    this.next = "nothing";
    this.quietUntil = quietUntil;
  }

  private resize(bytes: number): void {
    this.size = bytes;
    this.prober.resized();
  }
}

function isBase(sequence: number): boolean {
  return (sequence & 1) === 1;
}

function wholeSteps(bytes: number): number {
  return bytes - (bytes % STEP_BYTES);
}
