/**
 * What leaves the stack for a connection: segments are built in place where the link wants them.
 *
 * The constant parts of a connection's headers are kept as numbers in its `HeaderTemplate`: ports, addresses,
 * and the sum of what the pseudo-header covers. Each function returns false, with nothing sent, when the link
 * takes nothing now; the caller keeps the connection queued.
 */
import type { Milliseconds } from "../../base/index.js";
import {
  finishSum,
  IPV4_DONT_FRAGMENT,
  PROTOCOL_TCP,
  setIpv4Ect,
  setIpv6Ect,
  sumBytes,
  sumPseudoHeader,
  TCP_ACK,
  TCP_HEADER_BYTES,
  TCP_MAX_OPTION_BYTES,
  TCP_SYN,
  TCP_TIMESTAMP_BYTES,
  writeChecksumRedundant,
  writeMss,
  writeSack,
  writeSackPermitted,
  writeTcp,
  writeTimestamps,
  writeWindowScale,
} from "../../wire/index.js";
import type { FlowKey } from "../flow-key.js";
import { ipHeaderBytes, writeIpHeader } from "../ip-output.js";
import type { TcpConnection } from "./connection.js";
import { MIN_GATHERED_BYTES } from "./constants.js";
import { type Seq, seqAdd } from "./seq.js";

/** In the TCP header. */
const CHECKSUM_AT = 16;
const sackBlocks = new Int32Array(8);

export class HeaderTemplate {
  readonly ipBytes: number;
  /** Folded sum of both addresses. */
  readonly addressSum: number;
  /** Added to the clock for TSval (RFC 7323 §5.4): what our uptime is, is nobody's business. */
  readonly timestampOffset: number;

  constructor(key: FlowKey, timestampOffset: number) {
    this.ipBytes = ipHeaderBytes(key);
    this.addressSum = key.addressSum();
    this.timestampOffset = timestampOffset;
  }
}

/** TSval: milliseconds (RFC 7323 §5.4 allows 1 ms to 1 s a tick). */
export function timestampNow(of: { readonly timestampOffset: number }, now: Milliseconds): number {
  return (Math.floor(now) + of.timestampOffset) | 0;
}

/** SYN, or SYN-ACK when the peer's SYN is known. */
export function sendSyn(c: TcpConnection, now: number): boolean {
  const { ipBytes } = c.template;
  const at = c.attachment.reserve(ipBytes + TCP_HEADER_BYTES + TCP_MAX_OPTION_BYTES);
  if (at === -1) return false;
  const { rcv, snd } = c;
  const passive = c.state === "SYN-RECEIVED";
  const view = c.context.arena.view;
  const options = at + ipBytes + TCP_HEADER_BYTES;
  let end = options + writeMss(view, options, rcv.offeredMss);
  // A SYN-ACK only carries what the SYN offered.
  if (!passive || snd.sackPermitted) end += writeSackPermitted(view, end);
  // What cannot be replayed needs no PAWS (docs/decisions/0015-no-timestamps-inside-the-tunnel.md).
  if (passive ? rcv.timestamps : c.attachment.link.checksum !== "redundant") {
    end += writeTimestamps(view, end, timestampNow(c.template, now), passive ? rcv.tsRecent : 0);
  }
  if (!passive || c.scaling) end += writeWindowScale(view, end, c.offeredShift);
  if (passive ? c.omitsChecksum : c.attachment.link.checksum === "redundant") {
    end += writeChecksumRedundant(view, end);
  }
  const headerBytes = end - at - ipBytes;
  const ack = passive ? rcv.nxt : 0;
  // RFC 3168 §6.1.1.1: asked once.
  const ecn = c.ecn.synFlags(passive, c.attachment.link.congested && snd.retransmits === 0);
  const flags = (passive ? TCP_SYN | TCP_ACK : TCP_SYN) | ecn;
  writeTcp(view, at + ipBytes, c.key.ports, snd.iss, ack, headerBytes, flags, rcv.offerInitialWindow());
  if (passive) rcv.onAckSent();
  finish(c, at, headerBytes, 0, 0, false, -1);
  return true;
}

