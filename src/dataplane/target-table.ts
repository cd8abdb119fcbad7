/** Agent: which in-tunnel destinations exist, where they are dialled, and which device may reach them. */
import type { Protocol, Target } from "../api/index.js";
import { Address, type Endpoint, type Milliseconds } from "../base/index.js";

export interface AgentTarget {
  readonly name: string;
  /** Where to dial now, in order: the address itself when it is a cluster address, then endpoints in turn. */
  candidates(now: Milliseconds): Endpoint[];
  /** Its cluster address did not answer, and an endpoint did: for a while the endpoints come first. */
  avoidDirect(now: Milliseconds): void;
}

/** A cluster address that answered nothing is not asked first again for so long. */
const AVOID_DIRECT_MS = 30_000;

export class TargetTable {
  private targets: ReadonlyMap<TargetKey, AgentTarget> = new Map();
  /** What each of them allows. */
  private grants: ReadonlyMap<string, ReadonlyMap<TargetKey, AgentTarget>> = new Map();

  /** Throws RangeError on an address that is none: the control process made the table. */
  replace(targets: readonly Target[], grants: Readonly<Record<string, readonly number[]>>): void {
    const previous = this.targets;
    const next = targets.map((target): [TargetKey, AgentTarget] => {
      const key = targetKey(target.protocol, Address.from(target.address), target.port);
      return [key, new RoundRobinTarget(target, previous.get(key))];
    });
    this.targets = new Map(next);
    this.grants = new Map(
      Object.entries(grants).map(([grant, indexes]) => [
        grant,
        new Map(indexes.map(index => next[index] as [TargetKey, AgentTarget])),
      ]),
    );
  }

  /** The service that a destination is, whoever may reach it. */
  nameOf(protocol: Protocol, address: Address, port: number): string | undefined {
    return this.targets.get(targetKey(protocol, address, port))?.name;
  }

  /** The target, or undefined when it does not exist or `grant` does not allow it. */
  lookup(grant: string, protocol: Protocol, address: Address, port: number): AgentTarget | undefined {
    return this.grants.get(grant)?.get(targetKey(protocol, address, port));
  }
}

type TargetKey = number | string;

function targetKey(protocol: Protocol, address: Address, port: number): TargetKey {
  const { key } = address;
  if (typeof key === "string") return `${protocol} ${key} ${port}`;
  return (key * 2 + (protocol === "tcp" ? 0 : 1)) * 0x10000 + port;
}

class RoundRobinTarget implements AgentTarget {
  readonly name: string;
  private readonly direct: Endpoint | null;
  private readonly endpoints: readonly Endpoint[];
  private turn: number;
  private directAgainAt: Milliseconds;

  constructor(target: Target, previous: AgentTarget | undefined) {
    this.name = target.name;
    this.direct = target.direct ? { address: Address.from(target.address), port: target.port } : null;
    this.endpoints = target.endpoints.map(({ address, port }) => ({ address: Address.from(address), port }));
    this.turn = previous instanceof RoundRobinTarget ? previous.turn : 0;
    this.directAgainAt = previous instanceof RoundRobinTarget ? previous.directAgainAt : 0;
  }

  avoidDirect(now: Milliseconds): void {
    this.directAgainAt = now + AVOID_DIRECT_MS;
  }

  candidates(now: Milliseconds): Endpoint[] {
    const { endpoints, direct } = this;
    const first = endpoints.length === 0 ? 0 : this.turn++ % endpoints.length;
    const rotated = [...endpoints.slice(first), ...endpoints.slice(0, first)];
    if (direct === null) return rotated;
    return now < this.directAgainAt ? [...rotated, direct] : [direct, ...rotated];
  }
}
