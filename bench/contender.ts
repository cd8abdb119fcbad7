/** What a competitor is to the benchmarks: started once in a network of its own, measured in turn with the others. */
import type { Sandbox } from "../test/lab/sandbox.js";
import type { Topology } from "../test/lab/topology.js";

export interface Contender {
  /** As in the results. */
  readonly name: string;
  /** Programs and devices without which it is skipped. */
  readonly needs: readonly string[];
  start(sandbox: Sandbox, topology: Topology): Promise<Running>;
}

export interface Running {
  /** The service's address as programs on the laptop dial it. */
  readonly target: string;
  /** Its processes, both ends: whose processor time is its price. */
  pids(): Promise<number[]>;
}

/** The one service of every contender's cluster, and its ports: iperf3's, and those of other scenarios. */
export const SERVICE_ADDRESS = "10.96.0.35";
export const SERVICE_PORT = 5201;
/** A thread per connection, one server for each who measures with it; one thread for thousands. */
export const ECHO_PORT = 5210;
export const CONNECTS_PORT = 5211;
export const MANY_PORT = 5212;
/** An echo's beside iperf3's. */
export const LOADED_ECHO_PORT = 5213;
export const LOAD_PORT = 5202;
export const HTTP_PORT = 5280;
export const SERVICE_PORTS: readonly number[] = [
  SERVICE_PORT,
  ECHO_PORT,
  CONNECTS_PORT,
  MANY_PORT,
  LOADED_ECHO_PORT,
  LOAD_PORT,
  HTTP_PORT,
];
