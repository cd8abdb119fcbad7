/** What a scenario is: prepares every contender's cluster once, then takes one sample at a time. */
import type { Topology } from "../test/lab/topology.js";
import type { Contender, Running } from "./contender.js";
import type { Usage } from "./cpu.js";

/** One measured figure: `variant` and `unit` are its name in the results. */
export interface Figure {
  variant: string;
  unit: string;
  value: number;
  /** Of all of the contender's processes, per 10⁹ bytes carried. */
  cpuSecondsPerGB?: number;
  /** The same by process, in the order of `Running.pids`: per 10⁹ bytes. */
  ends?: Usage[];
  /** What programs outside of the benchmark had of the machine meanwhile, 0 to 1. */
  others?: number;
}

export interface Scenario {
  readonly name: string;
  /** What is run in turn, every contender each; a round may give several figures. */
  readonly rounds: readonly string[];
  readonly needs: readonly string[];
  /** At most so many runs of a round, however many are asked for: of one that takes long. */
  readonly maxRuns?: number;
  /** The same by contender: of one that takes its time where nothing is aimed at. 0: it cannot do that at all. */
  readonly maxRunsOf?: Readonly<Record<string, number>>;
  /** Who takes part, when it is not the tunnels. */
  readonly contenders?: readonly Contender[];
  prepare(topology: Topology, running: Running): Promise<void>;
  measure(round: string, topology: Topology, running: Running, seconds: number): Promise<Figure[]>;
}
