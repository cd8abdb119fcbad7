/**
 * What carries a tunnel's datagrams: the seam between `Tunnel` and the network. `UdpSocket` is one, a pair in memory
 * is another (`test/dataplane/memory-bind.ts`), and a relay for networks without UDP, which carries the same datagrams
 * in a WebSocket's messages, would be a third. Which peer is where is said by endpoint records (`base/endpoint.ts`)
 * in all of them; a relay gives those that it relays for addresses of its own choice.
 */
export interface Bind {
  /** Watched by the loop: readable when there is something to receive, writable when `send` may go on. */
  readonly fd: number;
  /** Bytes of each datagram of the last `receive`, the last one maybe less. */
  readonly segmentBytes: number;
  /** A run did not fit what is known of the path. For the reader to clear; never set where no path has a limit. */
  pathExceeded: boolean;
  /**
   * One batch from one source into arena bytes [offset, offset + maxBytes): total bytes, or −errno (−EAGAIN: nothing
   * there). The source's record is written to arena offset `endpoint`.
   */
  receive(offset: number, maxBytes: number, endpoint: number): number;
  /**
   * [offset, offset + length) as datagrams of `segmentBytes` each to the record at `endpoint`: the bytes that were
   * taken, always whole datagrams, or −errno (−EAGAIN: full). The record's address of ours is cleared when it is gone.
   */
  send(offset: number, length: number, segmentBytes: number, endpoint: number): number;
  /** On: a datagram that does not fit the path is refused or lost, never cut in two. */
  setDontFragment(on: boolean): void;
}
