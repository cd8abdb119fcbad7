import type { StackOptions } from "../../options.js";
import type { CongestionControl } from "./control.js";
import { Cubic } from "./cubic.js";
import { NewReno } from "./newreno.js";
import { Unlimited } from "./unlimited.js";

export type { CongestionControl } from "./control.js";
export { Cubic, NewReno, Unlimited };

/** @param congested whether the link is one where congestion happens */
export function createCongestionControl(
  congested: boolean,
  algorithm: StackOptions["congestion"],
): CongestionControl {
  if (!congested) return new Unlimited();
  return algorithm === "newreno" ? new NewReno() : new Cubic();
}
