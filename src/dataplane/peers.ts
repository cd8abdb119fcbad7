/**
 * The peers that the control process names, and those that `wg set` adds: what each is to WireGuard on every path in
 * use and to the role, and what is told of it.
 */
import type { PeerConfig, PeerStatus } from "../api/index.js";
import {
  formatEndpoint,
  fromBase64,
  type Milliseconds,
  Prefix,
  parseEndpoint,
  readEndpoint,
  toBase64,
} from "../base/index.js";
import type { Device, Peer, PeerConfig as WireGuardPeer } from "../wireguard/index.js";
import type { AgentRole } from "./agent.js";
import type { Context } from "./context.js";
import { EndpointReports } from "./endpoint-reports.js";
import { Handover } from "./handover.js";
import type { LaptopRole } from "./laptop.js";
import type { Path, PathEvents } from "./path.js";
import type { PeerLink } from "./peer-link.js";
import type { UapiOwner } from "./uapi-server.js";

/** Unanswered handshakes for this long make new flows fail at once. */
const TUNNEL_DOWN_SECONDS = 10;

/** What a process is; the other one is null. */
export interface Role {
  readonly laptop: LaptopRole | null;
  readonly agent: AgentRole | null;
}

export class Peers implements PathEvents, UapiOwner {
  readonly handover: Handover;
  private readonly context: Context;
  private readonly laptop: LaptopRole | null;
  private readonly agent: AgentRole | null;
  /** By public key. */
  private readonly names = new Map<string, string>();
  private readonly endpoints: EndpointReports;

  /** @param paths take their turns in the loop from now on; the first one is in use */
  constructor(context: Context, { laptop, agent }: Role, paths: readonly [Path, ...Path[]]) {
    this.context = context;
    this.laptop = laptop;
    this.agent = agent;
    this.endpoints = new EndpointReports(context);
    context.loop.addMachine(this.endpoints);
    for (const path of paths) path.start(this);
    this.handover = new Handover(context, paths, () => this.moved());
    if (laptop !== null) laptop.tunnel = paths[0].stack;
  }

  set(peers: readonly PeerConfig[]): void {
    const { now } = this.context.loop;
    for (const config of peers) {
      if (config.name !== undefined) this.names.set(config.publicKey, config.name);
      for (const path of this.handover.active) this.setOn(path, config, now);
    }
  }

  private setOn(path: Path, config: PeerConfig, now: Milliseconds): void {
    const { device } = path;
    const settings = { ...wireGuardPeer(config), eager: this.laptop !== null };
    const known = device.lookup(settings.publicKey);
    const peer = known === null ? device.addPeer(settings, now) : known;
    if (known !== null) device.updatePeer(settings.publicKey, settings, now);
    const link = path.link(peer);
    if (this.laptop !== null && path === this.handover.current) this.laptop.agent = link;
    // The laptop connects; a restarted agent finds its devices where it last heard them.
    if (settings.endpoint !== undefined) peer.initiate(now);
    this.agent?.setDevice(link, {
      name: config.name ?? config.publicKey,
      publicKey: config.publicKey,
      grant: config.grant ?? "",
    });
  }

  /** @param publicKeys in Base64 */
  remove(publicKeys: readonly string[]): void {
    for (const text of publicKeys) {
      for (const { device } of this.handover.paths) {
        const peer = device.lookup(decodeKey(text));
        if (peer === null) continue;
        this.dropPeer(peer);
        device.removePeer(peer.publicKey);
      }
      this.names.delete(text);
    }
  }

  /** The flows go first, while there is still a session to send their resets through. */
  dropPeer(peer: Peer): void {
    const link = peer.context as PeerLink | null;
    if (link === null) return;
    link.close(this.context.loop.now);
    this.agent?.removeDevice(link);
    if (this.laptop !== null && this.laptop.agent === link) this.laptop.agent = null;
    this.endpoints.forget(peer);
  }

  /** `wg set` made a peer: it gets a link; on the laptop it is the agent when there is none. */
  adoptPeers(): void {
    for (const peer of this.device.peers()) {
      const link = this.handover.current.link(peer);
      if (this.laptop !== null) this.laptop.agent ??= link;
    }
  }

  /** New flows go to another replica of the agent, and the daemon asks that one for the catalog. */
  private moved(): void {
    const { current } = this.handover;
    const { laptop } = this;
    if (laptop === null) return;
    laptop.tunnel = current.stack;
    laptop.agent = null;
    for (const peer of current.device.peers()) laptop.agent ??= current.link(peer);
    this.context.tell({ type: "moved" });
  }

  networkChanged(): void {
    for (const path of this.handover.active) path.networkChanged(this.context.loop.now);
  }

  /** The agent stops: devices learn at once that their flows are over. */
  sayGoodbye(): void {
    if (this.agent === null) return;
    for (const peer of this.device.peers()) this.dropPeer(peer);
  }

  get device(): Device {
    return this.handover.current.device;
  }

  get listenPort(): number {
    return this.handover.current.socket.port;
  }

  status(): PeerStatus[] {
    return [...this.device.peers()].map(peer => {
      const publicKey = toBase64(peer.publicKey);
      const name = this.names.get(publicKey);
      const link = peer.context as PeerLink | null;
      return {
        publicKey,
        ...(name === undefined ? {} : { name }),
        ...(peer.hasEndpoint ? { endpoint: formatEndpoint(readEndpoint(peer.endpoint, 0)) } : {}),
        lastHandshakeAt: peer.lastHandshakeAt,
        rxBytes: peer.rxBytes,
        txBytes: peer.txBytes,
        ...(peer.rttMs > 0 ? { rttMs: peer.rttMs } : {}),
        ...(link === null ? {} : { mtu: link.mtu, pathMtu: link.search.state }),
      };
    });
  }

  // ---- WireGuard's events ----

  onHandshake(path: Path, peer: Peer, restored: boolean): void {
    this.handover.onHandshake(path, restored);
    if (this.laptop !== null && path === this.handover.current) this.laptop.tunnelDown = false;
    this.context.tell({ type: "handshake", publicKey: toBase64(peer.publicKey), at: peer.lastHandshakeAt });
  }

  onHandshakeTimeout(path: Path, peer: Peer, seconds: number): void {
    if (path !== this.handover.current) return;
    if (this.laptop !== null && seconds >= TUNNEL_DOWN_SECONDS) this.laptop.tunnelDown = true;
    this.context.tell({ type: "handshake-timeout", publicKey: toBase64(peer.publicKey), seconds });
  }

  onPeerEndpoint(peer: Peer): void {
    (peer.context as PeerLink | null)?.search.restart(this.context.loop.now);
    this.endpoints.changed(peer, this.context.loop.now);
  }
}

function wireGuardPeer(config: PeerConfig): WireGuardPeer {
  const endpoint = config.endpoint === undefined ? null : parseEndpoint(config.endpoint);
  return {
    publicKey: decodeKey(config.publicKey),
    ...(config.presharedKey === undefined ? {} : { presharedKey: decodeKey(config.presharedKey) }),
    ...(endpoint === null ? {} : { endpoint }),
    allowedIps: config.allowedIps.map(Prefix.from),
    persistentKeepaliveSeconds: config.persistentKeepaliveSeconds ?? 0,
  };
}

/** From a message's Base64. Throws TypeError. */
export function decodeKey(text: string): Uint8Array {
  const bytes = fromBase64(text);
  if (bytes?.length !== 32) throw new TypeError("not a WireGuard key");
  return bytes;
}
