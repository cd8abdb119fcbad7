/** The laptop's stack alone against others of its kind: TUN → stack → a kernel socket, one flow by iperf3. */
import { STACKS } from "../contenders/stacks.js";
import type { Scenario } from "../scenario.js";
import { bulk } from "./bulk.js";

export const stack: Scenario = {
  ...bulk,
  name: "stack-alone",
  rounds: ["1-up", "1-down"],
  maxRunsOf: { tun2socks: 3, slirp4netns: 3, pasta: 3 },
  contenders: STACKS,
};
