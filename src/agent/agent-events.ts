/**
 * What the data plane reports, as log lines. It parses hostile bytes, so names come from our own table and
 * the number of lines is limited; a device that hammers at a closed door fills no disk.
 */
import type { FromDataplane } from "../api/index.js";
import { LineLimiter, type Logger } from "../base/index.js";

const LINES_PER_SECOND = 10;
const BURST_LINES = 50;
/** WireGuard renews keys every two minutes; a handshake after more than this is a device that comes back. */
const AWAY_MS = 180_000;

export class AgentEvents {
  readonly #log: Logger;
  readonly #nameOf: (publicKey: string) => string | undefined;
  readonly #lastHandshakeAt = new Map<string, number>();
  readonly #limiter = new LineLimiter(LINES_PER_SECOND, BURST_LINES, performance.now());

  constructor(log: Logger, nameOf: (publicKey: string) => string | undefined) {
    this.#log = log;
    this.#nameOf = nameOf;
  }

  handle(message: FromDataplane): void {
    switch (message.type) {
      case "handshake":
        this.#handshake(message.publicKey, message.at);
        break;
      case "denied": {
        const { protocol, destination } = message;
        const device = this.#nameOf(message.peer) ?? message.peer;
        this.#limited(() => this.#log.warn("denied", { device, protocol, destination }));
        break;
      }
      case "log":
        this.#limited(() => this.#log[message.level](message.message, message.fields));
        break;
    }
  }

  forget(publicKey: string): void {
    this.#lastHandshakeAt.delete(publicKey);
  }

  #handshake(publicKey: string, at: number): void {
    const device = this.#nameOf(publicKey);
    // Revoked while the report was under way.
    if (device === undefined) return;
    const last = this.#lastHandshakeAt.get(publicKey) ?? Number.NEGATIVE_INFINITY;
    this.#lastHandshakeAt.set(publicKey, at);
    const level = at - last > AWAY_MS ? "info" : "debug";
    this.#limited(() => this.#log[level]("handshake", { device }));
  }

  #limited(write: () => void): void {
    if (!this.#limiter.allow(performance.now())) return;
    const count = this.#limiter.takeRefused();
    if (count > 0) this.#log.warn("log lines left out", { count });
    write();
  }
}
