/**
 * One peer of a device: who it is, where it is, its sessions, its timers and its figures.
 *
 * Owns what happens when something is sent to the peer or was received from it authentically. Receiving
 * and routing are the device's, the first look at handshake messages is the gate's.
 */
import {
  clearLocalAddress,
  ENDPOINT_BYTES,
  type Endpoint,
  LOCAL_ADDRESS_AT,
  type Milliseconds,
  NEVER,
  type Prefix,
  writeEndpoint,
} from "../base/index.js";
import {
  INITIATION_BYTES,
  KEEPALIVE_BYTES,
  KEEPALIVE_TIMEOUT_MS,
  KEY_BYTES,
  REJECT_AFTER_TIME_MS,
  REKEY_AFTER_MESSAGES,
  REKEY_AFTER_TIME_MS,
  REKEY_TIMEOUT_MS,
  RESPONSE_BYTES,
  TRANSPORT_HEADER_BYTES,
} from "./constants.js";
import { CookieKeeper } from "./cookie.js";
import { count } from "./drop.js";
import { Handshake, type OpenedInitiation, type SessionKeys } from "./handshake.js";
import { Keypair, KeypairSlots } from "./keypair.js";
import type { PeerHost } from "./peer-host.js";
import { asksForAnswer } from "./questions.js";
import { Silence } from "./silence.js";
import { StagingQueue } from "./staging.js";
import { PeerTimers, type TimerActions } from "./timers.js";

const NO_INDEX = 0;
/** Data without an answer for longer than this was lost, most of it. */
const SILENCE_MS: Milliseconds = 1_000;
/** The two ends' clocks need not run alike. */
const RENEWAL_SLACK_MS: Milliseconds = 5_000;

export class Peer implements TimerActions {
  readonly publicKey: Uint8Array;
  /** Where to send, as in base/endpoint; family 0 while unknown. Read only for others. */
  readonly endpoint: Uint8Array;
  /** Increases whenever `endpoint` changes, so that a sender can cache what it derives from it. */
  endpointVersion = 0;
  allowedIps: readonly Prefix[] = [];
  /** UDP payload bytes, as `wg show` counts them. */
  rxBytes = 0;
  txBytes = 0;
  /** Milliseconds since the epoch; 0 for never. */
  lastHandshakeAt = 0;
  /** Initiation to response of the last handshake that we initiated; 0 while unknown. */
  rttMs = 0;
  /** Nothing came back although it was asked: only of a retired peer, which does not ask again. */
  silent = false;
  /** The owner's: what stands behind this peer (its link in the data plane). */
  context: unknown = null;

  /** The rest is for this room. */
  readonly timers: PeerTimers;
  readonly keypairs: KeypairSlots;
  readonly handshake: Handshake;
  readonly cookies: CookieKeeper;
  private readonly host: PeerHost;
  private readonly staging: StagingQueue = new StagingQueue();
  private readonly endpointWords: Int32Array;
  private handshakeIndex = NO_INDEX;
  private hasHandshakeIndex = false;
  private readonly silence: Silence = new Silence();
  /** The handshake under way follows silence, or a change of the network. */
  private restoring = false;
  private retired = false;

  constructor(host: PeerHost, publicKey: Uint8Array) {
    this.host = host;
    this.publicKey = publicKey.slice();
    this.endpoint = new Uint8Array(ENDPOINT_BYTES);
    this.endpointWords = new Int32Array(this.endpoint.buffer);
    this.timers = new PeerTimers(host.identity.random, host.schedule, this);
    this.keypairs = new KeypairSlots(index => host.indexes.release(index));
    this.handshake = new Handshake(this.publicKey);
    this.cookies = new CookieKeeper(host.identity.crypto, this.publicKey);
    this.handshake.setIdentity(host.identity);
  }

  get hasEndpoint(): boolean {
    return this.endpoint[0] !== 0;
  }

  get persistentKeepaliveSeconds(): number {
    return this.timers.persistentKeepaliveMs / 1000;
  }

