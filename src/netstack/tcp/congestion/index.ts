import type { StackOptions } from "../../options.js";
import { Bbr } from "./bbr.js";
import type { CongestionControl } from "./control.js";
import { Cubic } from "./cubic.js";
import { NewReno } from "./newreno.js";
import { Unlimited } from "./unlimited.js";

export { type CongestionControl, isSoonRelearnt } from "./control.js";
export { Bbr, Cubic, NewReno, Unlimited };

/** @param congested whether the link is one where congestion happens */
export function createCongestionControl(
  congested: boolean,
  algorithm: StackOptions["congestion"],
): CongestionControl {
  if (!congested) return new Unlimited();
  switch (algorithm) {
    case "bbr":
      return new Bbr();
    case "newreno":
      return new NewReno();
    case "cubic":
      return new Cubic();
  }
}
