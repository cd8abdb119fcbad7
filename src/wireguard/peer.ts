/**
 * One peer of a device: who it is, where it is, its sessions, its timers and its figures.
 *
 * Owns what happens when something is sent to the peer or was received from it authentically. Receiving
 * and routing are the device's, the first look at handshake messages is the gate's, and handshakes themselves are
 * `PeerHandshakes`'.
 */
import {
  clearLocalAddress,
  ENDPOINT_BYTES,
  type Endpoint,
  FIRST_PIECE_BYTES,
  joinPieces,
  LOCAL_ADDRESS_AT,
  type Milliseconds,
  type Prefix,
  writeEndpoint,
} from "../base/index.js";
import {
  KEEPALIVE_BYTES,
  KEEPALIVE_TIMEOUT_MS,
  KEY_BYTES,
  REJECT_AFTER_TIME_MS,
  REKEY_AFTER_MESSAGES,
  REKEY_AFTER_TIME_MS,
  REKEY_TIMEOUT_MS,
  TRANSPORT_HEADER_BYTES,
} from "./constants.js";
import { CookieKeeper } from "./cookie.js";
import { count } from "./drop.js";
import { Handshake } from "./handshake.js";
import { type Keypair, KeypairSlots } from "./keypair.js";
import { PeerHandshakes } from "./peer-handshakes.js";
import type { PeerHost } from "./peer-host.js";
import { asksForAnswer } from "./questions.js";
import { StagingQueue } from "./staging.js";
import { PeerTimers, type TimerActions } from "./timers.js";

export class Peer implements TimerActions {
  readonly publicKey: Uint8Array;
  /** Where to send, as in base/endpoint; family 0 while unknown. Read only for others. */
  readonly endpoint: Uint8Array;
  /** Increases whenever `endpoint` changes, so that a sender can cache what it derives from it. */
  endpointVersion = 0;
  allowedIps: readonly Prefix[] = [];
  /** UDP payload bytes, as `wg show` counts them. 0.1, not 0: keeps V8's representation of the fields a double from the start. */
  rxBytes = 0.1;
  txBytes = 0.1;
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
  readonly handshakes: PeerHandshakes;
  readonly cookies: CookieKeeper;
  /** See `retire`. */
  retired = false;
  private readonly host: PeerHost;
  private readonly staging: StagingQueue = new StagingQueue();
  private readonly endpointWords: Int32Array;

  constructor(host: PeerHost, publicKey: Uint8Array) {
    this.rxBytes = 0;
    this.txBytes = 0;
    this.host = host;
    this.publicKey = publicKey.slice();
    this.endpoint = new Uint8Array(ENDPOINT_BYTES);
    this.endpointWords = new Int32Array(this.endpoint.buffer);
    this.timers = new PeerTimers(host.identity.random, host.schedule, this);
    this.keypairs = new KeypairSlots(index => host.indexes.release(index));
    this.handshake = new Handshake(this.publicKey);
    this.cookies = new CookieKeeper(host.identity.crypto, this.publicKey);
    this.handshake.setIdentity(host.identity);
    this.handshakes = new PeerHandshakes(host, this);
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
    this.handshakes.initiate(now);
  }

  /** Packets leave from the address that the peer reached us at; from now on from one that the kernel picks. */
  forgetLocalAddress(): void {
    clearLocalAddress(this.endpoint, 0);
  }

  // ---- sending ----

  /** As `Device.seal`. */
  seal(offset: number, length: number, now: Milliseconds, rest: number): number {
    const keypair = this.keypairs.current;
    if (keypair === null || !keypair.canSend(now)) {
      this.stage(offset, length, now, rest);
      return 0;
    }
    const { timers } = this;
    // Before it is sealed, and of each packet only until one does.
    const asks = !timers.awaitsAnswer && asksForAnswer(this.host.arena.view, offset, length);
    const total = this.sealWith(keypair, offset, length, rest);
    timers.dataSent(asks, now);
    this.refreshAfterSend(keypair, now);
    return total;
  }

