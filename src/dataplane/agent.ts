/**
 * The agent's role: what a device asks for inside the tunnel is looked up in its grant and dialled with a
 * kernel socket; everything else is refused at once. Nothing a device says names an address outside the
 * target table, so loopback, metadata services and other devices are out of reach by construction.
 */
import type { FlowStatus, Protocol, Target } from "../api/index.js";
import { type Address, formatEndpoint, LinkedList, type Listed, type Milliseconds } from "../base/index.js";
import type { Link, StackHandler, TcpConnection, UdpFlow, Unreachable } from "../netstack/index.js";
import type { Context } from "./context.js";
import { DenialCounters, Denials } from "./denials.js";
import { Dial } from "./dial.js";
import { KernelDatagram } from "./kernel-datagram.js";
import type { PeerLink } from "./peer-link.js";
import { RoundTripHistogram } from "./round-trips.js";
import { flowState } from "./splice.js";
import { TargetTable } from "./target-table.js";

export interface AgentConfig {
  innerAddresses: readonly Address[];
  control: { port: number; path: string } | null;
}

/** What the agent knows of a device beside its WireGuard state. */
export interface Device {
  readonly name: string;
  readonly publicKey: string;
  grant: string;
}

class Flow implements Listed<Flow> {
  listed: LinkedList<Flow> | null = null;
  listNext: Flow | null = null;
  listPrevious: Flow | null = null;
  readonly protocol: Protocol;
  readonly name: string;
  readonly end: TcpConnection | UdpFlow;

  constructor(protocol: Protocol, name: string, end: TcpConnection | UdpFlow) {
    this.protocol = protocol;
    this.name = name;
    this.end = end;
  }

  abort(): void {
    if ("state" in this.end) this.end.abort();
    else this.end.refuse("port");
  }
}

export class AgentRole implements StackHandler {
  readonly denials: DenialCounters = new DenialCounters();
  readonly roundTrips: RoundTripHistogram = new RoundTripHistogram();
  private readonly context: Context;
  private readonly config: AgentConfig;
  private readonly targets = new TargetTable();
  private readonly devices = new Map<Link, Device>();
  /** Each device's own, from its first refusal on. */
  private readonly deniedTo = new Map<Link, Denials>();
  private readonly flowsOpen = new LinkedList<Flow>();

  constructor(context: Context, config: AgentConfig) {
    this.context = context;
    this.config = config;
  }

  setDevice(link: PeerLink, device: Device): void {
    this.devices.set(link, device);
    this.enforce();
  }

  removeDevice(link: PeerLink): void {
    this.devices.delete(link);
    this.deniedTo.delete(link);
  }

  /** Flows that the new tables do not allow are reset. */
  setTargets(targets: readonly Target[], grants: Readonly<Record<string, readonly number[]>>): void {
    this.targets.replace(targets, grants);
    this.enforce();
  }

  flows(now: Milliseconds): FlowStatus[] {
    return [...this.flowsOpen].map(({ protocol, name, end }) => {
      const state = "state" in end ? flowState(end.state) : "OPEN";
      const peer = this.devices.get(end.link)?.name;
      return {
        protocol,
        source: formatEndpoint({ address: end.remote, port: end.remotePort }),
        destination: formatEndpoint({ address: end.local, port: end.localPort }),
        name,
        ...(peer === undefined ? {} : { peer }),
        state,
        rxBytes: end.bytesIn,
        txBytes: end.bytesOut,
        ...("srttMs" in end && end.srttMs > 0 ? { rttMs: end.srttMs } : {}),
        ageMs: now - end.createdAt,
      };
    });
  }

  /** Open flows by protocol, without the cost of describing them. */
  counts(): Record<Protocol, number> {
    const counts = { tcp: 0, udp: 0 };
    for (const flow of this.flowsOpen) counts[flow.protocol]++;
    return counts;
  }

  onTcpSyn(connection: TcpConnection): void {
    const { link, local, localPort } = connection;
    const device = this.devices.get(link);
    if (device === undefined) return connection.refuse();
    if (this.isControl(local, localPort)) return this.control(connection, device);
    const target = this.targets.lookup(device.grant, "tcp", local, localPort);
    if (target === undefined) {
      this.denied(link, device, "tcp", local, localPort);
      return connection.refuse();
    }
    const flow = new Flow("tcp", target.name, connection);
    this.flowsOpen.add(flow);
    new Dial(this.context, connection, {
      targets: target.candidates(this.context.loop.now),
      onFirstSilent: now => target.avoidDirect(now),
      onClosed: () => {
        this.flowsOpen.remove(flow);
        this.roundTrips.observe(connection.srttMs);
      },
    });
  }

  onUdpFlow(udp: UdpFlow): void {
    const { link, local, localPort } = udp;
    const device = this.devices.get(link);
    if (device === undefined) return udp.refuse("port");
    const target = this.targets.lookup(device.grant, "udp", local, localPort);
    if (target === undefined) {
      this.denied(link, device, "udp", local, localPort);
      return udp.refuse("port");
    }
    const flow = new Flow("udp", target.name, udp);
    this.flowsOpen.add(flow);
    const targets = target.candidates(this.context.loop.now);
    KernelDatagram.open(this.context, udp, targets, () => this.flowsOpen.remove(flow));
  }

  onEcho(_link: Link, _source: Address, destination: Address): "reply" | Unreachable {
    return this.config.innerAddresses.some(own => own.equals(destination)) ? "reply" : "prohibited";
  }

  private isControl(address: Address, port: number): boolean {
    return this.config.control?.port === port && this.config.innerAddresses.some(own => own.equals(address));
  }

  private control(connection: TcpConnection, device: Device): void {
    new Dial(this.context, connection, {
      targets: [{ path: this.config.control?.path as string }],
      preamble: `${JSON.stringify({ peer: device.publicKey })}\n`,
    });
  }

  private enforce(): void {
    for (const flow of this.flowsOpen) {
      const grant = this.devices.get(flow.end.link)?.grant;
      const { local, localPort } = flow.end;
      const allowed =
        grant !== undefined && this.targets.lookup(grant, flow.protocol, local, localPort) !== undefined;
      if (!allowed) flow.abort();
    }
  }

  private denied(link: Link, device: Device, protocol: Protocol, address: Address, port: number): void {
    const { now } = this.context.loop;
    let denials = this.deniedTo.get(link);
    if (denials === undefined) {
      denials = new Denials(this.context, this.denials, now);
      this.deniedTo.set(link, denials);
    }
    const name = this.targets.nameOf(protocol, address, port);
    const destination = formatEndpoint({ address, port });
    const what = { peer: device.publicKey, protocol, destination };
    denials.denied(name === undefined ? what : { ...what, name }, now);
  }
}
