/** What a scenario is: an exchange, what it must show on our stack, and why Linux may show something else. */
import type { Peer } from "./peer.js";

export interface Scenario {
  name: string;
  /** The clause that decides what is expected. */
  rfc: string;
  v6?: boolean;
  /** After the others, because it would be felt by them. */
  alone?: boolean;
  /** What was seen, in `tell`'s words. Throws when something that it builds on does not happen. */
  run(peer: Peer): Promise<string>;
  /** Of our stack. */
  expected: string;
  /** When Linux shows something else: what, and the reason. */
  linux?: { shows: string; why: string };
}
