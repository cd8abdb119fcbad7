/**
 * The gate that handshake messages pass: cheap checks before dear ones (paper §5.3).
 *
 * ```
 *  length ─► enough? ─► mac1 ─► load? ──no───────────────────────────► X25519, AEAD, peer
 *                                 └─yes─► mac2? ──no──► per source ─► in all ─► cookie reply
 *                                          └─yes─► per source ─► in all ──► X25519, AEAD, peer
 * ```
 *
 * DEVIATION(paper §5.3, "under load" left open; others measure a queue): messages are handled as they come,
 * so load is a rate: more than HANDSHAKES_PER_SECOND after a burst of 128, and then for one second. This
 * bounds what a flood can take from the data path; see the figures at the constants.
 */
import { ENDPOINT_BYTES, type Milliseconds, NEVER } from "../base/index.js";
import {
  COOKIE_BYTES,
  INITIATION_BYTES,
  MESSAGE_COOKIE,
  MESSAGE_INITIATION,
  MESSAGE_RESPONSE,
  RESPONSE_BYTES,
} from "./constants.js";
import { CookieChecker } from "./cookie.js";
import { Drop } from "./drop.js";
import { openInitiation } from "./handshake.js";
import { COOKIE_RECEIVER_AT, RESPONSE_RECEIVER_AT, readInt32 } from "./message.js";
import type { Peer } from "./peer.js";
import type { PeerHost } from "./peer-host.js";
import { SourceLimiter, TokenBucket } from "./ratelimiter.js";

/** A mac1 takes 1 µs: at most a fifteenth of a core. What comes beyond is not even looked at. */
const CHECKS_PER_SECOND = 64_000;
const CHECK_BURST = 1024;
/** A handshake takes 0.4 ms: at most a fifth of a core. */
const HANDSHAKES_PER_SECOND = 500;
/** An eighth of the 1024 that others queue. */
const HANDSHAKE_BURST = 128;
/** A cookie reply takes 25 µs: at most a twentieth of a core. */
const COOKIES_PER_SECOND = 2000;
const LOAD_HOLD_MS = 1000;
/** Port and address of an endpoint record: what a cookie is bound to. */
const COOKIE_SOURCE_AT = 2;
const COOKIE_SOURCE_BYTES = 18;

export class HandshakeGate {
  private readonly host: PeerHost;
  private readonly findPeer: (publicKey: Uint8Array) => Peer | null;
  private readonly sources: SourceLimiter;
  /** Who has no cookie may not keep others from getting one. */
  private readonly cookieSources: SourceLimiter;
  private readonly checks: TokenBucket = new TokenBucket(CHECKS_PER_SECOND, CHECK_BURST);
  private readonly arrivals: TokenBucket = new TokenBucket(HANDSHAKES_PER_SECOND, HANDSHAKE_BURST);
  private readonly proven: TokenBucket = new TokenBucket(HANDSHAKES_PER_SECOND, HANDSHAKE_BURST);
  private readonly cookieReplies: TokenBucket = new TokenBucket(COOKIES_PER_SECOND, HANDSHAKE_BURST);
  private readonly replyTo: Uint8Array = new Uint8Array(ENDPOINT_BYTES);
  private cookies: CookieChecker;
  private underLoadUntil: Milliseconds = -NEVER;

  constructor(host: PeerHost, findPeer: (publicKey: Uint8Array) => Peer | null) {
    this.host = host;
    this.findPeer = findPeer;
    this.sources = new SourceLimiter(host.arena, host.identity.random);
    this.cookieSources = new SourceLimiter(host.arena, host.identity.random);
    this.cookies = this.createChecker();
  }

  /** Our own key changed. */
  identityChanged(): void {
    this.cookies = this.createChecker();
  }

  /** 0, or why the message was dropped. */
  process(type: number, offset: number, length: number, source: number, now: Milliseconds): number {
    const message = this.host.arena.u8.subarray(offset, offset + length);
    switch (type) {
      case MESSAGE_INITIATION:
        if (length !== INITIATION_BYTES) return Drop.malformed;
        return this.admit(message, source, now) || this.initiation(message, source, now);
      case MESSAGE_RESPONSE:
        if (length !== RESPONSE_BYTES) return Drop.malformed;
        return this.admit(message, source, now) || this.response(message, source, now);
      case MESSAGE_COOKIE:
        return length === COOKIE_BYTES ? this.cookie(message, now) : Drop.malformed;
      default:
        return Drop.unknownType;
    }
  }

  private createChecker(): CookieChecker {
    const { crypto, random, publicKey } = this.host.identity;
    return new CookieChecker(crypto, random, publicKey);
  }

  /** 0 when the message is worth its work. */
  private admit(message: Uint8Array, source: number, now: Milliseconds): number {
    if (!this.checks.take(now)) return Drop.rateLimited;
    if (!this.cookies.checkMac1(message)) return Drop.badMac1;
    if (!this.arrivals.take(now)) this.underLoadUntil = now + LOAD_HOLD_MS;
    if (now >= this.underLoadUntil) return 0;
    const at = source + COOKIE_SOURCE_AT;
    const sourceBytes = this.host.arena.u8.subarray(at, at + COOKIE_SOURCE_BYTES);
    if (!this.cookies.checkMac2(message, sourceBytes, now)) {
      return this.replyWithCookie(message, source, sourceBytes, now);
    }
    return this.sources.allow(source, now) && this.proven.take(now) ? 0 : Drop.rateLimited;
  }

  private replyWithCookie(
    message: Uint8Array,
    source: number,
    sourceBytes: Uint8Array,
    now: Milliseconds,
  ): number {
    if (!this.cookieSources.allow(source, now) || !this.cookieReplies.take(now)) return Drop.rateLimited;
    const { arena, scratch, output } = this.host;
    this.cookies.writeReply(arena.u8.subarray(scratch, scratch + COOKIE_BYTES), message, sourceBytes, now);
    this.replyTo.set(arena.u8.subarray(source, source + this.replyTo.length));
    output.send(this.replyTo, scratch, COOKIE_BYTES);
    return Drop.cookieSent;
  }

  private initiation(message: Uint8Array, source: number, now: Milliseconds): number {
    const opened = openInitiation(this.host.identity, message);
    if (opened === null) return Drop.unauthentic;
    const peer = this.findPeer(opened.remoteStatic);
    if (peer === null) return Drop.unknownPeer;
    if (this.host.draining && !peer.isAt(source)) return Drop.draining;
    switch (peer.handshake.consumeInitiation(opened, now)) {
      case "ok":
        return peer.handshakes.respond(opened, source, now) ? 0 : Drop.unauthentic;
      case "replayed":
        return Drop.replayed;
      case "too-soon":
        return Drop.tooSoon;
      case "forged":
        return Drop.unauthentic;
    }
  }

  private response(message: Uint8Array, source: number, now: Milliseconds): number {
    const index = readInt32(message, RESPONSE_RECEIVER_AT);
    const peer = this.host.indexes.get(index);
    if (peer === null) return Drop.unknownIndex;
    return peer.handshakes.consumeResponse(message, index, source, now) ? 0 : Drop.unauthentic;
  }

  private cookie(message: Uint8Array, now: Milliseconds): number {
    const peer = this.host.indexes.get(readInt32(message, COOKIE_RECEIVER_AT));
    if (peer === null) return Drop.unknownIndex;
    return peer.cookies.consumeReply(message, now) ? 0 : Drop.unauthentic;
  }
}
