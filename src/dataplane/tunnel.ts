/**
 * The tunnel: one UDP socket, one WireGuard device, and a netstack link per peer.
 *
 * Outgoing packets are built by the stack right behind the head room of the next datagram in the batch,
 * sealed in place when the run leaves: one GSO call per run of equal datagrams:
 *
 * ```
 *  run: │hdr│ inner packet │pad│tag│hdr│ inner packet │pad│tag│…│hdr│ shorter │tag│   → sendmsg(UDP_SEGMENT)
 *           └ reserve() returns here
 * ```
 *
 * Incoming datagrams arrive as GRO batches, are opened together and handed to the stack one by one.
 */
import {
  type Address,
  ENDPOINT_BYTES,
  FIRST_PIECE_BYTES,
  hasLocalAddress,
  type Milliseconds,
  NEVER,
} from "../base/index.js";
import { EAGAIN, EMSGSIZE, EPOLLIN, EPOLLOUT } from "../linux/index.js";
import { type Stack, TimerHeap } from "../netstack/index.js";
import type { DatagramOutput, Device, Peer } from "../wireguard/index.js";
import type { Bind } from "./bind.js";
import type { Context } from "./context.js";
import { writeEchoRequest } from "./echo-request.js";
import type { Machine, Source } from "./loop.js";
import { PeerLink } from "./peer-link.js";
import { SecondLook } from "./second-look.js";

const MAX_RUN_SEGMENTS = 64;
/** Largest UDP payload over IPv4; one GSO call carries at most this. */
const MAX_RUN_BYTES = 65_507;
const HEADER_BYTES = 16;
/** Padding to 16 and the tag. */
const TRAILER_BYTES = 31;
const RECEIVE_BYTES = 65_536;
/** GRO batches taken per turn before the rest of the loop gets its share. */
const RECEIVE_BUDGET = 8;
/** Head room of a probe in the scratch area: some AEADs use the 64 bytes before a packet. */
const PROBE_HEAD_BYTES = 64 + HEADER_BYTES;
const MAX_PROBE_BYTES = MAX_RUN_BYTES - PROBE_HEAD_BYTES - TRAILER_BYTES;

export class Tunnel implements Source, Machine, DatagramOutput {
  readonly socket: Bind;
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
  private readonly secondLook: SecondLook = new SecondLook();
  /** Searches of paths' MTUs. */
  private readonly searches: TimerHeap = new TimerHeap();

