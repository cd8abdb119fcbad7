/**
 * The tunnel: one UDP socket, one WireGuard device, and a netstack link per peer.
 *
 * Outgoing packets are built by the stack right behind the head room of the next datagram in the run
 * (`datagram-run.ts`), and sealed in place when the run leaves, with one GSO call.
 *
 * Incoming datagrams arrive as GRO batches, are opened together and handed to the stack, those alike together.
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
import {
  ALIKE_BYTES,
  type DatagramOutput,
  type Device,
  type Peer,
  TAG_BYTES,
  TRANSPORT_HEADER_BYTES,
} from "../wireguard/index.js";
import type { Bind } from "./bind.js";
import type { Context } from "./context.js";
import { DatagramRun, MAX_DATAGRAM_BYTES, TRAILER_BYTES } from "./datagram-run.js";
import { writeEchoRequest } from "./echo-request.js";
import { FirstPieces } from "./first-pieces.js";
import type { Machine, Source } from "./loop.js";
import { PeerLink } from "./peer-link.js";
import { SecondLook } from "./second-look.js";

const RECEIVE_BYTES = 65_536;
/** GRO batches taken per turn before the rest of the loop gets its share. */
const RECEIVE_BUDGET = 8;
/** Head room of a probe in the scratch area: some AEADs use the 64 bytes before a packet. */
const PROBE_HEAD_BYTES = 64 + TRANSPORT_HEADER_BYTES;
const MAX_PROBE_BYTES = MAX_DATAGRAM_BYTES - PROBE_HEAD_BYTES - TRAILER_BYTES;

export class Tunnel implements Source, Machine, DatagramOutput {
  readonly socket: Bind;
  /** Send errors by errno, shown in status. */
  readonly counters: { sendErrors: number; sendBlocked: number } = { sendErrors: 0, sendBlocked: 0 };
  private readonly context: Context;
  private device!: Device;
  private stack!: Stack;

  private readonly receiveBuffer: number;
  private readonly receiveEndpoint: number;
  private readonly endpoint: number;
  private readonly run: DatagramRun;
  private readonly firstPieces: FirstPieces;
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
    this.endpoint = arena.reserve(ENDPOINT_BYTES);
    this.run = new DatagramRun(arena);
    this.firstPieces = new FirstPieces(arena);
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
    if (this.run.peer === peer) this.run.clear();
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
    const { received } = device;
    device.receive(first, total, segmentBytes, endpoint, now);
    while (device.hasNext) {
      const length = device.next();
      if (length <= 0) continue;
      const peer = received.from as Peer;
      const link = peer.context as PeerLink | null;
      if (link === null) continue;
      // The AEAD tag vouches for every byte, so the inner transport checksum need not be verified.
      stack.process(link, received.at, length, now, true);
      const alike = device.nextAlike();
      this.takeAlike(peer, link, received.at, length, alike, now);
    }
  }

  /** `count` packets of `length` bytes from arena byte `at` on. */
  private takeAlike(
    peer: Peer,
    link: PeerLink,
    at: number,
    length: number,
    count: number,
    now: Milliseconds,
  ): void {
    const { stack } = this;
    const { received } = this.device;
    const { stride } = received;
    // Whoever is told of a packet may remove the peer or its link, and then nobody has sent the others.
    for (let i = 0; i < count && received.from === peer && peer.context === link; )
      i += stack.processAlike(link, at + i * stride, length, stride, count - i, ALIKE_BYTES, now);
  }

  // ---- outgoing ----

  reserve(bytes: number): number {
    if (this.blocked || !(this.run.hasRoomFor(bytes) || this.sendRun())) return -1;
    return this.run.at;
  }

  commit(peer: Peer, bytes: number): void {
    const { at } = this.run;
    const length = this.device.seal(peer, at, bytes, this.context.loop.now);
    // 0: no session yet; the device holds a copy and sends it after the handshake.
    if (length > 0) this.append(peer, at - TRANSPORT_HEADER_BYTES, length);
  }

  /** As `Link.commitGathered`. */
  commitGathered(peer: Peer, headerBytes: number, text: number, textBytes: number, count: number): number {
    const { device, run, firstPieces } = this;
    const { at } = run;
    const bytes = headerBytes + textBytes;
    if (headerBytes > FIRST_PIECE_BYTES) {
      this.context.arena.u8.copyWithin(at + headerBytes, text, text + textBytes);
      this.commit(peer, bytes);
      return 1;
    }
    const { now } = this.context.loop;
    const rest = text + firstPieces.begin(at, headerBytes, text);
    const length = device.seal(peer, at, bytes, now, rest);
    if (length === 0) return 1;
    this.append(peer, at - TRANSPORT_HEADER_BYTES, length);
    // It may have left by now, and what follows begins a run then, as any packet does.
    const room = run.segments === 0 || this.blocked ? 0 : run.roomFor(peer, length);
    const alike = Math.min(count - 1, room);
    // Padding would lie behind the packet, which then has to be in one piece.
    if (alike <= 0 || length !== TRANSPORT_HEADER_BYTES + bytes + TAG_BYTES) return 1;
    firstPieces.repeat(run.at, length, alike, text + textBytes, textBytes);
    const sealed = device.sealAlike(peer, alike, run.at, length, bytes, rest + textBytes, textBytes, now);
    run.add(peer, length, sealed);
    if (run.isComplete) this.sendRun();
    return 1 + sealed;
  }

  private append(peer: Peer, start: number, length: number): void {
    const { run } = this;
    if (run.roomFor(peer, length) === 0) {
      // The new datagram starts a run of its own: send what is before it, then move it to the front.
      if (this.sendRun()) this.context.arena.u8.copyWithin(run.start, start, start + length);
      else return; // Blocked: the run that waits is kept, this one datagram is lost as on any full queue.
    }
    run.add(peer, length, 1);
    if (run.isComplete) this.sendRun();
  }

  /** False when the socket is full; the run then waits for EPOLLOUT. */
  private sendRun(): boolean {
    const { run } = this;
    if (run.segments === 0) return true;
    this.device.runSeals();
    const peer = run.peer as Peer;
    this.context.arena.u8.set(peer.endpoint, this.endpoint);
    const result = this.socket.send(run.start, run.bytes, run.segmentBytes, this.endpoint);
    if (result === -EAGAIN || (result >= 0 && result < run.bytes)) {
      this.block(Math.max(0, result));
      return false;
    }
    if (result < 0) this.counters.sendErrors++;
    if (this.socket.pathExceeded) this.noticePathMtu(peer);
    this.noticeLostAddress(peer);
    run.clear();
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
    this.run.keepRest(sentBytes);
    if (!this.blocked) this.context.loop.modify(this.socket.fd, EPOLLIN | EPOLLOUT);
    this.blocked = true;
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
    const result = this.socket.send(at - TRANSPORT_HEADER_BYTES, length, length, this.endpoint);
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
