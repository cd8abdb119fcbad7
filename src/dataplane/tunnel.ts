/**
 * The tunnel: one UDP socket, one WireGuard device, and a netstack link per peer.
 *
 * Outgoing packets are built by the stack right behind the head room of the next datagram in the batch,
 * sealed in place, and leave as one GSO call per run of equal datagrams:
 *
 * ```
 *  run: │hdr│ inner packet │pad│tag│hdr│ inner packet │pad│tag│…│hdr│ shorter │tag│   → sendmsg(UDP_SEGMENT)
 *           └ reserve() returns here
 * ```
 *
 * Incoming datagrams arrive as GRO batches and are opened in place and handed to the stack.
 */
import { ENDPOINT_BYTES, type Milliseconds, NEVER } from "../base/index.js";
import { EAGAIN, EPOLLIN, EPOLLOUT, type UdpSocket } from "../linux/index.js";
import type { Link, Stack } from "../netstack/index.js";
import type { DatagramOutput, Device, Peer } from "../wireguard/index.js";
import type { Context } from "./context.js";
import type { Machine, Source } from "./loop.js";

const MAX_RUN_SEGMENTS = 64;
/** Largest UDP payload over IPv4; one GSO call carries at most this. */
const MAX_RUN_BYTES = 65_507;
const HEADER_BYTES = 16;
/** Padding to 16 and the tag. */
const TRAILER_BYTES = 31;
const RECEIVE_BYTES = 65_536;
/** GRO batches taken per turn before the rest of the loop gets its share. */
const RECEIVE_BUDGET = 8;

/** A peer, as the stack sees it. */
export class PeerLink implements Link {
  readonly checksum = "full";
  readonly congested = true;
  readonly maxGsoBytes = 0;
  readonly peer: Peer;
  mtu: number;
  private readonly tunnel: Tunnel;

  constructor(tunnel: Tunnel, peer: Peer, mtu: number) {
    this.tunnel = tunnel;
    this.peer = peer;
    this.mtu = mtu;
  }

  reserve(bytes: number): number {
    return this.tunnel.reserve(bytes);
  }

  commit(bytes: number, _gsoSize: number, _headerBytes: number): void {
    this.tunnel.commit(this.peer, bytes);
  }
}

export class Tunnel implements Source, Machine, DatagramOutput {
  readonly socket: UdpSocket;
  /** Send errors by errno, shown in status. */
  readonly counters: { sendErrors: number; sendBlocked: number } = { sendErrors: 0, sendBlocked: 0 };
  private readonly context: Context;
  private device!: Device;
  private stack!: Stack;

  private readonly receiveBuffer: number;
  private readonly receiveEndpoint: number;
  private readonly runBuffer: number;
  private readonly endpoint: number;
  private runBytes = 0;
  private runSegmentBytes = 0;
  private runSegments = 0;
  /** The last datagram of the run is shorter: nothing may follow it. */
  private runClosed = false;
  private runPeer: Peer | null = null;
  private blocked = false;

  constructor(context: Context, socket: UdpSocket) {
    const { arena } = context;
    this.context = context;
    this.socket = socket;
    this.receiveBuffer = arena.reserve(RECEIVE_BYTES);
    this.receiveEndpoint = arena.reserve(ENDPOINT_BYTES);
    this.runBuffer = arena.reserve(MAX_RUN_BYTES + RECEIVE_BYTES);
    this.endpoint = arena.reserve(ENDPOINT_BYTES);
    context.loop.add(socket.fd, EPOLLIN, this);
  }

  /** Two-step construction: the device needs the tunnel as its output, the tunnel needs the device. */
  join(device: Device, stack: Stack): void {
    this.device = device;
    this.stack = stack;
  }

  /** Gives the peer its link, which is `peer.context` from here on. */
  addPeer(peer: Peer, mtu: number): PeerLink {
    const link = new PeerLink(this, peer, mtu);
    peer.context = link;
    return link;
  }

  /** Resets every connection of the peer, and tells it so while there is a session to do it through. */
  removePeer(peer: Peer, now: Milliseconds): void {
    const link = peer.context as PeerLink | null;
    if (link === null) return;
    for (const connection of [...this.stack.connections()]) if (connection.link === link) connection.abort();
    this.stack.dispatch(now);
    this.sendRun();
    this.stack.closeLink(link);
    if (this.runPeer === peer) this.discardRun();
  }

  // ---- incoming ----

  onReady(events: number, now: Milliseconds): void {
    if (events & EPOLLOUT && this.blocked) this.unblock();
    if (!(events & ~EPOLLOUT)) return;
    for (let i = 0; i < RECEIVE_BUDGET; i++) {
      const total = this.socket.receive(this.receiveBuffer, RECEIVE_BYTES, this.receiveEndpoint);
      if (total === -EAGAIN) return;
      // An ICMP error of an earlier datagram is reported here once; the timers deal with silence.
      if (total > 0)
        this.take(this.receiveBuffer, total, this.socket.segmentBytes, this.receiveEndpoint, now);
    }
  }