/** An ACK without data, with as many SACK blocks as fit. `seq` is SND.NXT, or below SND.UNA to probe. */
export function sendAck(c: TcpConnection, seq: Seq, now: number): boolean {
  const { ipBytes } = c.template;
  const at = c.attachment.reserve(ipBytes + TCP_HEADER_BYTES + TCP_MAX_OPTION_BYTES);
  if (at === -1) return false;
  const { rcv, snd } = c;
  const view = c.context.arena.view;
  let end = at + ipBytes + TCP_HEADER_BYTES;
  if (rcv.timestamps) end += writeTimestamps(view, end, timestampNow(c.template, now), rcv.tsRecent);
  if (snd.sackPermitted && rcv.assembler.somethingToReport) {
    const count = rcv.assembler.report(sackBlocks, rcv.timestamps ? 3 : 4);
    if (count > 0) end += writeSack(view, end, sackBlocks, count);
  }
  const headerBytes = end - at - ipBytes;
  writeTcpHeader(c, at, seq, headerBytes, TCP_ACK, false);
  rcv.onAckSent();
  finish(c, at, headerBytes, 0, 0, false, -1);
  return true;
}

/**
 * Bytes [seq, seq + length) of the send ring: as one super-segment where the link takes those, else segment by segment.
 * SACK blocks never ride on data: its header keeps one length, and `sendAck` reports them.
 * @param flags of the last segment; those before it carry an ACK and no more
 * @param fresh the bytes leave for the first time
 * @returns how many bytes have left, fewer than `length` when the link takes no more; -1 when it took nothing
 */
export function sendData(
  c: TcpConnection,
  seq: Seq,
  length: number,
  flags: number,
  fresh: boolean,
  now: number,
): number {
  const { mss } = c.snd;
  if (length <= mss || c.attachment.link.maxGsoBytes > 0) {
    return sendSegment(c, seq, length, flags, length > mss ? mss : 0, fresh, now) ? length : -1;
  }
  let done = 0;
  while (done < length) {
    const alike = sendAlike(c, seqAdd(seq, done), length - done);
    done += alike;
    if (alike > 0) continue;
    const left = length - done;
    const piece = left > mss ? mss : left;
    if (!sendSegment(c, seqAdd(seq, done), piece, left > mss ? TCP_ACK : flags, 0, fresh, now)) {
      return done > 0 ? done : -1;
    }
    done += piece;
  }
  return length;
}

/**
 * Full segments, all but the last of `length` new bytes, whose headers differ in the sequence number only; where each
 * needs something of its own, none. Returns how many bytes have left.
 */
function sendAlike(c: TcpConnection, seq: Seq, length: number): number {
  const { rcv, snd, ecn, attachment } = c;
  const { mss } = snd;
  const { link } = attachment;
  const { ring } = snd;
  if (rcv.timestamps || !c.omitsChecksum || link.commitGathered === undefined || ring === null) return 0;
  const headerBytes = c.template.ipBytes + TCP_HEADER_BYTES;
  let done = 0;
  while (length - done > mss) {
    const next = seqAdd(seq, done);
    const text = textInPlace(c, next, mss);
    if (text === -1) break;
    const at = attachment.reserve(headerBytes + mss);
    if (at === -1) break;
    writeTcpHeader(c, at, next, TCP_HEADER_BYTES, TCP_ACK, ecn.enabled);
    writeIp(c, at, TCP_HEADER_BYTES + mss, ecn.enabled);
    const inPlace = ring.contiguous(snd.positionOf(next), length - done - 1);
    const taken = link.commitGathered(headerBytes, text, mss, (inPlace / mss) | 0, 0);
    c.context.counters.packetsOut += taken;
    done += taken * mss;
  }
  if (done > 0 && rcv.duplicatesOwed === 0) rcv.onAckSent();
  return done;
}

