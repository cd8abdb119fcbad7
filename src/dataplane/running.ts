/**
 * What the start message asks for, opened and joined: the role, the paths to the peers, the TUN device, the sockets of
 * others. Lives as long as the process; nothing here is undone.
 *
 * ```
 *  laptop:  TunLink ⇄ Stack ⇄ TcpSplice/UdpRelay ⇄ Stack ⇄ PeerLink ⇄ Device ⇄ UDP
 *  agent:   UDP ⇄ Device ⇄ PeerLink ⇄ Stack ⇄ Dial/KernelDatagram ⇄ kernel sockets
 * ```
 */
import { randomFillSync } from "node:crypto";
import type { DataplaneStatus, FlowStatus, ToDataplane, Tuning } from "../api/index.js";
import { Address, type CryptoSuite, parseEndpoint, type Random } from "../base/index.js";
import type { CryptoChoice } from "../crypto/index.js";
import { EPOLLIN } from "../linux/index.js";
import { Stack, type StackHandler, type StackOptions } from "../netstack/index.js";
import { AgentRole } from "./agent.js";
import type { Context } from "./context.js";
import { ControlListener } from "./control-listener.js";
import { LAPTOP_PATHS } from "./handover.js";
import { LaptopRole, RefuseInbound } from "./laptop.js";
import { UnixListener } from "./listener.js";
import { StackMachine } from "./loop.js";
import { Path } from "./path.js";
import { decodeKey, Peers } from "./peers.js";
import { TunLink } from "./tun-link.js";
import { UapiServer } from "./uapi-server.js";

export type Start = Extract<ToDataplane, { type: "start" }>;

/** An idle UDP flow is forgotten after this long (RFC 4787 §4.3 asks for two minutes at least). */
const UDP_IDLE_MS = 120_000;
/** Idle connections are probed from here on, so that a laptop that is gone does not hold its Services' sockets. */
const KEEP_ALIVE = { keepAliveIdleMs: 600_000, keepAliveIntervalMs: 60_000, keepAliveProbes: 9 } as const;
/** The part of the agent's flow tables that one device may have. */
const DEVICE_SHARE = 0.25;

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

export class Running {
  readonly laptop: LaptopRole | null = null;
  readonly agent: AgentRole | null = null;
  readonly peers: Peers;
  private readonly context: Context;
  private readonly tuning: Tuning;
  private readonly crypto: CryptoSuite;
  /** The side of the applications. */
  private readonly tun: { readonly stack: Stack; readonly link: TunLink } | null = null;

  /**
   * Throws CzctlError when a part cannot be.
   * @param lineBuffer as for `LineChannel`
   */
  constructor(context: Context, lineBuffer: number, crypto: CryptoChoice, start: Start) {
    this.context = context;
    this.tuning = start.tuning;
    const inner = start.innerAddresses.map(Address.from);
    const { suite, fallbackReason } = crypto;
    this.crypto = suite;
    if (fallbackReason !== null) this.warn(`slower encryption is used: ${fallbackReason}`);

    const socketPath = start.control?.socketPath;
    const remote = start.control === undefined ? null : parseEndpoint(start.control.remote);
    if (start.role === "laptop") {
      this.laptop = new LaptopRole(context, {
        dnsAddresses: (start.dns?.addresses ?? []).map(Address.from),
        dnsPorts: { udp: start.dns?.udpPort ?? 0, tcp: start.dns?.tcpPort ?? 0 },
        innerAddresses: inner,
      });
    } else {
      this.agent = new AgentRole(context, {
        innerAddresses: inner,
        control: socketPath === undefined || remote === null ? null : { path: socketPath, port: remote.port },
      });
    }
    const agentAddress = this.laptop === null ? null : (remote?.address ?? null);
    const paths: [Path, ...Path[]] = [this.openPath(start, start.listenPort, inner, agentAddress)];
    const wanted = this.laptop === null ? 1 : LAPTOP_PATHS;
    while (paths.length < wanted) paths.push(this.openPath(start, 0, inner, agentAddress));

    if (this.laptop !== null && start.tun !== undefined) {
      this.tun = this.openTun(this.laptop, start.tun);
      if (socketPath !== undefined && remote !== null) {
        new UnixListener(context, socketPath, new ControlListener(context, this.laptop, remote));
      }
    }
    this.peers = new Peers(context, this, paths);
    this.peers.set(start.peers);
    if (start.uapiSocketPath !== undefined) this.listenForWg(start.uapiSocketPath, lineBuffer);
  }

