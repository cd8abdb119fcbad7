/**
 * The timers of one peer (paper §6): deadlines that the data path moves by writing numbers.
 *
 * | deadline        | set when                                   | cleared when            | then                |
 * |-----------------|--------------------------------------------|-------------------------|---------------------|
 * | `retransmitAt`  | initiation sent                            | handshake complete      | initiation again    |
 * | `keepaliveAt`   | data received, unless set                  | anything sent           | empty packet        |
 * | `newHandshakeAt`| data sent, unless set                      | anything received       | initiation          |
 * | `persistentAt`  | anything sent or received                  | –                       | empty packet        |
 * | `zeroKeysAt`    | keys derived                               | –                       | all keys wiped      |
 * | `askAt`         | eager: data sent that asks for no answer   | anything received       | something that does |
 */
import { type Milliseconds, NEVER, type Random } from "../base/index.js";
import {
  EAGER_CALM_MS,
  EAGER_PATIENCE_MS,
  EAGER_RETRIES,
  EAGER_RETRY_MS,
  EAGER_ROUND_TRIPS,
  KEEPALIVE_TIMEOUT_MS,
  MAX_HANDSHAKE_RETRIES,
  REJECT_AFTER_TIME_MS,
  REKEY_TIMEOUT_JITTER_MAX_MS,
  REKEY_TIMEOUT_MS,
} from "./constants.js";
import type { Schedule, Scheduled } from "./schedule.js";

/** §6.5: how long data may go unanswered. */
const PATIENCE_MS: Milliseconds = KEEPALIVE_TIMEOUT_MS + REKEY_TIMEOUT_MS;

/** What the deadlines lead to; the peer does it. */
export interface TimerActions {
  sendInitiation(now: Milliseconds): void;
  /** Data was sent and nothing came back. */
  onSilence(now: Milliseconds): void;
  /** Nothing has come back, and need not: what was sent last asked for nothing. */
  onQuiet(now: Milliseconds): void;
  sendKeepalive(now: Milliseconds): void;
  /** REKEY_ATTEMPT_TIME is over. */
  giveUpHandshake(now: Milliseconds): void;
  zeroKeys(): void;
}

export class PeerTimers implements Scheduled {
  wakeAt: Milliseconds = NEVER;
  heapSlot = -1;
  persistentKeepaliveMs = 0;
  /** Notices silence sooner, see EAGER_PATIENCE_MS. */
  eager = false;
  /** The peer's, as far as it is known. */
  rttMs: Milliseconds = 0;
  /** Initiations since anything was received. */
  unanswered = 0;
  /** Set once a session near its end caused a handshake from the receiving side. */
  sentLastMinuteHandshake = false;
  private retransmitAt: Milliseconds = NEVER;
  private keepaliveAt: Milliseconds = NEVER;
  private newHandshakeAt: Milliseconds = NEVER;
  private askAt: Milliseconds = NEVER;
  /** Since when data that asks for an answer has been without one. */
  private unheardSince: Milliseconds = NEVER;
  private persistentAt: Milliseconds = NEVER;
  private zeroKeysAt: Milliseconds = NEVER;
  private needsAnotherKeepalive = false;
  private attempts = 0;
  private jitterMs = 0;
  private alarmedAt: Milliseconds = -NEVER;
  private alarmPatienceMs: Milliseconds = 0;
  private readonly random: Random;
  private readonly schedule: Schedule<PeerTimers>;
  private readonly actions: TimerActions;

  constructor(random: Random, schedule: Schedule<PeerTimers>, actions: TimerActions) {
    this.random = random;
    this.schedule = schedule;
    this.actions = actions;
  }

  /** Earliest deadline. */
  get nextAt(): Milliseconds {
    return Math.min(
      this.retransmitAt,
      this.keepaliveAt,
      this.newHandshakeAt,
      this.persistentAt,
      this.zeroKeysAt,
      this.askAt,
    );
  }

  // ---- the data path ----

  /** An answer is due already. */
  get awaitsAnswer(): boolean {
    return this.unheardSince !== NEVER;
  }

  /**
   * A data packet with content was sent.
   * @param asks for an answer, and is the first that does (`awaitsAnswer`)
   */
  dataSent(asks: boolean, now: Milliseconds): void {
    // §6.5: a new handshake when nothing comes back for KEEPALIVE_TIMEOUT + REKEY_TIMEOUT after data was sent.
    if (asks) {
      this.unheardSince = now;
      this.askAt = NEVER;
      this.newHandshakeAt = Math.min(this.newHandshakeAt, now + this.patienceMs(now) + this.jitterMs);
      if (this.newHandshakeAt < this.wakeAt) this.schedule.wakeBy(this, this.newHandshakeAt);
    } else if (this.newHandshakeAt === NEVER) {
      this.newHandshakeAt = now + PATIENCE_MS + this.jitterMs;
      if (this.eager) this.askAt = now + this.patienceMs(now);
      const next = Math.min(this.newHandshakeAt, this.askAt);
      if (next < this.wakeAt) this.schedule.wakeBy(this, next);
    }
    this.anySent(now);
  }

  /** A data packet with content was received. */
  dataReceived(now: Milliseconds): void {
    // §6.5: a keep-alive when data was received and nothing is sent back for KEEPALIVE_TIMEOUT.
    if (this.keepaliveAt !== NEVER) {
      this.needsAnotherKeepalive = true;
      return;
    }
    this.keepaliveAt = now + KEEPALIVE_TIMEOUT_MS;
    if (this.keepaliveAt < this.wakeAt) this.schedule.wakeBy(this, this.keepaliveAt);
  }