/** @param gsoSize payload of each of the pieces that a super-segment is cut into, else 0 */
function sendSegment(
  c: TcpConnection,
  seq: Seq,
  length: number,
  flags: number,
  gsoSize: number,
  fresh: boolean,
  now: number,
): boolean {
  const { rcv, snd, ecn } = c;
  const { ipBytes } = c.template;
  const headerBytes = TCP_HEADER_BYTES + (rcv.timestamps ? TCP_TIMESTAMP_BYTES : 0);
  const at = c.attachment.reserve(ipBytes + headerBytes + length);
  if (at === -1) return false;
  const view = c.context.arena.view;
  const capable = ecn.enabled && fresh && length > 0;
  writeTcpHeader(c, at, seq, headerBytes, flags, capable);
  if (rcv.timestamps) {
    writeTimestamps(view, at + ipBytes + TCP_HEADER_BYTES, timestampNow(c.template, now), rcv.tsRecent);
  }
  const text = textInPlace(c, seq, length);
  if (length > 0 && text === -1) snd.ring?.copyOut(snd.positionOf(seq), at + ipBytes + headerBytes, length);
  // Duplicate ACKs and SACK blocks need a segment without data.
  if (rcv.duplicatesOwed === 0) rcv.onAckSent();
  finish(c, at, headerBytes, length, gsoSize, capable, text);
  return true;
}

/** Where the bytes [seq, seq + length) lie, when the link may take them from there; else −1. */
function textInPlace(c: TcpConnection, seq: Seq, length: number): number {
  const { link } = c.attachment;
  const { ring } = c.snd;
  if (length < MIN_GATHERED_BYTES || link.commitGathered === undefined || ring === null) return -1;
  // Who sums bytes wants them behind the headers.
  if (link.checksum !== "partial" && !c.omitsChecksum) return -1;
  const position = c.snd.positionOf(seq);
  return ring.contiguous(position, length) === length ? ring.offsetOf(position) : -1;
}

/** The reset that ends a synchronized connection, or that answers the SYN of a refused one. */
export function sendReset(c: TcpConnection, seq: Seq, ack: Seq, flags: number): void {
  c.context.counters.tcpResetsOut++;
  c.context.output.sendBareTcp(c.attachment, c.key, seq, ack, flags);
}

/** TCP's fixed header, with what it tells of ECN and of our window. @param at of the packet */
function writeTcpHeader(
  c: TcpConnection,
  at: number,
  seq: Seq,
  headerBytes: number,
  flags: number,
  ecnCapable: boolean,
): void {
  const { rcv } = c;
  const tcp = at + c.template.ipBytes;
  const allFlags = flags | c.ecn.takeFlags(ecnCapable);
  writeTcp(c.context.arena.view, tcp, c.key.ports, seq, rcv.nxt, headerBytes, allFlags, rcv.offerWindow());
}

function writeIp(c: TcpConnection, at: number, segmentBytes: number, ecnCapable: boolean): void {
  const { view } = c.context.arena;
  writeIpHeader(view, at, c.key, PROTOCOL_TCP, segmentBytes, IPV4_DONT_FRAGMENT, 0);
  if (!ecnCapable) return;
  if (c.key.family === 4) setIpv4Ect(view, at);
  else setIpv6Ect(view, at);
}

/**
 * IP header, checksum as the link wants it, and off it goes.
 * @param text as `textInPlace`
 */
function finish(
  c: TcpConnection,
  at: number,
  tcpBytes: number,
  payloadBytes: number,
  gsoSize: number,
  ecnCapable: boolean,
  text: number,
): void {
  const { arena, counters } = c.context;
  const { ipBytes, addressSum } = c.template;
  const { link } = c.attachment;
  const segmentBytes = tcpBytes + payloadBytes;
  writeIp(c, at, segmentBytes, ecnCapable);
  if (payloadBytes === 0 || !c.omitsChecksum) {
    let sum = sumPseudoHeader(addressSum, PROTOCOL_TCP, segmentBytes);
    if (link.checksum !== "partial") sum = finishSum(sum + sumBytes(arena, at + ipBytes, segmentBytes));
    arena.view.setUint16(at + ipBytes + CHECKSUM_AT, sum);
  }
  counters.packetsOut++;
  if (text === -1) link.commit(ipBytes + segmentBytes, gsoSize, ipBytes + tcpBytes);
  else link.commitGathered?.(ipBytes + tcpBytes, text, payloadBytes, 1, gsoSize);
}