  constructor(context: Context, socket: Bind) {
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

  get now(): Milliseconds {
    return this.context.loop.now;
  }

  /** Gives the peer its link, which is `peer.context` from here on. */
  addPeer(peer: Peer, mtu: number): PeerLink {
    const link = new PeerLink(this, peer, mtu, this.searches);
    peer.context = link;
    return link;
  }

  /** As `PeerLink.close`. */
  removePeer(peer: Peer, now: Milliseconds): void {
    const link = peer.context as PeerLink | null;
    if (link === null) return;
    for (const connection of [...this.stack.connections()]) if (connection.link === link) connection.abort();
    this.stack.dispatch(now);
    this.sendRun();
    link.search.stop();
    this.stack.closeLink(link);
    peer.context = null;
    if (this.runPeer === peer) this.discardRun();
  }

  /** Addresses or routes are others now, and with them maybe every path. */
  networkChanged(now: Milliseconds): void {
    for (const peer of this.device.peers()) (peer.context as PeerLink | null)?.search.restart(now);
  }

  // ---- incoming ----

  onReady(events: number, now: Milliseconds): void {
    if (events & EPOLLOUT && this.blocked) this.unblock();
    if (!(events & ~EPOLLOUT)) return;
    const most = this.secondLook.isWorthwhile(this.context.loop.turnNumber) ? RECEIVE_BUDGET : 1;
    for (let i = 0; i < most; i++) {
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
    device.receive(first, total, segmentBytes, endpoint, now);
    while (device.hasNext) {
      const length = device.next();
      if (length <= 0) continue;
      const link = (device.receivedFrom as Peer).context as PeerLink | null;
      // The AEAD tag vouches for every byte, so the inner transport checksum need not be verified.
      if (link !== null) stack.process(link, device.receivedAt, length, now, true);
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

  /** As `commit`, of a packet of which only the headers lie there: its text is sealed from where it is. */
  commitGathered(peer: Peer, headerBytes: number, text: number, textBytes: number): void {
    const start = this.runBuffer + this.runBytes;
    const at = start + HEADER_BYTES;
    const { arena, loop } = this.context;
    const { view } = arena;
    // Headers are some words long, and so is what fills up the first piece.
    const fill = FIRST_PIECE_BYTES - headerBytes;
    if (fill < 0) {
      arena.u8.copyWithin(at + headerBytes, text, text + textBytes);
      this.commit(peer, headerBytes + textBytes);
      return;
    }
    for (let i = 0; i < fill; i += 4)
      view.setInt32(at + headerBytes + i, view.getInt32(text + i, true), true);
    const length = this.device.seal(peer, at, headerBytes + textBytes, loop.now, text + fill);
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
    this.device.runSeals();
    const peer = this.runPeer as Peer;
    this.context.arena.u8.set(peer.endpoint, this.endpoint);
    const result = this.socket.send(this.runBuffer, this.runBytes, this.runSegmentBytes, this.endpoint);
    if (result === -EAGAIN || (result >= 0 && result < this.runBytes)) {
      this.block(Math.max(0, result));
      return false;
    }
    if (result < 0) this.counters.sendErrors++;
    if (this.socket.pathExceeded) this.noticePathMtu(peer);
    this.noticeLostAddress(peer);
    this.discardRun();
    return true;
  }

  /** The socket cleared our address in the record: it is no longer one of this machine's. */
  private noticeLostAddress(peer: Peer): void {
    if (hasLocalAddress(this.context.arena.u8, this.endpoint)) return;
    if (hasLocalAddress(peer.endpoint, 0)) peer.forgetLocalAddress();
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

  // ---- path MTU ----

  /** Sends an echo request that makes an inner packet of `bytes`, in a datagram that must not be fragmented. */
  probe(
    peer: Peer,
    bytes: number,
    source: Address,
    destination: Address,
    rest: number,
  ): "sent" | "too-big" | "unable" {
    const { arena, loop, scratchDatagram } = this.context;
    if (!peer.hasEndpoint || !peer.hasSession(loop.now)) return "unable";
    if (bytes > MAX_PROBE_BYTES) return "too-big";
    const at = scratchDatagram + PROBE_HEAD_BYTES;
    writeEchoRequest(arena, at, bytes, source, destination, rest);
    const length = this.device.seal(peer, at, bytes, loop.now);
    this.device.runSeals();
    arena.u8.set(peer.endpoint, this.endpoint);
    this.socket.setDontFragment(true);
    const result = this.socket.send(at - HEADER_BYTES, length, length, this.endpoint);
    this.socket.setDontFragment(false);
    // Any other error loses the probe, as the path may.
    return result === -EMSGSIZE ? "too-big" : "sent";
  }

  /** Connections on the link have a smaller MTU to follow. */
  mtuReduced(link: PeerLink): void {
    this.stack.linkMtuReduced(link);
  }

  private noticePathMtu(peer: Peer): void {
    this.socket.pathExceeded = false;
    (peer.context as PeerLink | null)?.search.suspect(this.context.loop.now);
  }

  // ---- machine ----

  poll(now: Milliseconds): void {
    this.device.poll(now);
    this.searches.poll(now);
  }

  flush(_now: Milliseconds): void {
    if (!this.blocked) this.sendRun();
  }

  pollAt(): Milliseconds {
    return Math.min(this.device?.pollAt() ?? NEVER, this.searches.next);
  }
}
