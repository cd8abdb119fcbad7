/** One TCP connection. (Skeleton of the public interface; the machine follows.) */
import type { Address, Milliseconds, Ring, RingReader, RingWriter } from "../../base/index.js";
import type { Link, TcpUser, Unreachable } from "../link.js";
import type { TcpState } from "./states.js";

export class TcpConnection implements RingReader, RingWriter {
  readonly link: Link;
  readonly local: Address;
  readonly localPort: number;
  readonly remote: Address;
  readonly remotePort: number;
  readonly createdAt: Milliseconds;
  /** Told when the connection is up and when it is gone. */
  user: TcpUser | null = null;
  /** In-order bytes from the peer go here. */
  receive: Ring | null = null;
  /** Bytes for the peer come from here. */
  send: Ring | null = null;
  state: TcpState = "CLOSED";
  /** Payload bytes taken in order from the peer, and acknowledged by it. */
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
  }

  /** Smoothed round trip time, or 0 before the first measurement. */
  get srttMs(): Milliseconds {
    return 0;
  }

  /** Becomes the writer of `receive` and the reader of `send`. Before `accept`, or right after `connect`. */
  attach(receive: Ring, send: Ring): void {
    this.receive = receive;
    this.send = send;
    receive.writer = this;
    send.reader = this;
  }

  /** Answers a pending SYN. No effect when it is not pending any more. */
  accept(): void {}

  /** Answers a pending SYN with RST. */
  refuse(): void {}

  /** Answers a pending SYN with an ICMP error. */
  unreachable(_why: Unreachable): void {}

  /** Resets the connection; `user.onTcpClosed("reset")` follows at once. */
  abort(): void {}

  onRingData(): void {}
  onRingSpace(): void {}
  onRingAborted(): void {}
}
