/** Laptop: what each virtual address means. Replaced as a whole whenever the catalog or the rules change. */
import type { Protocol, Route } from "../api/index.js";
import { Address } from "../base/index.js";

export interface LaptopRoute {
  readonly name: string;
  readonly target: Address;
  readonly tcp: ReadonlySet<number>;
  readonly udp: ReadonlySet<number>;
  /** Of both, those that the agent would refuse. */
  readonly denied: Readonly<Record<Protocol, ReadonlySet<number>>>;
}

export class RouteTable {
  private routes = new Map<Address["key"], LaptopRoute>();

  /** Throws RangeError on an address that is none: the daemon made the table. */
  replace(routes: readonly Route[]): void {
    const next = new Map<Address["key"], LaptopRoute>();
    for (const route of routes) {
      const ports = (protocol: Protocol, of = route.ports) =>
        new Set(of.filter(port => port.protocol === protocol).map(port => port.port));
      const denied = route.ports.filter(port => port.denied);
      next.set(Address.from(route.virtual).key, {
        name: route.name,
        target: Address.from(route.target),
        tcp: ports("tcp"),
        udp: ports("udp"),
        denied: { tcp: ports("tcp", denied), udp: ports("udp", denied) },
      });
    }
    this.routes = next;
  }

  lookup(virtual: Address): LaptopRoute | undefined {
    return this.routes.get(virtual.key);
  }

  /** The route of a port that exists and is consumed. */
  service(protocol: Protocol, virtual: Address, port: number): LaptopRoute | undefined {
    const route = this.lookup(virtual);
    return route?.[protocol].has(port) ? route : undefined;
  }
}
