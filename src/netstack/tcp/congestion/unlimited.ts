/** For links that lose nothing and queue nowhere (the TUN device): the peer's window is the only limit. */
import { type CongestionControl, UNLIMITED } from "./control.js";

export class Unlimited implements CongestionControl {
  readonly name = "none";
  readonly modelBased = false;
  readonly pathRtt: number = Number.POSITIVE_INFINITY;
  readonly pacingRate: number = Number.POSITIVE_INFINITY;
  cwnd: number = UNLIMITED;
  readonly ssthresh: number = UNLIMITED;

  setMss(): void {}
  onAck(): void {}
  onSample(): void {}
  onLoss(): void {}
  onTimeout(): void {}
  onEcnEcho(): void {}
  onIdle(): void {}
  onPathChanged(): void {}

  onRecovered(): void {
    this.cwnd = UNLIMITED;
  }

  onSpurious(): void {
    this.cwnd = UNLIMITED;
  }
}
