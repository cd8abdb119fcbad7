/**
 * One data plane process, put together: reads what the control process wants, owns the parts, answers.
 *
 * ```
 *  laptop:  TunLink ⇄ Stack ⇄ TcpSplice/UdpRelay ⇄ Stack ⇄ PeerLink ⇄ Device ⇄ UDP
 *  agent:   UDP ⇄ Device ⇄ PeerLink ⇄ Stack ⇄ Dial/KernelDatagram ⇄ kernel sockets
 * ```
 */
import { randomFillSync } from "node:crypto";
import type {
  DataplaneStatus,
  FlowStatus,
  FromDataplane,
  PeerConfig,
  PeerStatus,
  ToDataplane,
} from "../api/index.js";
import {
  Address,
  BlockPool,
  CzctlError,
  ENDPOINT_BYTES,
  formatEndpoint,
  fromBase64,
  type Milliseconds,
  Prefix,
  parseEndpoint,
  type Random,
  readEndpoint,
  toBase64,
} from "../base/index.js";
import { createCrypto } from "../crypto/index.js";
import { createArena, dropPrivileges, EPOLLIN, Poller } from "../linux/index.js";
import { Stack, type StackHandler, type StackOptions } from "../netstack/index.js";
import type { Device, Peer, PeerConfig as WireGuardPeer } from "../wireguard/index.js";
import { AgentRole } from "./agent.js";
import { type Context, StreamQueue } from "./context.js";
import { ControlListener } from "./control-listener.js";
import { DialLimit } from "./dial-limit.js";
import { EndpointReports } from "./endpoint-reports.js";
import { Handover, LAPTOP_PATHS } from "./handover.js";
import { LaptopRole, RefuseInbound } from "./laptop.js";
import { LineChannel } from "./line-channel.js";
import { UnixListener } from "./listener.js";
import { Loop, StackMachine } from "./loop.js";
import { Path, type PathEvents } from "./path.js";
import type { PeerLink } from "./peer-link.js";
import { Tidier } from "./tidier.js";
import { TunLink } from "./tun-link.js";
import { type UapiOwner, UapiServer } from "./uapi-server.js";

type Start = Extract<ToDataplane, { type: "start" }>;

/** `CZCTL_CONGESTION=cubic`: fairer to others behind a short queue, slow on lines that lose (docs/decisions/0011). */
const CONGESTION: StackOptions["congestion"] = process.env.CZCTL_CONGESTION === "cubic" ? "cubic" : "bbr";
/** Virtual size; pages become resident as they are used. */
const ARENA_BYTES = 512 << 20;
const PACKET_AREA_BYTES = 4 << 20;
/** An idle UDP flow is forgotten after this long (RFC 4787 §4.3 asks for two minutes at least). */
const UDP_IDLE_MS = 120_000;
/** Idle connections are probed from here on, so that a laptop that is gone does not hold its Services' sockets. */
const KEEP_ALIVE = { keepAliveIdleMs: 600_000, keepAliveIntervalMs: 60_000, keepAliveProbes: 9 } as const;
/** The part of the agent's flow tables that one device may have. */
const DEVICE_SHARE = 0.25;
/** Longest text that the control process takes in a message. */
const MESSAGE_CHARS = 1_000;
/** Unanswered handshakes for this long make new flows fail at once. */
const TUNNEL_DOWN_SECONDS = 10;

const random: Random = {
  uint32: () => {
    const word = new Uint32Array(1);
    randomFillSync(word);
    return word[0] as number;
  },
  fill: bytes => {
    randomFillSync(bytes);
  },
};

export class Dataplane {
  private readonly arena = createArena(ARENA_BYTES);
  private readonly loop: Loop;
  private readonly control: LineChannel;
  private readonly context: Context;
  private readonly lineBuffer: number;
  private readonly startedAt: number = performance.now();
  private running: Running | null = null;

