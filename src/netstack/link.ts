/**
 * The seams of the stack: where its packets go (`Link`), and who decides what it answers (`StackHandler`).
 * `dataplane/` implements both: a TUN device is a link, and so is each WireGuard peer.
 */
import type { Address, Milliseconds } from "../base/index.js";
import type { TcpConnection } from "./tcp/connection.js";
import type { UdpFlow } from "./udp.js";

/** What a link wants in the checksum field of a TCP or UDP packet. */
export type ChecksumMode =
  /** The right checksum: a standard peer will verify it. */
  | "full"
  /** The pseudo-header sum only; the kernel completes it (virtio-net NEEDS_CSUM). */
  | "partial"
  /**
   * As "full", but every packet that arrives is authenticated, and none arrives twice or much later than it was
   * sent. Two stacks that both say so agree, connection by connection, to leave the checksum out of segments with
   * data (RFC 1146's "redundant checksum avoidance"), and who opens a connection does not offer timestamps.
   */
  | "redundant";

/** A point-to-point attachment of the stack that carries whole IP packets. */
export interface Link {
  /** Largest IP packet in bytes. May change; connections look at each segment. */
  readonly mtu: number;
  /** Largest TCP super-segment (IP packet bytes) that `commit` may be given with a `gsoSize`; 0 for none. */
  readonly maxGsoBytes: number;
  readonly checksum: ChecksumMode;
  /** A wide-area path: congestion control and pacing apply. False for the TUN device, which loses nothing. */
  readonly congested: boolean;
  /** Told what the stack notices about the size of packets; absent where nobody searches the path. */
  readonly path?: PathObserver;
  /**
   * Arena offset where a packet of up to `bytes` bytes may be built, or -1 when the link takes none now.
   * After a -1 the link calls `stack.linkWritable(link)` once it does again. Each successful `reserve` is
   * followed by one `commit` before the next `reserve`.
   */
  reserve(bytes: number): number;
  /**
   * Sends the `bytes` bytes built at the reserved offset. The bytes are the link's from here on.
   * @param gsoSize payload bytes per segment when this is a TCP super-segment, else 0
   * @param headerBytes IP and transport header length when this is a TCP or UDP packet whose checksum is as
   *   `checksum` says; 0 when every checksum in it is complete and it must be sent as it is (ICMP, fragments)
   */
  commit(bytes: number, gsoSize: number, headerBytes: number): void;
  /**
   * As `commit`, of up to `count` TCP packets, of which only the first one's headers were built: the text of each is as long,
   * the first one's begins at arena byte `text`, and each goes on where the one before ends. Their headers differ in the
   * sequence number alone; where `count` is more than one, TCP's have no options. The text stays what it is until the
   * stack's `dispatch` or `poll` returns. Absent where a packet must be in one piece.
   * @param gsoSize as `commit`'s; a super-segment comes alone
   * @returns how many it took, at least the first
   */
  commitGathered?(
    headerBytes: number,
    text: number,
    textBytes: number,
    count: number,
    gsoSize: number,
  ): number;
}

/** Who finds out how large packets may be on a link. Must not call the stack back from within. */
export interface PathObserver {
  /**
   * A retransmission timer of a flow between these addresses has fired: large packets may no longer pass
   * (RFC 4821 §7.7, RFC 8899 §4.3).
   */
  suspect(local: Address, remote: Address, now: Milliseconds): void;
  /** An answer to echo request `rest` (identifier and sequence number) has come. */
  onEchoReply(rest: number, now: Milliseconds): void;
}

/** Why something cannot be reached: chooses the ICMP code, or RST. */
export type Unreachable = "network" | "host" | "port" | "prohibited";

/** Decides for the stack. Called from within `process` and `poll`; must not call those. */
export interface StackHandler {
  /**
   * A SYN for an address that nothing listens on. The connection stays silent until, now or later, one of
   * `accept`, `refuse` (RST) or `unreachable` (ICMP) is called on it; repeated SYNs are absorbed meanwhile.
   */
  onTcpSyn(connection: TcpConnection): void;
  /**
   * The first datagram of a flow that the stack does not know. Set `flow.receiver` to take it (it is then
   * given that datagram at once), or call `flow.refuse(why)`; neither drops it silently. One whose payload, arena
   * bytes [offset, offset + length), wants an answer and no more is answered with `flow.send`, and not taken.
   */
  onUdpFlow(flow: UdpFlow, offset: number, length: number): void;
  /** Whether an ICMP echo request to `destination` is answered ("reply"), or how it is refused. */
  onEcho(link: Link, source: Address, destination: Address): "reply" | Unreachable | "ignore";
}

/** The user of one UDP flow (`UdpFlow.receiver`). */
export interface UdpReceiver {
  /** One datagram's payload: arena bytes [offset, offset + length), valid until the call returns. */
  onUdpData(offset: number, length: number): void;
  /** An ICMP error came back for a datagram that this flow sent. */
  onUdpUnreachable(why: Unreachable): void;
  /** No datagram for the flow's `idleMs`, or the link went away: the flow is closed. */
  onUdpClosed(): void;
}

/** The user of TCP connections (`TcpConnection.user`), which is told which; stream bytes go through the rings instead. */
export interface TcpUser {
  /** The handshake is complete. */
  onTcpConnected(connection: TcpConnection): void;
  /**
   * The connection is gone and will not be used again; called exactly once. "refused", "unreachable",
   * "prohibited" and "timeout" end an attempt to connect or an established connection alike. With "closed"
   * both directions have finished, and what the receive ring still holds stays readable; with any other
   * reason both rings have been aborted.
   */
  onTcpClosed(why: TcpCloseReason, connection: TcpConnection): void;
}

export type TcpCloseReason = "closed" | "reset" | "refused" | "unreachable" | "prohibited" | "timeout";
