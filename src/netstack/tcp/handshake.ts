/** What the two SYNs agree on: segment size, window scale, SACK, timestamps, ECN, checksums (RFC 9293 §3.7.1, 7323, 2018, 3168, 1146). */
import type { Milliseconds } from "../../base/index.js";
import type { TcpConnection } from "./connection.js";
import { DEFAULT_MSS_V4, DEFAULT_MSS_V6, MAX_WINDOW_SHIFT, MIN_MSS } from "./constants.js";
import type { Segment } from "./segment.js";

/** Takes the options of the peer's SYN. We offer everything, so what it offers is agreed. */
export function negotiate(c: TcpConnection, segment: Segment, now: Milliseconds): void {
  const { options } = segment;
  const { snd, rcv } = c;
  const defaultMss = c.key.family === 4 ? DEFAULT_MSS_V4 : DEFAULT_MSS_V6;
  c.peerMss = Math.max(options.mss === 0 ? defaultMss : options.mss, MIN_MSS);
  c.ecn.negotiate(segment.flags);
  c.scaling = options.windowScale >= 0;
  if (c.scaling) {
    snd.windowShift = options.windowScale;
    rcv.windowShift = c.offeredShift;
  }
  snd.sackPermitted = options.sackPermitted;
  rcv.timestamps = options.hasTimestamps;
  if (options.hasTimestamps) {
    rcv.tsRecent = options.tsValue;
    rcv.tsRecentAt = Math.floor(now);
  }
  c.omitsChecksum = options.checksumRedundant && c.attachment.link.checksum === "redundant";
  c.checkMss();
}

/** Smallest shift with which a 16-bit field can offer `bytes` (RFC 7323 §2.2). */
export function windowShiftFor(bytes: number): number {
  let shift = 0;
  while (shift < MAX_WINDOW_SHIFT && 0xffff << shift < bytes) shift++;
  return shift;
}
