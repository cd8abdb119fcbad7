/** What can be tuned, each with its default and reason. */
export interface StackOptions {
  /** A UDP flow without a datagram for this long is closed. RFC 4787 §4.3 asks NATs for at least 2 minutes. */
  udpIdleMs: number;
  maxUdpFlows: number;
  maxTcpConnections: number;
  /** SYNs that the handler has not decided about; past it further ones are not taken. */
  maxPendingSyns: number;
  /** Connections whose SYN-ACK the peer has not answered; past it the oldest is dropped. */
  maxHalfOpen: number;
  /** Connections in TIME-WAIT, beside the others; past it the oldest ends early. */
  maxTimeWait: number;
  /** The part of each of these limits that one link may have, so that one peer cannot take everything. */
  linkShare: number;
  /** Most bytes a ring may be raised to by receive autotuning or by a growing congestion window. */
  maxRingBytes: number;
  /** Window offered while no receive ring is attached. */
  defaultWindowBytes: number;
  /** docs/decisions/0011-congestion-control.md */
  congestion: "bbr" | "cubic" | "newreno";
  /** Without progress for this long a connection ends with "timeout"; Infinity for the usual count of time-outs. */
  userTimeoutMs: number;
  /** Whether new connections start with the Nagle algorithm (`transmit.ts` says why not). */
  nagle: boolean;
  /** Idle time before the first keep-alive probe; Infinity for none (RFC 9293 §3.8.4: off by default). */
  keepAliveIdleMs: number;
  keepAliveIntervalMs: number;
  keepAliveProbes: number;
  timeWaitMs: number;
  /** Datagrams being put together at once; each may hold 64 KiB. */
  maxReassemblies: number;
  /** ICMP errors sent, per second and in a burst (RFC 4443 §2.4 f). */
  icmpErrorsPerSecond: number;
  icmpErrorBurst: number;
}

export const DEFAULT_STACK_OPTIONS: Readonly<StackOptions> = {
  udpIdleMs: 120_000,
  maxUdpFlows: 16_384,
  maxTcpConnections: 65_536,
  maxPendingSyns: 4096,
  maxHalfOpen: 4096,
  maxTimeWait: 16_384,
  linkShare: 1,
  maxRingBytes: 4 << 20,
  defaultWindowBytes: 64 << 10,
  congestion: "bbr",
  userTimeoutMs: Number.POSITIVE_INFINITY,
  nagle: false,
  keepAliveIdleMs: Number.POSITIVE_INFINITY,
  keepAliveIntervalMs: 75_000,
  keepAliveProbes: 9,
  timeWaitMs: 60_000,
  maxReassemblies: 32,
  icmpErrorsPerSecond: 1000,
  icmpErrorBurst: 200,
};
