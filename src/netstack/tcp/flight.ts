/**
 * What sending takes: the scoreboard, loss recovery, the pacer, delivery rates, and congestion control. It is more than
 * half of a connection's memory, and one that says nothing has no use for it: a `Sender` makes it for the first byte
 * that it sends, and lets go of it when it rests (`docs/decisions/0016-connections-at-rest.md`).
 */
import type { CongestionControl } from "./congestion/index.js";
import { DeliveryRate } from "./delivery-rate.js";
import { Pacer } from "./pacer.js";
import { LossRecovery } from "./recovery.js";
import type { Sender } from "./sender.js";
import { SentQueue } from "./sent-queue.js";
import type { TcpLayer } from "./tcp-layer.js";

export class Flight {
  readonly queue: SentQueue;
  readonly congestion: CongestionControl;
  readonly recovery: LossRecovery;
  readonly pacer: Pacer;
  readonly rate: DeliveryRate = new DeliveryRate();

  constructor(sender: Sender, congestion: CongestionControl, layer: TcpLayer) {
    this.queue = new SentQueue(layer.sentEntries);
    this.congestion = congestion;
    this.recovery = new LossRecovery(sender, layer.context.counters);
    this.pacer = new Pacer(congestion);
  }
}
