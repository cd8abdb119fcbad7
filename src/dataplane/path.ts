/**
 * One way to the peers: a UDP socket, the WireGuard device on it, and the stack inside the tunnel. An agent has
 * one. A laptop has more while it moves from one replica of the agent to another (handover.ts).
 */
import { type Address, type CryptoSuite, type Milliseconds, NEVER, type Random } from "../base/index.js";
import { UdpSocket } from "../linux/index.js";
import type { Stack } from "../netstack/index.js";
import { Device, type DeviceEvents, MESSAGE_TRANSPORT, type Peer } from "../wireguard/index.js";
import type { Context } from "./context.js";
import { HANDSHAKE_BUFFER_BYTES, HandshakeIntake } from "./handshake-intake.js";
import { type Machine, StackMachine } from "./loop.js";
import type { PeerLink } from "./peer-link.js";
import { Tunnel } from "./tunnel.js";

export interface PathConfig {
  readonly port: number;
  readonly address: Address | null;
  readonly gso: boolean;
  readonly gro: boolean;
  readonly crypto: CryptoSuite;
  readonly random: Random;
  readonly privateKey: Uint8Array;
  /** Inner MTU. */
  readonly mtu: number;
  /** Own addresses inside the tunnel. */
  readonly inner: readonly Address[];
  /** Laptop: the agent's. */
  readonly remote: Address | null;
  readonly stack: Stack;
}

/** What WireGuard says, and about which path. */
export interface PathEvents {
  onHandshake(path: Path, peer: Peer, restored: boolean): void;
  onHandshakeTimeout(path: Path, peer: Peer, seconds: number): void;
  onPeerEndpoint(peer: Peer): void;
}

export class Path implements DeviceEvents, Machine {
  readonly socket: UdpSocket;
  readonly tunnel: Tunnel;
  readonly device: Device;
  readonly stack: Stack;
  private readonly context: Context;
  private events!: PathEvents;
  private readonly config: PathConfig;
  /** Null: everything comes by the first socket, as before a flood it may. */
  private readonly intake: HandshakeIntake | null;
  private readonly stackMachine: StackMachine;
  /** Heard again, which the stack is told when the device has done its work. */
  private restored: PeerLink[] = [];

  /** Binds; throws CzctlError when it cannot. */
  constructor(context: Context, config: PathConfig) {
    const { arena } = context;
    const { port, address, gso, gro, crypto, random, privateKey, mtu, stack } = config;
    this.context = context;
    this.config = config;
    this.stack = stack;
    this.socket = UdpSocket.bind(arena, { port, ...(address === null ? {} : { address }), gso, gro });
    this.tunnel = new Tunnel(context, this.socket);
    this.intake = this.takeHandshakes();
    this.device = new Device({
      arena,
      crypto,
      random,
      privateKey,
      wallClock: Date.now,
      output: this.tunnel,
      events: this,
      options: { mtu },
    });
    this.tunnel.join(this.device, stack);
    this.stackMachine = new StackMachine(stack, () => this.device.runSeals());
  }

  private takeHandshakes(): HandshakeIntake | null {
    const { context, tunnel } = this;
    const socket = this.socket.divertOthers(MESSAGE_TRANSPORT, HANDSHAKE_BUFFER_BYTES);
    if (socket === null) return null;
    return new HandshakeIntake(context, socket, (offset, total, segmentBytes, endpoint, now) =>
      tunnel.take(offset, total, segmentBytes, endpoint, now),
    );
  }

  /** Takes its turns in the loop, after the machines that are in there already. Before that, nothing happens on it. */
  start(events: PathEvents): void {
    this.events = events;
    this.context.loop.addMachine(this);
  }

  /** The peer's link; made when it has none. */
  link(peer: Peer): PeerLink {
    const known = peer.context as PeerLink | null;
    if (known !== null) return known;
    const { mtu, inner, remote } = this.config;
    const link = this.tunnel.addPeer(peer, mtu);
    // Whom to ask what the path carries: the agent, and a device by the address that is its own.
    const own = peer.allowedIps.find(prefix => prefix.bits === prefix.address.bits);
    const destination = remote ?? own?.address;
    const source = inner.find(address => address.family === destination?.family);
    if (destination !== undefined && source !== undefined) link.setEcho(source, destination);
    return link;
  }

  /** Addresses or routes are others now. */
  networkChanged(now: Milliseconds): void {
    this.device.networkChanged(now);
    this.tunnel.networkChanged(now);
  }

  /** No flow is open. */
  get isIdle(): boolean {
    return this.stack.udpFlows().length === 0 && this.stack.connections().length === 0;
  }

  /** Flows are reset, while there may still be a session to send that through, and keys wiped. */
  removePeer(peer: Peer): void {
    this.tunnel.removePeer(peer, this.context.loop.now);
    this.device.removePeer(peer.publicKey);
  }

  poll(now: Milliseconds): void {
    this.intake?.poll(now);
    if (this.restored.length > 0) this.tellRestored(now);
    this.stackMachine.poll(now);
    this.tunnel.poll(now);
  }

  private tellRestored(now: Milliseconds): void {
    for (const link of this.restored) this.stack.linkRestored(link, now);
    this.restored = [];
  }

  flush(now: Milliseconds): void {
    this.stackMachine.flush(now);
    this.tunnel.flush(now);
  }

  pollAt(): Milliseconds {
    if (this.restored.length > 0) return 0;
    return Math.min(this.intake?.pollAt() ?? NEVER, this.stackMachine.pollAt(), this.tunnel.pollAt());
  }

  onHandshake(peer: Peer, now: Milliseconds, restored: boolean): void {
    (peer.context as PeerLink | null)?.search.onSession(now);
    if (restored && peer.context !== null) this.restored.push(peer.context as PeerLink);
    this.events.onHandshake(this, peer, restored);
  }

  onHandshakeTimeout(peer: Peer, seconds: number): void {
    this.events.onHandshakeTimeout(this, peer, seconds);
  }

  onQuiet(peer: Peer): boolean {
    return (peer.context as PeerLink | null)?.ask() ?? false;
  }

  onPeerEndpoint(peer: Peer): void {
    this.events.onPeerEndpoint(peer);
  }
}
