/**
 * The laptop's role: applications reach cluster services. Decides what each new flow from the TUN side is:
 * the DNS responder, a consumed service, or nothing (refused at once).
 */
import type { FlowStatus, Protocol, Route } from "../api/index.js";
import { Address, CzctlError, formatEndpoint, LinkedList, type Listed } from "../base/index.js";
import type { Link, Stack, StackHandler, TcpConnection, UdpFlow, Unreachable } from "../netstack/index.js";
import type { Context } from "./context.js";
import { DenialCounters, Denials } from "./denials.js";
import { Dial } from "./dial.js";
import { DnsRelay } from "./dns-relay.js";
import type { PeerLink } from "./peer-link.js";
import { RoundTripHistogram } from "./round-trips.js";
import { type LaptopRoute, RouteTable } from "./route-table.js";
import { flowState, TcpSplice, UdpRelay } from "./splice.js";

const DNS_PORT = 53;
/** The responder waits for nothing, and most who ask do so from a new port each time. */
const DNS_IDLE_MS = 2_000;
const LOOPBACK = Address.from("127.0.0.1");

export interface LaptopConfig {
  /** Virtual addresses of the DNS responder, see `setDns`. */
  dnsAddresses: readonly Address[];
  /** Where it really listens on loopback; 0 for none. */
  dnsPorts: Readonly<Record<Protocol, number>>;
  innerAddresses: readonly Address[];
}

/** What one UDP flow of an application leads to. */
class UdpJoin implements Listed<UdpJoin> {
  listed: LinkedList<UdpJoin> | null = null;
  listNext: UdpJoin | null = null;
  listPrevious: UdpJoin | null = null;
  readonly near: UdpFlow;
  readonly far: UdpFlow | null;
  readonly name: string;

  constructor(near: UdpFlow, far: UdpFlow | null, name: string) {
    this.near = near;
    this.far = far;
    this.name = name;
  }
}

export class LaptopRole implements StackHandler {
  /** The far end of everything: the agent. */
  agent: PeerLink | null = null;
  /** Handshakes have gone unanswered: new flows fail at once instead of hanging. */
  tunnelDown = false;
  tunnel!: Stack;
  readonly denials: DenialCounters = new DenialCounters();
  readonly roundTrips: RoundTripHistogram = new RoundTripHistogram();
  readonly dns: DnsRelay;
  private readonly denied: Denials;
  private readonly context: Context;
  private readonly config: LaptopConfig;
  private dnsAddresses: readonly Address[] = [];
  /** The device's own: the ones before the responder's. */
  private deviceAddresses: readonly Address[] = [];
  private readonly routes = new RouteTable();
  private readonly splices = new LinkedList<TcpSplice>();
  private readonly onSpliceClosed = (splice: TcpSplice): void => {
    this.splices.remove(splice);
    this.roundTrips.observe(splice.far.srttMs);
  };
  private readonly joins = new LinkedList<UdpJoin>();

  constructor(context: Context, config: LaptopConfig) {
    this.context = context;
    this.config = config;
    this.dns = new DnsRelay(context, { address: LOOPBACK, port: config.dnsPorts.udp });
    this.denied = new Denials(context, this.denials, context.loop.now);
    this.setDns(config.dnsAddresses);
  }

  /** Flows whose route is gone or has become another service's are reset. */
  setRoutes(routes: readonly Route[]): void {
    this.routes.replace(routes);
    for (const splice of this.splices) {
      const { local, localPort } = splice.near;
      if (!this.stands("tcp", local, localPort, splice.route.name)) splice.abort();
    }
    for (const join of this.joins) {
      const { local, localPort } = join.near;
      if (join.far !== null && !this.stands("udp", local, localPort, join.name)) join.near.refuse("port");
    }
  }

  /** What the names are has changed, or where the responder is asked. */
  setDns(addresses: readonly Address[]): void {
    this.dnsAddresses = addresses;
    this.deviceAddresses = addresses.map(dns => dns.plus(-1));
    this.dns.namesChanged();
  }

  /** A connection inside the tunnel to the agent's side, or null when there is no way. */
  connect(target: Address, port: number): TcpConnection | null {
    const source = this.innerAddress(target);
    const { agent, tunnel } = this;
    if (agent === null || source === null) return null;
    return unlessTooMany(() => tunnel.connect(agent, source, target, port, this.context.loop.now));
  }

