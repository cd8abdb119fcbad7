/**
 * One peer's handshakes (paper §5.4, §6.4): when one may begin, the one that is under way, the session that comes of
 * it, and what is told when none does. Noise itself is `Handshake`'s; what travels in a session is the peer's.
 */
import { type Milliseconds, NEVER } from "../base/index.js";
import { INITIATION_BYTES, REKEY_AFTER_TIME_MS, RESPONSE_BYTES } from "./constants.js";
import { count } from "./drop.js";
import type { OpenedInitiation, SessionKeys } from "./handshake.js";
import { Keypair } from "./keypair.js";
import type { Peer } from "./peer.js";
import type { PeerHost } from "./peer-host.js";
import { Silence } from "./silence.js";

const NO_INDEX = 0;
/** Data without an answer for longer than this was lost, most of it. */
const SILENCE_MS: Milliseconds = 1_000;
/** The two ends' clocks need not run alike. */
const RENEWAL_SLACK_MS: Milliseconds = 5_000;

export class PeerHandshakes {
  /** The one under way follows silence, or a change of the network. */
  restoring = false;
  private readonly host: PeerHost;
  private readonly peer: Peer;
  private readonly silence: Silence = new Silence();
  private index = NO_INDEX;
  private hasIndex = false;

  constructor(host: PeerHost, peer: Peer) {
    this.host = host;
    this.peer = peer;
  }

  /** §6.4; at most one each REKEY_TIMEOUT. */
  initiate(now: Milliseconds): void {
    const { host, peer } = this;
    const { timers, handshake } = peer;
    if (now - handshake.sentAt < timers.retryMs || !peer.hasEndpoint || peer.retired) return;
    if (timers.unanswered > 0) this.restoring = true;
    this.reportSilence(now);
    this.releaseIndex();
    this.index = host.indexes.allocate(peer);
    this.hasIndex = true;
    const message = host.arena.u8.subarray(host.scratch, host.scratch + INITIATION_BYTES);
    const timestamp = host.timestamps.next();
    if (!handshake.writeInitiation(host.identity, message, this.index, timestamp, now)) {
      this.releaseIndex();
      return;
    }
    peer.cookies.addMacs(message, now);
    this.send(INITIATION_BYTES);
    count(host.counters, "initiationsSent");
    timers.initiationSent(now);
  }

  /** An initiation of this peer was found good: answers it. False when its keys are no real ones. */
  respond(opened: OpenedInitiation, source: number, now: Milliseconds): boolean {
    const { host, peer } = this;
    const message = host.arena.u8.subarray(host.scratch, host.scratch + RESPONSE_BYTES);
    const localIndex = host.indexes.allocate(peer);
    const keys = peer.handshake.writeResponse(host.identity, message, opened, localIndex);
    if (keys === null) {
      host.indexes.release(localIndex);
      return false;
    }
    if (this.isUnexpected(now)) this.restoring = true;
    peer.heard(source, INITIATION_BYTES, now);
    peer.cookies.addMacs(message, now);
    peer.keypairs.addResponded(this.createKeypair(keys, localIndex, false, now));
    peer.timers.sessionDerived(now);
    this.send(RESPONSE_BYTES);
    count(host.counters, "responsesSent");
    peer.timers.anySent(now);
    return true;
  }

  /** A response to the initiation with that index. False when it is forged or late. */
  consumeResponse(message: Uint8Array, localIndex: number, source: number, now: Milliseconds): boolean {
    if (!this.hasIndex || localIndex !== this.index) return false;
    const { peer } = this;
    const { sentAt } = peer.handshake;
    const keys = peer.handshake.consumeResponse(this.host.identity, message);
    if (keys === null) return false;
    this.hasIndex = false; // It is the session's from here on.
    peer.rttMs = now - sentAt;
    peer.timers.rttMs = peer.rttMs;
    peer.heard(source, RESPONSE_BYTES, now);
    peer.keypairs.addInitiated(this.createKeypair(keys, localIndex, true, now));
    peer.timers.sessionDerived(now);
    this.completed(now);
    // §5.4.5: the first packet confirms the keys to the responder, so one goes out in any case.
    peer.flush(true, now);
    return true;
  }

  /** Both ends have the keys, and know it of each other. */
  completed(now: Milliseconds): void {
    const { host, peer, restoring } = this;
    peer.timers.handshakeComplete();
    peer.lastHandshakeAt = host.wallClock();
    this.silence.ended();
    count(host.counters, "handshakes");
    this.restoring = false;
    host.events.onHandshake(peer, now, restoring);
  }

  /** REKEY_ATTEMPT_TIME is over. */
  giveUp(now: Milliseconds): void {
    this.reportSilence(now);
    count(this.host.counters, "handshakesGivenUp");
  }

  /** Forgets the one under way. */
  abandon(): void {
    this.peer.handshake.abandon();
    this.releaseIndex();
  }

  /** Forgets when the last initiation was sent, so that the next one is not held back. */
  allowAnother(): void {
    this.peer.handshake.sentAt = -NEVER;
    this.peer.timers.unanswered = 0;
  }

  /**
   * §6.2: only who began a session renews it, and not before its time. A peer that calls otherwise has started anew,
   * or its network has changed; or both ends have heard nothing, and it noticed first.
   */
  private isUnexpected(now: Milliseconds): boolean {
    const { timers, keypairs } = this.peer;
    const { current } = keypairs;
    if (timers.unheardMs(now) > SILENCE_MS) return true;
    if (current === null) return false;
    return current.isInitiator || now - current.createdAt < REKEY_AFTER_TIME_MS - RENEWAL_SLACK_MS;
  }

  private createKeypair(
    keys: SessionKeys,
    localIndex: number,
    isInitiator: boolean,
    now: Milliseconds,
  ): Keypair {
    const { crypto } = this.host.identity;
    const sendKey = crypto.createAeadKey(keys.sendKey);
    const receiveKey = crypto.createAeadKey(keys.receiveKey);
    keys.sendKey.fill(0);
    keys.receiveKey.fill(0);
    return new Keypair(sendKey, receiveKey, localIndex, keys.remoteIndex, isInitiator, now);
  }

  private send(bytes: number): void {
    this.peer.txBytes += bytes;
    this.host.output.send(this.peer.endpoint, this.host.scratch, bytes);
  }

  private reportSilence(now: Milliseconds): void {
    const seconds = this.silence.report(now);
    if (seconds >= 0) this.host.events.onHandshakeTimeout(this.peer, seconds);
  }

  private releaseIndex(): void {
    if (!this.hasIndex) return;
    this.host.indexes.release(this.index);
    this.hasIndex = false;
  }
}