  /** Whether packets can be sent without a handshake first. */
  hasSession(now: Milliseconds): boolean {
    return this.keypairs.current?.canSend(now) ?? false;
  }

  /** Sends what waited for an endpoint, too. */
  setEndpoint(endpoint: Endpoint, now: Milliseconds): void {
    writeEndpoint(this.endpoint, 0, endpoint);
    this.endpointVersion++;
    this.flush(false, now);
  }

  /** Starts a handshake unless one was started less than REKEY_TIMEOUT ago. */
  initiate(now: Milliseconds): void {
    this.timers.restartAttempts();
    this.tryInitiation(now);
  }

  /** Packets leave from the address that the peer reached us at; from now on from one that the kernel picks. */
  forgetLocalAddress(): void {
    clearLocalAddress(this.endpoint, 0);
  }

  // ---- sending ----

  /** As `Device.seal`. */
  seal(offset: number, length: number, now: Milliseconds): number {
    const keypair = this.keypairs.current;
    if (keypair === null || !keypair.canSend(now)) {
      this.stage(offset, length, now);
      return 0;
    }
    const { timers } = this;
    // Before it is sealed, and of each packet only until one does.
    const asks = !timers.awaitsAnswer && asksForAnswer(this.host.arena.view, offset, length);
    const total = this.sealWith(keypair, offset, length);
    timers.dataSent(asks, now);
    this.refreshAfterSend(keypair, now);
    return total;
  }

  private sealWith(keypair: Keypair, offset: number, length: number): number {
    const total = keypair.seal(this.host.arena, offset, length, this.host.mtu);
    this.txBytes += total;
    return total;
  }

  /** §6.2: the initiator renews a session at REKEY_AFTER_TIME when it sends, anyone at REKEY_AFTER_MESSAGES. */
  private refreshAfterSend(keypair: Keypair, now: Milliseconds): void {
    if (
      (keypair.isInitiator && now - keypair.createdAt >= REKEY_AFTER_TIME_MS) ||
      keypair.sendCounter > REKEY_AFTER_MESSAGES
    ) {
      this.initiate(now);
    }
  }

  private stage(offset: number, length: number, now: Milliseconds): void {
    const dropped = this.staging.push(this.host.arena.u8, offset, length);
    if (dropped > 0) count(this.host.counters, "stagedDropped", dropped);
    this.initiate(now);
  }

  /** Sends what waited for a session; without anything waiting, an empty packet if `confirm`. */
  private flush(confirm: boolean, now: Milliseconds): void {
    if (this.staging.length === 0) {
      if (confirm) this.sendKeepalive(now);
      return;
    }
    const { arena, scratch, output } = this.host;
    const offset = scratch + TRANSPORT_HEADER_BYTES;
    for (const packet of this.staging.take()) {
      arena.u8.set(packet, offset);
      const total = this.seal(offset, packet.length, now);
      if (total > 0) output.send(this.endpoint, scratch, total);
    }
  }

  /** §6.5. Without a session it asks for one, which tells the peer as well. */
  sendKeepalive(now: Milliseconds): void {
    const keypair = this.keypairs.current;
    if (keypair === null || !keypair.canSend(now)) {
      this.initiate(now);
      return;
    }
    if (!this.hasEndpoint) return;
    const { scratch, output } = this.host;
    this.sealWith(keypair, scratch + TRANSPORT_HEADER_BYTES, 0);
    output.send(this.endpoint, scratch, KEEPALIVE_BYTES);
    this.timers.anySent(now);
    this.refreshAfterSend(keypair, now);
  }

  // ---- handshakes ----

  /** §6.5. */
  onSilence(now: Milliseconds): void {
    this.restoring = true;
    this.silent = this.retired;
    this.sendInitiation(now);
  }

  onQuiet(now: Milliseconds): void {
    if (!this.host.events.onQuiet(this, now)) this.onSilence(now);
  }

  /** Nothing came back. The address of ours may be why: it can still be here and no longer lead there. */
  sendInitiation(now: Milliseconds): void {
    this.forgetLocalAddress();
    this.tryInitiation(now);
  }