  /** @param controlFd stream socket to the control process */
  constructor(controlFd: number) {
    const { arena } = this;
    this.loop = new Loop(new Poller(arena));
    this.lineBuffer = arena.reserve(LineChannel.BUFFER_BYTES);
    const scratchEndpoint = arena.reserve(ENDPOINT_BYTES);
    const scratchDatagram = arena.reserve(65_536);
    const packetArea = PACKET_AREA_BYTES;
    const poolBytes = arena.available - packetArea;
    const pool = new BlockPool(arena.reserve(poolBytes), poolBytes);
    const streams = new StreamQueue();
    const dials = new DialLimit();
    const tell = (message: FromDataplane) => this.control.write(`${JSON.stringify(message)}\n`);
    this.context = { arena, pool, loop: this.loop, streams, dials, scratchEndpoint, scratchDatagram, tell };
    this.control = new LineChannel({ arena, loop: this.loop }, controlFd, this.lineBuffer, {
      onLine: line => this.receive(JSON.parse(line) as ToDataplane),
      onEnd: () => this.loop.stop(),
    });
    this.loop.addMachine(dials);
    this.loop.addMachine(streams);
    this.loop.addMachine(new Tidier(arena, pool, () => globalThis.gc?.()));
  }

  run(): void {
    this.loop.run();
  }

  private receive(message: ToDataplane): void {
    const { running } = this;
    switch (message.type) {
      case "start":
        return this.start(message);
      case "stop":
        running?.sayGoodbye();
        return this.loop.stop();
      case "peers":
        return running?.setPeers(message.set ?? [], message.remove ?? []);
      case "routes":
        return running?.laptop?.setRoutes(message.routes);
      case "dns":
        return running?.laptop?.setDns(message.addresses.map(Address.from));
      case "network-changed":
        return running?.networkChanged();
      case "move":
        return running?.handover.move(this.loop.now);
      case "drain":
        return running?.device.drain();
      case "targets":
        return running?.agent?.setTargets(message.targets, message.grants);
      case "flows":
        return this.context.tell({ type: "flows", id: message.id, flows: running?.flows() ?? [] });
      case "status":
        if (running === null) return;
        return this.context.tell({ type: "status", id: message.id, status: this.status(running) });
    }
  }

  private start(message: Start): void {
    try {
      this.running = new Running(this.context, this.lineBuffer, message);
      this.dropPrivileges(message);
    } catch (error) {
      const known = error instanceof CzctlError ? error : null;
      this.context.tell({
        type: "failed",
        code: known?.code ?? "DATAPLANE_START",
        message: (known?.message ?? `the data plane could not start: ${String(error)}`).slice(
          0,
          MESSAGE_CHARS,
        ),
        ...(known?.hint === undefined ? {} : { hint: known.hint }),
      });
      this.loop.stop();
      return;
    }
    this.context.tell({ type: "ready", listenPort: this.running.listenPort });
  }

  private dropPrivileges({ runAs }: Start): void {
    const { userChanged, capableThreads } = dropPrivileges(runAs);
    if (capableThreads === 0 && (userChanged || runAs === undefined)) return;
    this.context.tell({
      type: "log",
      level: "warn",
      message:
        "the data plane keeps its user, which cannot be changed here; its own thread has no capabilities",
      fields: { capableThreads },
    });
  }

  private status(running: Running): DataplaneStatus {
    return {
      pid: process.pid,
      uptimeMs: performance.now() - this.startedAt,
      memory: { rssBytes: process.memoryUsage.rss(), ringBytes: this.context.pool.usedBytes },
      ...running.status(),
    };
  }
}

/** The parts that exist once the start message is known. */
class Running implements PathEvents, UapiOwner {
  readonly laptop: LaptopRole | null;
  readonly agent: AgentRole | null;
  readonly handover: Handover;
  private readonly context: Context;
  private readonly tunStack: Stack | null = null;
  private readonly tunLink: TunLink | null = null;
  private readonly cryptoName: string;
  /** By public key. */
  private readonly names = new Map<string, string>();
  private readonly endpoints: EndpointReports;

