/** The stack's face: packets and time come in, packets and deadlines go out. (Skeleton of the interface.) */
import {
  type Address,
  type Arena,
  type BlockPool,
  type Milliseconds,
  NEVER,
  type Random,
} from "../base/index.js";
import { Counters } from "./counters.js";
import type { Link, StackHandler } from "./link.js";
import { DEFAULT_STACK_OPTIONS, type StackOptions } from "./options.js";
import { TcpConnection } from "./tcp/connection.js";
import { UdpFlow } from "./udp.js";

export interface StackConfig {
  arena: Arena;
  /** Reassembly buffers come from here; so do the rings of the connections, usually. */
  pool: BlockPool;
  random: Random;
  handler: StackHandler;
  options?: Partial<StackOptions>;
}

export class Stack {
  readonly counters: Counters = new Counters();
  readonly options: Readonly<StackOptions>;

  constructor(config: StackConfig) {
    this.options = { ...DEFAULT_STACK_OPTIONS, ...config.options };
  }

  /**
   * One inbound IP packet: arena bytes [offset, offset + length). Never throws for what is in it.
   * @param checksumTrusted the transport checksum is known to be right, or only partial (virtio-net)
   */
  process(
    _link: Link,
    _offset: number,
    _length: number,
    _now: Milliseconds,
    _checksumTrusted: boolean,
  ): void {}

  /** Sends what connections have to send. Call once after each batch of `process`, and after `poll`. */
  dispatch(_now: Milliseconds): void {}

  /** Fires the timers that are due. Call `dispatch` after it. */
  poll(_now: Milliseconds): void {}

  /** When `poll` is next wanted; NEVER when nothing waits. */
  pollAt(): Milliseconds {
    return NEVER;
  }

  /** The link takes packets again after a `reserve` that returned -1. Call `dispatch` after it. */
  linkWritable(_link: Link): void {}

  /** The link is gone: its connections end with "reset", its flows with `onUdpClosed`. Sends nothing. */
  closeLink(_link: Link): void {}

  /** Starts a connection from a random port; the SYN leaves at the next `dispatch`. */
  connect(link: Link, local: Address, remote: Address, remotePort: number, now: Milliseconds): TcpConnection {
    return new TcpConnection(link, local, 0, remote, remotePort, now);
  }

  /** A flow from a random port. */
  openUdp(link: Link, local: Address, remote: Address, remotePort: number, now: Milliseconds): UdpFlow {
    return new UdpFlow(link, local, 0, remote, remotePort, now);
  }

  *connections(): IterableIterator<TcpConnection> {}

  *udpFlows(): IterableIterator<UdpFlow> {}
}
