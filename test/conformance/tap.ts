/**
 * Hands each packet that leaves the target to the raw peer whose address it carries: every scenario has an
 * address of its own, so that all of them run at once and none sees another's packets.
 */
import type { Poller } from "../../src/linux/index.js";
import { parse, type Received } from "./packet.js";
import type { Wire } from "./wire.js";

/** Longest time for which Node's own timers wait. */
const STEP_MS = 5;

export class Tap {
  readonly wire: Wire;
  private readonly peers: Map<string, (packet: Received) => void> = new Map();

  constructor(wire: Wire) {
    this.wire = wire;
  }

  listen(address: Buffer, take: (packet: Received) => void): void {
    this.peers.set(address.toString("hex"), take);
  }

  drain(): void {
    for (let next = this.wire.receive(); next !== null; next = this.wire.receive()) {
      const packet = parse(next.packet, next.checksumTrusted);
      if (packet !== null) this.peers.get(packet.destination.toString("hex"))?.(packet);
    }
  }
}

/** Pumps every tap until `done` settles. */
export async function pump<T>(poller: Poller, taps: readonly Tap[], done: Promise<T>): Promise<T> {
  let running = true;
  void done.finally(() => {
    running = false;
  });
  while (running) {
    poller.wait(STEP_MS);
    for (const tap of taps) tap.drain();
    await new Promise(resolve => setImmediate(resolve));
  }
  return done;
}