  constructor(context: Context, lineBuffer: number, start: Start) {
    const { arena, loop } = context;
    this.context = context;
    const inner = start.innerAddresses.map(Address.from);
    const { suite, fallbackReason } = createCrypto(arena);
    this.cryptoName = suite.name;
    if (fallbackReason !== null) {
      context.tell({ type: "log", level: "warn", message: `slow encryption is used: ${fallbackReason}` });
    }
    this.endpoints = new EndpointReports(context);
    loop.addMachine(this.endpoints);

    const control = start.control === undefined ? null : start.control;
    const remote = control === null ? null : parseEndpoint(control.remote);
    if (start.role === "laptop") {
      this.laptop = new LaptopRole(context, {
        dnsAddresses: (start.dns?.addresses ?? []).map(Address.from),
        dnsPorts: { udp: start.dns?.udpPort ?? 0, tcp: start.dns?.tcpPort ?? 0 },
        innerAddresses: inner,
      });
      this.agent = null;
    } else {
      this.laptop = null;
      this.agent = new AgentRole(context, {
        innerAddresses: inner,
        control: control === null || remote === null ? null : { path: control.socketPath, port: remote.port },
      });
    }
    const makePath = (port: number): Path =>
      new Path(
        context,
        {
          port,
          address: start.listenAddress === undefined ? null : Address.from(start.listenAddress),
          gso: !start.disable?.includes("gso"),
          gro: !start.disable?.includes("gro"),
          crypto: suite,
          random,
          privateKey: key(start.privateKey),
          mtu: start.mtu,
          inner,
          remote: this.laptop === null ? null : (remote?.address ?? null),
          stack: this.newStack(this.agent ?? new RefuseInbound(inner)),
        },
        this,
      );
    const spares = this.laptop === null ? 0 : LAPTOP_PATHS - 1;
    const paths: [Path, ...Path[]] = [makePath(start.listenPort)];
    while (paths.length <= spares) paths.push(makePath(0));

    if (this.laptop !== null && start.tun !== undefined) {
      this.tunStack = this.newStack(this.laptop);
      this.tunLink = new TunLink(context, start.tun.fd, start.tun.mtu, start.tun.tso, () => {
        context.tell({ type: "failed", code: "TUN_GONE", message: "the network device is gone" });
        loop.stop();
      });
      this.tunLink.join(this.tunStack);
      this.laptop.tunnel = paths[0].stack;
      loop.add(start.tun.fd, EPOLLIN, this.tunLink);
      loop.addMachine(new StackMachine(this.tunStack));
      if (control !== null && remote !== null) {
        new UnixListener(context, control.socketPath, new ControlListener(context, this.laptop, remote));
      }
    }
    for (const path of paths) path.start();
    this.handover = new Handover(context, paths, () => this.moved());
    this.setPeers(start.peers, []);
    if (start.uapiSocketPath !== undefined) this.listenForWg(start.uapiSocketPath, lineBuffer);
  }

  /** A tunnel that `wg show` cannot see is still a tunnel: another device may bear our name. */
  private listenForWg(path: string, lineBuffer: number): void {
    try {
      new UnixListener(this.context, path, new UapiServer(this.context, lineBuffer, this));
    } catch (error) {
      const message = `wg show will not find this: ${(error as Error).message}`;
      this.context.tell({ type: "log", level: "warn", message });
    }
  }

  setPeers(set: readonly PeerConfig[], remove: readonly string[]): void {
    const { now } = this.context.loop;
    for (const text of remove) {
      for (const { device } of this.handover.paths) {
        const peer = device.lookup(key(text));
        if (peer === null) continue;
        this.dropPeer(peer);
        device.removePeer(peer.publicKey);
      }
      this.names.delete(text);
    }
    for (const config of set) {
      if (config.name !== undefined) this.names.set(config.publicKey, config.name);
      for (const path of this.handover.active) this.setPeer(path, config, now);
    }
  }