  /** [first, first + total) are datagrams of `segmentBytes` each, from the record at `endpoint`. */
  take(first: number, total: number, segmentBytes: number, endpoint: number, now: Milliseconds): void {
    const { device, stack } = this;
    for (let done = 0; done < total; done += segmentBytes) {
      const offset = first + done;
      const length = device.process(offset, Math.min(segmentBytes, total - done), endpoint, now);
      if (length <= 0) continue;
      const link = (device.receivedFrom as Peer).context as PeerLink | null;
      // The AEAD tag vouches for every byte, so the inner transport checksum need not be verified.
      if (link !== null) stack.process(link, offset + HEADER_BYTES, length, now, true);
    }
  }

  // ---- outgoing ----

  reserve(bytes: number): number {
    if (this.blocked) return -1;
    if (this.runBytes + HEADER_BYTES + bytes + TRAILER_BYTES > MAX_RUN_BYTES && !this.sendRun()) return -1;
    return this.runBuffer + this.runBytes + HEADER_BYTES;
  }

  commit(peer: Peer, bytes: number): void {
    const start = this.runBuffer + this.runBytes;
    const length = this.device.seal(peer, start + HEADER_BYTES, bytes, this.context.loop.now);
    // 0: no session yet; the device holds a copy and sends it after the handshake.
    if (length > 0) this.append(peer, start, length);
  }

  private append(peer: Peer, start: number, length: number): void {
    const fits =
      this.runSegments > 0 && !this.runClosed && peer === this.runPeer && length <= this.runSegmentBytes;
    if (!fits && this.runSegments > 0) {
      // The new datagram starts a run of its own: send what is before it, then move it to the front.
      if (this.sendRun()) this.context.arena.u8.copyWithin(this.runBuffer, start, start + length);
      else return; // Blocked: the run that waits is kept, this one datagram is lost as on any full queue.
    }
    if (this.runSegments === 0) {
      this.runPeer = peer;
      this.runSegmentBytes = length;
    }
    this.runSegments++;
    this.runBytes += length;
    this.runClosed = length < this.runSegmentBytes;
    if (this.runClosed || this.runSegments === MAX_RUN_SEGMENTS) this.sendRun();
  }

  /** False when the socket is full; the run then waits for EPOLLOUT. */
  private sendRun(): boolean {
    if (this.runSegments === 0) return true;
    const peer = this.runPeer as Peer;
    this.context.arena.u8.set(peer.endpoint, this.endpoint);
    const result = this.socket.send(this.runBuffer, this.runBytes, this.runSegmentBytes, this.endpoint);
    if (result === -EAGAIN || (result >= 0 && result < this.runBytes)) {
      this.block(Math.max(0, result));
      return false;
    }
    if (result < 0) this.counters.sendErrors++;
    this.discardRun();
    return true;
  }

  /** Keeps what was not sent, and waits until the socket takes more. */
  private block(sentBytes: number): void {
    this.counters.sendBlocked++;
    const { u8 } = this.context.arena;
    u8.copyWithin(this.runBuffer, this.runBuffer + sentBytes, this.runBuffer + this.runBytes);
    this.runBytes -= sentBytes;
    this.runSegments = Math.ceil(this.runBytes / this.runSegmentBytes);
    if (!this.blocked) this.context.loop.modify(this.socket.fd, EPOLLIN | EPOLLOUT);
    this.blocked = true;
  }

  private discardRun(): void {
    this.runBytes = 0;
    this.runSegments = 0;
    this.runClosed = false;
    this.runPeer = null;
  }

  private unblock(): void {
    this.blocked = false;
    if (!this.sendRun()) return;
    this.context.loop.modify(this.socket.fd, EPOLLIN);
    for (const peer of this.device.peers()) {
      if (peer.context !== null) this.stack.linkWritable(peer.context as PeerLink);
    }
  }

  /** Handshake messages, cookies, keep-alives, and packets that waited for a session. */
  send(endpoint: Uint8Array, offset: number, length: number): void {
    this.context.arena.u8.set(endpoint, this.endpoint);
    const result = this.socket.send(offset, length, length, this.endpoint);
    if (result < 0) this.counters.sendErrors++;
  }

  // ---- machine ----

  poll(now: Milliseconds): void {
    this.device.poll(now);
  }

  flush(_now: Milliseconds): void {
    if (!this.blocked) this.sendRun();
  }

  pollAt(): Milliseconds {
    return this.device?.pollAt() ?? NEVER;
  }
}
