/** One UDP flow. (Skeleton of the public interface.) */
import type { Address, Milliseconds } from "../base/index.js";
import type { Link, UdpReceiver, Unreachable } from "./link.js";

export class UdpFlow {
  readonly link: Link;
  readonly local: Address;
  readonly localPort: number;
  readonly remote: Address;
  readonly remotePort: number;
  readonly createdAt: Milliseconds;
  lastActiveAt: Milliseconds;
  receiver: UdpReceiver | null = null;
  bytesIn = 0;
  bytesOut = 0;

  constructor(
    link: Link,
    local: Address,
    localPort: number,
    remote: Address,
    remotePort: number,
    now: Milliseconds,
  ) {
    this.link = link;
    this.local = local;
    this.localPort = localPort;
    this.remote = remote;
    this.remotePort = remotePort;
    this.createdAt = now;
    this.lastActiveAt = now;
  }

  /** Sends arena bytes [offset, offset + length) as one datagram. False when it was dropped. */
  send(_offset: number, _length: number, _now: Milliseconds): boolean {
    return false;
  }

  /** Closes the flow and tells the peer by ICMP why. */
  refuse(_why: Unreachable): void {}

  /** Forgets the flow; `onUdpClosed` is not called. */
  close(): void {}
}
