/** What the parts of one stack share. */
import type { Arena, BlockPool, Random } from "../base/index.js";
import type { Counters } from "./counters.js";
import type { IcmpOutput } from "./icmp-output.js";
import type { IpOutput } from "./ip-output.js";
import type { StackHandler } from "./link.js";
import type { StackOptions } from "./options.js";
import type { TimerHeap } from "./timer-heap.js";

export interface StackContext {
  readonly arena: Arena;
  readonly pool: BlockPool;
  readonly random: Random;
  readonly handler: StackHandler;
  readonly options: Readonly<StackOptions>;
  readonly counters: Counters;
  readonly timers: TimerHeap;
  readonly output: IpOutput;
  readonly icmp: IcmpOutput;
}