  flows(now: number): FlowStatus[] {
    const tcp = [...this.splices].map(
      ({ near, far, route }): FlowStatus => ({
        protocol: "tcp",
        source: formatEndpoint({ address: near.remote, port: near.remotePort }),
        destination: formatEndpoint({ address: near.local, port: near.localPort }),
        name: route.name,
        state: flowState(near.state),
        rxBytes: far.bytesIn,
        txBytes: far.bytesOut,
        ...(far.srttMs > 0 ? { rttMs: far.srttMs } : {}),
        ageMs: now - near.createdAt,
      }),
    );
    const udp = [...this.joins].map(
      ({ near, name }): FlowStatus => ({
        protocol: "udp",
        source: formatEndpoint({ address: near.remote, port: near.remotePort }),
        destination: formatEndpoint({ address: near.local, port: near.localPort }),
        name,
        state: "OPEN",
        rxBytes: near.bytesOut,
        txBytes: near.bytesIn,
        ageMs: now - near.createdAt,
      }),
    );
    return [...tcp, ...udp];
  }

  /** Open flows by protocol, without the cost of describing them. */
  counts(): Record<Protocol, number> {
    return { tcp: this.splices.count, udp: this.joins.count };
  }

  // ---- TUN side ----

  onTcpSyn(near: TcpConnection): void {
    if (this.isForeign(near.remote)) return near.unreachable("prohibited");
    if (this.isDns(near.local, near.localPort)) {
      new Dial(this.context, near, { targets: [{ address: LOOPBACK, port: this.config.dnsPorts.tcp }] });
      return;
    }
    const route = this.routes.service("tcp", near.local, near.localPort);
    if (route === undefined) return near.refuse();
    this.tellDenied(route, "tcp", near.local, near.localPort);
    const far = this.tunnelDown ? null : this.connect(route.target, near.localPort);
    if (far === null) return near.unreachable("host");
    this.splices.add(new TcpSplice(this.context, route, near, far, this.onSpliceClosed));
  }

  onUdpFlow(near: UdpFlow, offset: number, length: number): void {
    if (this.isForeign(near.remote)) return near.refuse("prohibited");
    if (this.isDns(near.local, near.localPort)) {
      if (this.dns.repeat(near, offset, length)) return;
      near.idleMs = DNS_IDLE_MS;
      const asked = new UdpJoin(near, null, "dns");
      this.joins.add(asked);
      this.dns.take(near, () => this.joins.remove(asked));
      return;
    }
    const route = this.routes.service("udp", near.local, near.localPort);
    if (route === undefined) return near.refuse("port");
    this.tellDenied(route, "udp", near.local, near.localPort);
    const source = this.innerAddress(route.target);
    const { agent, tunnel } = this;
    if (agent === null || this.tunnelDown || source === null) return near.refuse("host");
    const far = unlessTooMany(() =>
      tunnel.openUdp(agent, source, route.target, near.localPort, this.context.loop.now),
    );
    if (far === null) return near.refuse("host");
    const join = new UdpJoin(near, far, route.name);
    this.joins.add(join);
    near.receiver = new UdpRelay(this.context, near, far, () => this.joins.remove(join));
    far.receiver = new UdpRelay(this.context, far, near, () => this.joins.remove(join));
  }

  onEcho(_link: Link, _source: Address, destination: Address): "reply" | Unreachable {
    const known = this.isDns(destination, DNS_PORT) || this.routes.lookup(destination) !== undefined;
    if (!known) return "host";
    return this.tunnelDown ? "network" : "reply";
  }

  /** Why the refusal that follows will be one; whether it does follow is for the agent to say. */
  private tellDenied(route: LaptopRoute, protocol: Protocol, address: Address, port: number): void {
    if (!route.denied[protocol].has(port)) return;
    const destination = formatEndpoint({ address, port });
    this.denied.denied({ name: route.name, protocol, destination }, this.context.loop.now);
  }

  private stands(protocol: Protocol, virtual: Address, port: number, name: string): boolean {
    return this.routes.service(protocol, virtual, port)?.name === name;
  }

  /** Not this machine's own: a packet that it forwards for a neighbour. */
  private isForeign(source: Address): boolean {
    return !this.deviceAddresses.some(own => own.equals(source));
  }

  private isDns(address: Address, port: number): boolean {
    return port === DNS_PORT && this.dnsAddresses.some(own => own.equals(address));
  }

  private innerAddress(target: Address): Address | null {
    return this.config.innerAddresses.find(own => own.family === target.family) ?? null;
  }
}

/** Null when the stack is full, which is the application's to hear and not the end of everybody's flows. */
function unlessTooMany<T>(open: () => T): T | null {
  try {
    return open();
  } catch (error) {
    if (error instanceof CzctlError) return null;
    throw error;
  }
}

/** The laptop's tunnel side: the cluster reaches nothing here (until Serve). */
export class RefuseInbound implements StackHandler {
  private readonly own: readonly Address[];

  constructor(own: readonly Address[]) {
    this.own = own;
  }

  onTcpSyn(connection: TcpConnection): void {
    connection.refuse();
  }

  onUdpFlow(flow: UdpFlow): void {
    flow.refuse("port");
  }

  onEcho(_link: Link, _source: Address, destination: Address): "reply" | Unreachable {
    return this.own.some(own => own.equals(destination)) ? "reply" : "host";
  }
}
