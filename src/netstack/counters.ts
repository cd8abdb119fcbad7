/**
 * What the stack counts: each reason for which a packet is dropped, and a few things worth knowing. Plain
 * numeric fields, so that counting costs one addition; `czctl status --verbose` shows them by name.
 */
export class Counters {
  packetsIn = 0;
  /** TCP segments, datagrams and ICMP messages handed to links. */
  packetsOut = 0;

  // IP
  ipTooShort = 0;
  ipBadVersion = 0;
  ipBadHeader = 0;
  ipBadChecksum = 0;
  /** Multicast, broadcast or unspecified where a host's address must stand. */
  ipBadAddress = 0;
  ipExtensionHeader = 0;
  ipUnknownProtocol = 0;
  fragmentsIn = 0;
  fragmentBad = 0;
  fragmentOverlap = 0;
  fragmentTimeout = 0;
  /** No buffer, or too many datagrams being put together. */
  fragmentNoRoom = 0;

  // ICMP
  icmpBad = 0;
  icmpUnhandled = 0;
  icmpRateLimited = 0;
  /** Errors about connections that we do not have, or out of their window (RFC 5927). */
  icmpStray = 0;

  // UDP
  udpBad = 0;
  udpBadChecksum = 0;
  udpRefused = 0;
  udpFlowLimit = 0;

  // TCP input
  /** Segments that repeated the headers of the one before them (`tcp/header-prediction.ts`). */
  tcpPredicted = 0;
  tcpBad = 0;
  tcpBadChecksum = 0;
  tcpOutOfWindow = 0;
  tcpPaws = 0;
  tcpBadAck = 0;
  tcpChallengeAcks = 0;
  tcpNoConnection = 0;
  tcpOutOfOrder = 0;
  tcpDuplicate = 0;
  tcpRangeLimit = 0;
  /** The ring would not take the bytes: no memory, or no ring. */
  tcpNoRoom = 0;
  /** SYN floods: questions not taken, and clients that never answered. */
  tcpPendingLimit = 0;
  tcpHalfOpenDropped = 0;
  tcpConnectionLimit = 0;
  tcpBlindReset = 0;
  /** Segments that a router had marked (RFC 3168). */
  tcpEcnMarked = 0;

  // TCP output
  tcpRetransmits = 0;
  tcpTimeouts = 0;
  tcpFastRecoveries = 0;
  /** Time-outs and recoveries that were undone: nothing had been lost (RFC 5682, 3522, 3708). */
  tcpSpuriousTimeouts = 0;
  tcpSpuriousRecoveries = 0;
  /** Reductions of the window because the peer echoed a mark. */
  tcpEcnReductions = 0;
  tcpTailLossProbes = 0;
  tcpZeroWindowProbes = 0;
  tcpResetsOut = 0;
  tcpResetsIn = 0;

  /** `reserve` gave no room for a packet that is not kept for later. */
  txDropped = 0;
}
