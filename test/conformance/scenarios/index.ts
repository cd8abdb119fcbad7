import type { Scenario } from "../scenario.js";
import { CLOSE_SCENARIOS } from "./close.js";
import { DATA } from "./data.js";
import { ECN, FLOODED } from "./ecn.js";
import { HANDSHAKE } from "./handshake.js";
import { ICMP_UDP } from "./icmp-udp.js";
import { IP } from "./ip.js";
import { IPV6 } from "./ipv6.js";
import { OPTIONS } from "./options.js";
import { SEQUENCE } from "./sequence.js";
import { WINDOWS } from "./windows.js";

export const SCENARIOS: readonly Scenario[] = [
  ...HANDSHAKE,
  ...SEQUENCE,
  ...DATA,
  ...WINDOWS,
  ...CLOSE_SCENARIOS,
  ...OPTIONS,
  ...IP,
  ...ICMP_UDP,
  ...IPV6,
  ...ECN,
  ...FLOODED,
];
