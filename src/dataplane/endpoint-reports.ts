/**
 * Tells the control process where peers are heard from. Every authenticated packet may move a peer, so a hostile
 * one could change its address with each: changes are told once a second, the last one of each peer.
 */
import { formatEndpoint, type Milliseconds, NEVER, readEndpoint, toBase64 } from "../base/index.js";
import type { Peer } from "../wireguard/index.js";
import type { Context } from "./context.js";
import type { Machine } from "./loop.js";

const PAUSE_MS = 1_000;

export class EndpointReports implements Machine {
  private readonly context: Context;
  private readonly moved = new Set<Peer>();
  private reportAt: Milliseconds = NEVER;
  private reportedAt: Milliseconds = Number.NEGATIVE_INFINITY;

  constructor(context: Context) {
    this.context = context;
  }

  changed(peer: Peer, now: Milliseconds): void {
    this.moved.add(peer);
    if (this.reportAt === NEVER) this.reportAt = Math.max(now, this.reportedAt + PAUSE_MS);
  }

  forget(peer: Peer): void {
    this.moved.delete(peer);
  }

  poll(now: Milliseconds): void {
    if (this.reportAt > now) return;
    for (const peer of this.moved) {
      const endpoint = formatEndpoint(readEndpoint(peer.endpoint, 0));
      this.context.tell({ type: "endpoint", publicKey: toBase64(peer.publicKey), endpoint });
    }
    this.moved.clear();
    this.reportAt = NEVER;
    this.reportedAt = now;
  }

  pollAt(): Milliseconds {
    return this.reportAt;
  }
}
