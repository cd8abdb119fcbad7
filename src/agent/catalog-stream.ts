/**
 * One device's catalog stream. At most one batch is under way: while the device has not read it, changes are
 * not queued but skipped, and what it missed is computed when it has caught up. So a device costs the same
 * memory however slowly it reads, and one that does not read at all is cut off.
 */
import type { ServerResponse } from "node:http";
import { type CatalogView, encodeEvent } from "./catalog-view.js";

export interface StreamTimes {
  /** A ping after this much silence. */
  pingMs: number;
  /** A device that has read nothing of a batch for so long is gone. */
  stallMs: number;
}

const PING = encodeEvent({ type: "ping" });
const DRAINING = encodeEvent({ type: "draining" });
const REVOKED = encodeEvent({ type: "revoked" });

export class CatalogStream {
  readonly #response: ServerResponse;
  readonly #currentView: () => CatalogView | null;
  readonly #ping: NodeJS.Timeout;
  readonly #stallMs: number;
  #stall: NodeJS.Timeout | undefined;
  #sent: CatalogView | null = null;
  #blocked = false;

  /** @param currentView the device's view now; null when it has none any more */
  constructor(response: ServerResponse, currentView: () => CatalogView | null, times: StreamTimes) {
    this.#response = response;
    this.#currentView = currentView;
    this.#stallMs = times.stallMs;
    this.#ping = setInterval(() => this.#write(PING), times.pingMs);
    response.on("drain", () => this.#drained());
    response.on("close", () => this.#ended());
    response.writeHead(200, {
      "content-type": "application/x-ndjson",
      "cache-control": "no-store",
      connection: "close",
    });
    this.sync();
  }

  /** Sends what the device does not have yet. */
  sync(): void {
    if (this.#blocked) return;
    const view = this.#currentView();
    if (view === null) return;
    const lines = this.#sent === null ? view.snapshot() : this.#sent.deltaTo(view);
    this.#sent = view;
    this.#write(lines);
  }

  /** The agent is about to stop. */
  drain(): void {
    this.#write(DRAINING);
  }

  /** The device is none any more: says so, and ends. */
  revoke(): void {
    // Said once, however often the agent looks before the socket has closed.
    if (!this.#response.writableEnded) this.#response.end(REVOKED);
  }

  #write(lines: Buffer): void {
    if (this.#blocked || lines.length === 0 || this.#response.writableEnded) return;
    this.#ping.refresh();
    if (this.#response.write(lines)) return;
    this.#blocked = true;
    this.#stall = setTimeout(() => this.#response.destroy(), this.#stallMs);
  }

  #drained(): void {
    clearTimeout(this.#stall);
    this.#blocked = false;
    this.sync();
  }

  #ended(): void {
    clearTimeout(this.#stall);
    clearInterval(this.#ping);
  }
}