  private setPeer(path: Path, config: PeerConfig, now: Milliseconds): void {
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

  /** The flows go first, while there is still a session to send their resets through. */
  dropPeer(peer: Peer): void {
    const link = peer.context as PeerLink | null;
    if (link === null) return;
    link.close(this.context.loop.now);
    this.agent?.removeDevice(link);
    if (this.laptop !== null && this.laptop.agent === link) this.laptop.agent = null;
    this.endpoints.forget(peer);
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

  /** `wg set` made a peer: it gets a link; on the laptop it is the agent when there is none. */
  adoptPeers(): void {
    for (const peer of this.device.peers()) {
      const link = this.handover.current.link(peer);
      if (this.laptop !== null) this.laptop.agent ??= link;
    }
  }

  get device(): Device {
    return this.handover.current.device;
  }

  get listenPort(): number {
    return this.handover.current.socket.port;
  }

  flows(): FlowStatus[] {
    const { now } = this.context.loop;
    return this.laptop?.flows(now) ?? this.agent?.flows(now) ?? [];
  }

  status(): Omit<DataplaneStatus, "pid" | "uptimeMs" | "memory"> {
    const { paths, current } = this.handover;
    const { gso, gro } = current.socket;
    const tso = this.tunLink !== null && this.tunLink.maxGsoBytes > 0;
    const role = this.agent ?? this.laptop;
    return {
      listenPort: this.listenPort,
      crypto: this.cryptoName,
      offloads: Object.entries({ gso, gro, tso }).flatMap(([name, on]) => (on ? [name] : [])),
      peers: [...this.device.peers()].map(peer => {
        const publicKey = toBase64(peer.publicKey);
        const name = this.names.get(publicKey);
        return {
          publicKey,
          ...(name === undefined ? {} : { name }),
          ...(peer.hasEndpoint ? { endpoint: formatEndpoint(readEndpoint(peer.endpoint, 0)) } : {}),
          lastHandshakeAt: peer.lastHandshakeAt,
          rxBytes: peer.rxBytes,
          txBytes: peer.txBytes,
          ...(peer.rttMs > 0 ? { rttMs: peer.rttMs } : {}),
          ...pathStatus(peer.context as PeerLink | null),
        };
      }),
      flows: this.laptop?.counts() ?? this.agent?.counts() ?? { tcp: 0, udp: 0 },
      counters: {
        ...summed("netstack.tun", [this.tunStack?.counters]),
        ...summed(
          "netstack.tunnel",
          paths.map(({ stack }) => stack.counters),
        ),
        ...summed(
          "wireguard",
          paths.map(({ device }) => device.counters),
        ),
        ...summed("tun", [this.tunLink?.counters]),
        ...summed(
          "udp",
          paths.map(({ tunnel }) => tunnel.counters),
        ),
        ...summed("policy", [role?.denials]),
        ...summed("dns", [this.laptop?.dns.counters]),
      },
      ...(role === null ? {} : { roundTrips: role.roundTrips.snapshot() }),
    };
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

  private newStack(handler: StackHandler): Stack {
    const { arena, pool } = this.context;
    const options: Partial<StackOptions> = {
      congestion: CONGESTION,
      udpIdleMs: UDP_IDLE_MS,
      ...(handler === this.laptop ? {} : KEEP_ALIVE),
      ...(handler === this.agent ? { linkShare: DEVICE_SHARE } : {}),
    };
    return new Stack({ arena, pool, random, handler, options });
  }
}

function pathStatus(link: PeerLink | null): Pick<PeerStatus, "mtu" | "pathMtu"> {
  return link === null ? {} : { mtu: link.mtu, pathMtu: link.search.state };
}

function key(text: string): Uint8Array {
  const bytes = fromBase64(text);
  if (bytes?.length !== 32) throw new TypeError("not a WireGuard key");
  return bytes;
}

function wireGuardPeer(config: PeerConfig): WireGuardPeer {
  const endpoint = config.endpoint === undefined ? null : parseEndpoint(config.endpoint);
  return {
    publicKey: key(config.publicKey),
    ...(config.presharedKey === undefined ? {} : { presharedKey: key(config.presharedKey) }),
    ...(endpoint === null ? {} : { endpoint }),
    allowedIps: config.allowedIps.map(Prefix.from),
    persistentKeepaliveSeconds: config.persistentKeepaliveSeconds ?? 0,
  };
}

function summed(prefix: string, each: readonly (object | undefined)[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const [name, value] of each.flatMap(counters => Object.entries(counters ?? {}))) {
    if (typeof value === "number" && value > 0)
      sums[`${prefix}.${name}`] = (sums[`${prefix}.${name}`] ?? 0) + value;
  }
  return sums;
}