  private openPath(start: Start, port: number, inner: readonly Address[], remote: Address | null): Path {
    return new Path(this.context, {
      port,
      address: start.listenAddress === undefined ? null : Address.from(start.listenAddress),
      gso: !this.tuning.disableOffloads.includes("gso"),
      gro: !this.tuning.disableOffloads.includes("gro"),
      crypto: this.crypto,
      random,
      privateKey: decodeKey(start.privateKey),
      mtu: start.mtu,
      inner,
      remote,
      stack: this.newStack(this.agent ?? new RefuseInbound(inner)),
    });
  }

  private openTun(laptop: LaptopRole, { fd, mtu, tso }: NonNullable<Start["tun"]>): Running["tun"] {
    const { context } = this;
    const stack = this.newStack(laptop);
    const link = new TunLink(context, fd, mtu, tso, () => {
      context.tell({ type: "failed", code: "TUN_GONE", message: "the network device is gone" });
      context.loop.stop();
    });
    link.join(stack);
    context.loop.add(fd, EPOLLIN, link);
    context.loop.addMachine(new StackMachine(stack));
    return { stack, link };
  }

  /** A tunnel that `wg show` cannot see is still a tunnel: another device may bear our name. */
  private listenForWg(path: string, lineBuffer: number): void {
    try {
      new UnixListener(this.context, path, new UapiServer(this.context, lineBuffer, this.peers));
    } catch (error) {
      this.warn(`wg show will not find this: ${(error as Error).message}`);
    }
  }

  private newStack(handler: StackHandler): Stack {
    const { arena, pool } = this.context;
    const options: Partial<StackOptions> = {
      congestion: this.tuning.congestion,
      udpIdleMs: UDP_IDLE_MS,
      ...(handler === this.laptop ? {} : KEEP_ALIVE),
      ...(handler === this.agent ? { linkShare: DEVICE_SHARE } : {}),
    };
    return new Stack({ arena, pool, random, handler, options });
  }

  private warn(message: string): void {
    this.context.tell({ type: "log", level: "warn", message });
  }

  flows(): FlowStatus[] {
    const { now } = this.context.loop;
    return this.laptop?.flows(now) ?? this.agent?.flows(now) ?? [];
  }

  status(): Omit<DataplaneStatus, "pid" | "uptimeMs" | "memory"> {
    const { listenPort, handover } = this.peers;
    const { paths, current } = handover;
    const { gso, gro } = current.socket;
    const tso = this.tun !== null && this.tun.link.maxGsoBytes > 0;
    const role = this.agent ?? this.laptop;
    return {
      listenPort,
      crypto: this.crypto.name,
      offloads: Object.entries({ gso, gro, tso }).flatMap(([name, on]) => (on ? [name] : [])),
      peers: this.peers.status(),
      flows: role?.counts() ?? { tcp: 0, udp: 0 },
      counters: {
        ...summed("netstack.tun", [this.tun?.stack.counters]),
        ...summed(
          "netstack.tunnel",
          paths.map(({ stack }) => stack.counters),
        ),
        ...summed(
          "wireguard",
          paths.map(({ device }) => device.counters),
        ),
        ...summed("tun", [this.tun?.link.counters]),
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
}

function summed(prefix: string, each: readonly (object | undefined)[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const [name, value] of each.flatMap(counters => Object.entries(counters ?? {}))) {
    if (typeof value === "number" && value > 0)
      sums[`${prefix}.${name}`] = (sums[`${prefix}.${name}`] ?? 0) + value;
  }
  return sums;
}