  /** Any authenticated message was sent. */
  anySent(now: Milliseconds): void {
    this.keepaliveAt = NEVER;
    this.needsAnotherKeepalive = false;
    this.traversed(now);
  }

  /** Any authenticated message was received. */
  anyReceived(now: Milliseconds): void {
    this.newHandshakeAt = this.askAt = this.unheardSince = NEVER;
    this.unanswered = 0;
    this.traversed(now);
  }

  private traversed(now: Milliseconds): void {
    if (this.persistentKeepaliveMs === 0) return;
    this.persistentAt = now + this.persistentKeepaliveMs;
    if (this.persistentAt < this.wakeAt) this.schedule.wakeBy(this, this.persistentAt);
  }

  /** How long data that asks for an answer has been without one of any kind. */
  unheardMs(now: Milliseconds): Milliseconds {
    return Math.max(0, now - this.unheardSince);
  }

  // ---- handshakes ----

  /** The user has something to send: REKEY_ATTEMPT_TIME starts over (§6.4). */
  restartAttempts(): void {
    this.attempts = 0;
  }

  /** An initiation may follow the one before it after this long. */
  get retryMs(): Milliseconds {
    if (!this.eager || this.unanswered > EAGER_RETRIES) return REKEY_TIMEOUT_MS;
    return Math.min(Math.max(EAGER_RETRY_MS, EAGER_ROUND_TRIPS * this.rttMs), REKEY_TIMEOUT_MS);
  }

  private patienceMs(now: Milliseconds): Milliseconds {
    if (!this.eager) return PATIENCE_MS;
    const again = now - this.alarmedAt < EAGER_CALM_MS ? 2 * this.alarmPatienceMs : 0;
    return Math.min(Math.max(EAGER_PATIENCE_MS, EAGER_ROUND_TRIPS * this.rttMs, again), PATIENCE_MS);
  }

  initiationSent(now: Milliseconds): void {
    this.unanswered++;
    // §6.1: up to 333 ms of jitter, so that two ends do not initiate in step.
    this.jitterMs = this.random.uint32() % (REKEY_TIMEOUT_JITTER_MAX_MS + 1);
    this.retransmitAt = now + this.retryMs + this.jitterMs;
    this.schedule.wakeBy(this, this.retransmitAt);
    this.anySent(now);
  }

  handshakeComplete(): void {
    this.retransmitAt = NEVER;
    this.attempts = 0;
    this.sentLastMinuteHandshake = false;
  }

  sessionDerived(now: Milliseconds): void {
    // §6.3: all keys are wiped after REJECT_AFTER_TIME * 3 without new ones.
    this.zeroKeysAt = now + REJECT_AFTER_TIME_MS * 3;
    this.schedule.wakeBy(this, this.zeroKeysAt);
  }

  /** 0 switches it off. */
  setPersistentKeepalive(intervalMs: number): void {
    this.persistentKeepaliveMs = intervalMs;
    this.persistentAt = NEVER;
  }

  /** Forgets every deadline. */
  stop(): void {
    this.retransmitAt = this.keepaliveAt = this.newHandshakeAt = NEVER;
    this.askAt = this.unheardSince = NEVER;
    this.persistentAt = this.zeroKeysAt = NEVER;
    this.needsAnotherKeepalive = false;
    this.schedule.remove(this);
  }

  // ---- running them ----

  /** Does what is due, and files the peer again. It is not in the schedule when this is called. */
  run(now: Milliseconds): void {
    if (now >= this.retransmitAt) this.retransmit(now);
    if (now >= this.keepaliveAt) {
      const again = this.needsAnotherKeepalive;
      this.keepaliveAt = NEVER;
      this.needsAnotherKeepalive = false;
      this.actions.sendKeepalive(now);
      if (again) this.keepaliveAt = now + KEEPALIVE_TIMEOUT_MS;
    }
    if (now >= this.newHandshakeAt) {
      this.newHandshakeAt = this.askAt = this.unheardSince = NEVER;
      this.attempts = 0;
      this.alarmPatienceMs = this.patienceMs(now);
      this.alarmedAt = now;
      this.actions.onSilence(now);
    }
    if (now >= this.askAt) {
      this.askAt = NEVER;
      if (this.eager) this.actions.onQuiet(now);
    }
    if (now >= this.persistentAt) {
      this.persistentAt = now + this.persistentKeepaliveMs;
      this.actions.sendKeepalive(now);
    }
    if (now >= this.zeroKeysAt) {
      this.zeroKeysAt = NEVER;
      this.actions.zeroKeys();
    }
    this.schedule.wakeBy(this, this.nextAt);
  }

  private retransmit(now: Milliseconds): void {
    this.retransmitAt = NEVER;
    // §6.4: retried every REKEY_TIMEOUT, for REKEY_ATTEMPT_TIME.
    if (this.attempts >= MAX_HANDSHAKE_RETRIES) {
      this.keepaliveAt = NEVER;
      // What is left of a handshake that came to nothing goes with the keys.
      if (this.zeroKeysAt === NEVER) this.zeroKeysAt = now + REJECT_AFTER_TIME_MS * 3;
      this.actions.giveUpHandshake(now);
      return;
    }
    this.attempts++;
    this.actions.sendInitiation(now);
  }
}
