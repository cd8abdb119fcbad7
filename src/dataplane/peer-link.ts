/** A peer as the stack sees it: a link whose MTU follows what the path to the peer carries. */
import { type Address, type Milliseconds, readEndpoint } from "../base/index.js";
import { kernelPathMtu } from "../linux/index.js";
import type { Link, PathObserver, TimerHeap } from "../netstack/index.js";
import type { Peer } from "../wireguard/index.js";
import { PathMtu, type PathProber } from "./path-mtu.js";
import type { Tunnel } from "./tunnel.js";

/** Upper half of the second ICMP word: these echo requests are ours. */
const ECHO_IDENTIFIER = 0x637a;
/** Nobody waits for the answer to these as such: that something comes is enough. */
const QUESTION_IDENTIFIER = 0x637b;
const QUESTION_BYTES = 64;
/** IP and UDP header, WireGuard's header and tag. */
const OVERHEAD_BYTES_V4 = 20 + 8 + 32;
const OVERHEAD_BYTES_V6 = 40 + 8 + 32;

export class PeerLink implements Link, PathObserver, PathProber {
  readonly checksum = "redundant";
  readonly congested = true;
  readonly maxGsoBytes = 0;
  readonly peer: Peer;
  readonly path: PathObserver = this;
  readonly search: PathMtu;
  mtu: number;
  private readonly tunnel: Tunnel;
  private source: Address | null = null;
  private destination: Address | null = null;
  /** They are a flow's, not those that were configured. */
  private asFlow = false;

  /** @param mtu configured inner MTU, which is never exceeded */
  constructor(tunnel: Tunnel, peer: Peer, mtu: number, timers: TimerHeap) {
    this.tunnel = tunnel;
    this.peer = peer;
    this.mtu = mtu;
    this.search = new PathMtu(mtu, this, timers);
  }

  /** Inner addresses, of one family, between which the path is probed. */
  setEcho(source: Address, destination: Address): void {
    this.source = source;
    this.destination = destination;
    this.asFlow = false;
  }

  // ---- Link ----

  reserve(bytes: number): number {
    return this.tunnel.reserve(bytes);
  }

  commit(bytes: number, _gsoSize: number, _headerBytes: number): void {
    this.tunnel.commit(this.peer, bytes);
    this.search.onSent(bytes, this.tunnel.now);
  }

  commitGathered(headerBytes: number, text: number, textBytes: number, count: number): number {
    const taken = this.tunnel.commitGathered(this.peer, headerBytes, text, textBytes, count);
    this.search.onSent(headerBytes + textBytes, this.tunnel.now);
    return taken;
  }

  /** Resets every connection of the peer, and tells it so while there is a session to do it through. */
  close(now: Milliseconds): void {
    this.tunnel.removePeer(this.peer, now);
  }

  // ---- PathObserver ----

  /**
   * A standard peer may refuse our inner address and still answer the one that it talks to. Who is asked from a flow's
   * address has time to answer: each flow that times out has another.
   */
  suspect(local: Address, remote: Address, now: Milliseconds): void {
    const { search } = this;
    const settled = this.asFlow && search.state === "searching";
    if (!search.answers && !settled && !this.source?.equals(local)) {
      this.setEcho(local, remote);
      this.asFlow = true;
      search.restart(now);
    } else {
      search.suspect(now);
    }
  }

  onEchoReply(rest: number, now: Milliseconds): void {
    if (rest >>> 16 === ECHO_IDENTIFIER) this.search.onAnswer(rest & 0xffff, now);
  }

  // ---- PathProber ----

  probe(bytes: number, sequence: number): "sent" | "too-big" | "unable" {
    return this.echo(ECHO_IDENTIFIER, bytes, sequence);
  }

  /** Whether the peer is there. False when it cannot be asked. */
  ask(): boolean {
    return this.echo(QUESTION_IDENTIFIER, QUESTION_BYTES, 0) === "sent";
  }

  private echo(identifier: number, bytes: number, sequence: number): "sent" | "too-big" | "unable" {
    const { source, destination } = this;
    if (source === null || destination === null) return "unable";
    return this.tunnel.probe(this.peer, bytes, source, destination, (identifier << 16) | sequence);
  }

  kernelLimit(): number {
    if (!this.peer.hasEndpoint) return Number.POSITIVE_INFINITY;
    const endpoint = readEndpoint(this.peer.endpoint, 0);
    const mtu = kernelPathMtu(endpoint);
    if (mtu === 0) return Number.POSITIVE_INFINITY;
    return mtu - (endpoint.address.family === 4 ? OVERHEAD_BYTES_V4 : OVERHEAD_BYTES_V6);
  }

  resized(): void {
    const smaller = this.search.size < this.mtu;
    this.mtu = this.search.size;
    if (smaller) this.tunnel.mtuReduced(this);
  }
}
