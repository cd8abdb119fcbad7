/**
 * Which service has which virtual address, and what of that is routed: the services of now, and those at addresses of
 * a range that we left, until the last flow there ends.
 */
import type { Route } from "../api/index.js";
import { type Address, Prefix } from "../base/index.js";
import {
  type PlacedService,
  parseRules,
  placeServices,
  type Service,
  VirtualAddresses,
  virtualRoutes,
} from "../catalog/index.js";
import type { Device } from "./device.js";
import type { Space } from "./state.js";

export class Addressing {
  /** Ranges of virtual addresses that are or were ours: no agent is in there. */
  readonly ours: Prefix[];
  virtual!: VirtualAddresses;
  placed: readonly PlacedService[] = [];
  readonly #device: Device;
  /** Routes to old virtual addresses that open flows still use. */
  #oldRoutes: readonly Route[] = [];

  constructor(device: Device) {
    this.#device = device;
    this.ours = [device.range, device.ula];
  }

  /** Another space: its services get the addresses that it remembers. */
  open(space: Space): void {
    this.virtual = new VirtualAddresses(this.#device.range, this.#device.ula, space.addresses);
    this.placed = [];
  }

  /** The device's range is another one: new addresses for everything; what is open at the old ones goes on there. */
  rangeMoved(): void {
    const { range, ula } = this.#device;
    this.ours.push(range);
    this.#oldRoutes = [...this.#oldRoutes, ...virtualRoutes(this.placed)];
    this.virtual = new VirtualAddresses(range, ula, this.virtual.toJSON());
  }

  /** Gives the services that the space's rules consume their addresses; returns how many found the range full. */
  place(services: readonly Service[], { rules, credential }: Space): number {
    // Addresses that the agent made up for services are in its own /64.
    const madeUp = Prefix.from(`${credential.agent.innerAddresses[1]}/64`);
    const { placed, unplaced } = placeServices(services, parseRules(rules).rules, this.virtual, madeUp);
    this.placed = placed;
    return unplaced.length;
  }

  /** @param kept old addresses that open flows still use; their routes stay where the service is still the same */
  routes(kept: readonly Address[]): Route[] {
    const routes = virtualRoutes(this.placed);
    const inUse = new Set(kept.map(String));
    this.#oldRoutes = this.#oldRoutes.filter(({ virtual }) => inUse.has(virtual));
    const draining = this.#oldRoutes.filter(old =>
      routes.some(({ name, target }) => name === old.name && target === old.target),
    );
    return [...routes, ...draining];
  }
}