  /** §6.4; at most one each REKEY_TIMEOUT. */
  private tryInitiation(now: Milliseconds): void {
    const { timers } = this;
    if (now - this.handshake.sentAt < timers.retryMs || !this.hasEndpoint || this.retired) return;
    if (timers.unanswered > 0) this.restoring = true;
    const { host } = this;
    this.reportSilence(now);
    this.releaseHandshakeIndex();
    this.handshakeIndex = host.indexes.allocate(this);
    this.hasHandshakeIndex = true;
    const message = host.arena.u8.subarray(host.scratch, host.scratch + INITIATION_BYTES);
    const timestamp = host.timestamps.next();
    if (!this.handshake.writeInitiation(host.identity, message, this.handshakeIndex, timestamp, now)) {
      this.releaseHandshakeIndex();
      return;
    }
    this.cookies.addMacs(message, now);
    this.sendHandshakeMessage(INITIATION_BYTES);
    count(host.counters, "initiationsSent");
    this.timers.initiationSent(now);
  }

  /** An initiation of this peer was found good: answers it. False when its keys are no real ones. */
  respond(opened: OpenedInitiation, source: number, now: Milliseconds): boolean {
    const { host } = this;
    const message = host.arena.u8.subarray(host.scratch, host.scratch + RESPONSE_BYTES);
    const localIndex = host.indexes.allocate(this);
    const keys = this.handshake.writeResponse(host.identity, message, opened, localIndex);
    if (keys === null) {
      host.indexes.release(localIndex);
      return false;
    }
    if (this.isUnexpected(now)) this.restoring = true;
    this.heard(source, INITIATION_BYTES, now);
    this.cookies.addMacs(message, now);
    this.keypairs.addResponded(this.createKeypair(keys, localIndex, false, now));
    this.timers.sessionDerived(now);
    this.sendHandshakeMessage(RESPONSE_BYTES);
    count(host.counters, "responsesSent");
    this.timers.anySent(now);
    return true;
  }

  /** A response to the initiation with that index. False when it is forged or late. */
  consumeResponse(message: Uint8Array, localIndex: number, source: number, now: Milliseconds): boolean {
    if (!this.hasHandshakeIndex || localIndex !== this.handshakeIndex) return false;
    const sentAt = this.handshake.sentAt;
    const keys = this.handshake.consumeResponse(this.host.identity, message);
    if (keys === null) return false;
    this.hasHandshakeIndex = false; // It is the session's from here on.
    this.rttMs = now - sentAt;
    this.timers.rttMs = this.rttMs;
    this.heard(source, RESPONSE_BYTES, now);
    this.keypairs.addInitiated(this.createKeypair(keys, localIndex, true, now));
    this.timers.sessionDerived(now);
    this.handshakeComplete(now);
    // §5.4.5: the first packet confirms the keys to the responder, so one goes out in any case.
    this.flush(true, now);
    return true;
  }

