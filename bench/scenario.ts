/** What a scenario is: prepares every contender's cluster once, then takes one sample at a time. */
import type { Topology } from "../test/lab/topology.js";
import type { Running } from "./contender.js";

export interface Sample {
  value: number;
  /** Of all of the contender's processes, per 10⁹ bytes carried. */
  cpuSecondsPerGB?: number;
}

export interface Scenario {
  readonly name: string;
  readonly variants: readonly string[];
  readonly unit: string;
  readonly needs: readonly string[];
  prepare(topology: Topology): Promise<void>;
  measure(variant: string, topology: Topology, running: Running, seconds: number): Promise<Sample>;
}