  /** As `Device.sealAlike`. The one before them has told the timers. */
  sealAlike(
    count: number,
    offset: number,
    stride: number,
    length: number,
    rest: number,
    restStride: number,
    now: Milliseconds,
  ): number {
    const keypair = this.keypairs.current;
    if (keypair === null || !keypair.canSend(now)) return 0;
    const { arena, mtu } = this.host;
    const sealed = keypair.sealAlike(arena, count, offset, stride, length, mtu, rest, restStride);
    this.txBytes += sealed * stride;
    this.refreshAfterSend(keypair, now);
    return sealed;
  }

  private sealWith(keypair: Keypair, offset: number, length: number, rest: number): number {
    const total = keypair.seal(this.host.arena, offset, length, this.host.mtu, rest);
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

  private stage(offset: number, length: number, now: Milliseconds, rest: number): void {
    const { arena } = this.host;
    joinPieces(arena, offset, length, rest);
    const dropped = this.staging.push(arena.u8, offset, length);
    if (dropped > 0) count(this.host.counters, "stagedDropped", dropped);
    this.initiate(now);
  }

  /** Sends what waited for a session; without anything waiting, an empty packet if `confirm`. */
  flush(confirm: boolean, now: Milliseconds): void {
    if (this.staging.length === 0) {
      if (confirm) this.sendKeepalive(now);
      return;
    }
    const { arena, scratch, output } = this.host;
    const offset = scratch + TRANSPORT_HEADER_BYTES;
    for (const packet of this.staging.take()) {
      arena.u8.set(packet, offset);
      const total = this.seal(offset, packet.length, now, offset + FIRST_PIECE_BYTES);
      if (total === 0) continue;
      this.host.identity.crypto.runSeals();
      output.send(this.endpoint, scratch, total);
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
    const at = scratch + TRANSPORT_HEADER_BYTES;
    this.sealWith(keypair, at, 0, at + FIRST_PIECE_BYTES);
    this.host.identity.crypto.runSeals();
    output.send(this.endpoint, scratch, KEEPALIVE_BYTES);
    this.timers.anySent(now);
    this.refreshAfterSend(keypair, now);
  }

  // ---- handshakes ----

  /** §6.5. */
  onSilence(now: Milliseconds): void {
    this.handshakes.restoring = true;
    this.silent = this.retired;
    this.sendInitiation(now);
  }

  onQuiet(now: Milliseconds): void {
    if (!this.host.events.onQuiet(this, now)) this.onSilence(now);
  }

  /** Nothing came back. The address of ours may be why: it can still be here and no longer lead there. */
  sendInitiation(now: Milliseconds): void {
    this.forgetLocalAddress();
    this.handshakes.initiate(now);
  }

  // ---- receiving ----

  /** A data packet of `total` bytes was authenticated under `keypair`. */
  received(keypair: Keypair, source: number, total: number, now: Milliseconds): void {
    this.heard(source, total, now);
    if (keypair === this.keypairs.next) {
      this.keypairs.confirm();
      this.handshakes.completed(now);
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
  heard(source: number, bytes: number, now: Milliseconds): void {
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
    this.handshakes.giveUp(now);
    this.staging.take();
  }

  /** §6.3. */
  zeroKeys(): void {
    this.handshakes.abandon();
    this.keypairs.clear();
  }

  /** Our own key changed: sessions under the old one are over. */
  identityChanged(): void {
    this.zeroKeys();
    this.handshake.setIdentity(this.host.identity);
  }

  /** The next initiation is not held back by the last one. */
  allowInitiation(): void {
    this.handshakes.allowAnother();
  }

  /** The way to the peer is another one: shakes hands along it at once, if there was any talk. */
  networkChanged(now: Milliseconds): void {
    this.forgetLocalAddress();
    if (!this.hasSession(now) && !this.handshake.isUnderWay && this.persistentKeepaliveSeconds === 0) return;
    this.allowInitiation();
    this.handshakes.restoring = true;
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
}