  /**
   * §6.2: only who began a session renews it, and not before its time. A peer that calls otherwise has started anew,
   * or its network has changed; or both ends have heard nothing, and it noticed first.
   */
  private isUnexpected(now: Milliseconds): boolean {
    const { current } = this.keypairs;
    if (this.timers.unheardMs(now) > SILENCE_MS) return true;
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

  private handshakeComplete(now: Milliseconds): void {
    this.timers.handshakeComplete();
    this.lastHandshakeAt = this.host.wallClock();
    this.silence.ended();
    count(this.host.counters, "handshakes");
    const { restoring } = this;
    this.restoring = false;
    this.host.events.onHandshake(this, now, restoring);
  }

  private sendHandshakeMessage(bytes: number): void {
    this.txBytes += bytes;
    this.host.output.send(this.endpoint, this.host.scratch, bytes);
  }

  private reportSilence(now: Milliseconds): void {
    const seconds = this.silence.report(now);
    if (seconds >= 0) this.host.events.onHandshakeTimeout(this, seconds);
  }

  // ---- receiving ----

  /** A data packet of `total` bytes was authenticated under `keypair`. */
  received(keypair: Keypair, source: number, total: number, now: Milliseconds): void {
    this.heard(source, total, now);
    if (keypair === this.keypairs.next) {
      this.keypairs.confirm();
      this.handshakeComplete(now);
      this.flush(false, now);
    } else if (this.keypairs.previous !== null) {
      this.keypairs.outgrow(keypair);
    }
    // §6.2: the initiator renews a session that is about to end when it hears from the peer, once.
    if (
      keypair.isInitiator &&
      !this.timers.sentLastMinuteHandshake &&
      now - keypair.createdAt >= REJECT_AFTER_TIME_MS - KEEPALIVE_TIMEOUT_MS - REKEY_TIMEOUT_MS
    ) {
      this.timers.sentLastMinuteHandshake = true;
      this.initiate(now);
    }
  }

  /** Any authenticated message came in from `source`: the peer is there from now on (§2.1). */
  private heard(source: number, bytes: number, now: Milliseconds): void {
    this.rxBytes += bytes;
    this.silent = false;
    this.timers.anyReceived(now);
    const { view, u8 } = this.host.arena;
    const words = this.endpointWords;
    for (let i = 0; i < ENDPOINT_BYTES / 4; i++) {
      if (words[i] === view.getInt32(source + 4 * i, true)) continue;
      this.endpoint.set(u8.subarray(source, source + ENDPOINT_BYTES));
      // Another address of ours is no other place of the peer's.
      if (i >= LOCAL_ADDRESS_AT / 4) return;
      this.endpointVersion++;
      this.host.events.onPeerEndpoint(this);
      return;
    }
  }

  // ---- ends ----

  giveUpHandshake(now: Milliseconds): void {
    this.reportSilence(now);
    this.staging.take();
    count(this.host.counters, "handshakesGivenUp");
  }

  /** §6.3. */
  zeroKeys(): void {
    this.handshake.abandon();
    this.releaseHandshakeIndex();
    this.keypairs.clear();
  }

  /** Our own key changed: sessions under the old one are over. */
  identityChanged(): void {
    this.zeroKeys();
    this.handshake.setIdentity(this.host.identity);
  }

  /** Forgets when the last initiation was sent, so that the next one is not held back. */
  allowInitiation(): void {
    this.handshake.sentAt = -NEVER;
    this.timers.unanswered = 0;
  }

  /** The way to the peer is another one: shakes hands along it at once, if there was any talk. */
  networkChanged(now: Milliseconds): void {
    this.forgetLocalAddress();
    if (!this.hasSession(now) && !this.handshake.isUnderWay && this.persistentKeepaliveSeconds === 0) return;
    this.allowInitiation();
    this.restoring = true;
    this.initiate(now);
  }

  /**
   * From here on it starts nothing, as the same peer is talked to by another device of ours: what is open goes on
   * for as long as the session lasts.
   */
  retire(): void {
    this.retired = true;
    this.timers.eager = false;
    this.timers.setPersistentKeepalive(0);
  }

  /** Whether the record at arena offset `source` is where the peer is, whichever address of ours it reached. */
  isAt(source: number): boolean {
    const { view } = this.host.arena;
    const theirs = this.endpointWords.subarray(0, LOCAL_ADDRESS_AT / 4);
    return theirs.every((word, i) => word === view.getInt32(source + 4 * i, true));
  }

  setPersistentKeepalive(seconds: number, now: Milliseconds): void {
    this.timers.setPersistentKeepalive(seconds * 1000);
    if (seconds > 0) this.sendKeepalive(now);
  }

  setPresharedKey(key: Uint8Array | undefined): void {
    this.handshake.setPresharedKey(key ?? new Uint8Array(KEY_BYTES));
  }

  /** The peer is removed: wipes every key, stops every timer. */
  close(): void {
    this.timers.stop();
    this.zeroKeys();
    this.staging.take();
    this.handshake.wipe();
  }

  private releaseHandshakeIndex(): void {
    if (!this.hasHandshakeIndex) return;
    this.host.indexes.release(this.handshakeIndex);
    this.hasHandshakeIndex = false;
  }
}
