/**
 * What the data plane reports, as log lines. It parses hostile bytes, so names come from our own table and
 * the number of lines is limited; a device that hammers at a closed door fills no disk.
 */
import type { FromDataplane } from "../api/index.js";
import { LineLimiter, type Logger } from "../base/index.js";
import type { PeerRecord } from "./state.js";

type Message<T extends FromDataplane["type"]> = Extract<FromDataplane, { type: T }>;

const LINES_PER_SECOND = 10;
const BURST_LINES = 50;
/** WireGuard renews keys every two minutes; a handshake after more than this is a device that comes back. */
const AWAY_MS = 180_000;

export class AgentEvents {
  readonly #log: Logger;
  readonly #deviceOf: (publicKey: string) => PeerRecord | undefined;
  readonly #lastHandshakeAt = new Map<string, number>();
  readonly #limiter = new LineLimiter(LINES_PER_SECOND, BURST_LINES, performance.now());

  constructor(log: Logger, deviceOf: (publicKey: string) => PeerRecord | undefined) {
    this.#log = log;
    this.#deviceOf = deviceOf;
  }

  handle(message: FromDataplane): void {
    switch (message.type) {
      case "handshake":
        this.#handshake(message.publicKey, message.at);
        break;
      case "denied":
        this.#denied(message);
        break;
      case "log":
        this.#limited(() => this.#log[message.level](message.message, message.fields));
        break;
    }
  }

  forget(publicKey: string): void {
    this.#lastHandshakeAt.delete(publicKey);
  }

  /** Who (as the policy knows them) and what; `service` only when the policy could have granted it. */
  #denied({ peer = "", name, protocol, destination, omitted }: Message<"denied">): void {
    const device = this.#deviceOf(peer);
    const groups = device?.groups?.join(",");
    const who = { device: device?.name ?? peer, user: device?.user, groups };
    const what = { service: name, protocol, destination, ...(omitted === 0 ? {} : { omitted }) };
    this.#limited(() => this.#log.warn("denied", { ...who, ...what }));
  }

  #handshake(publicKey: string, at: number): void {
    const device = this.#deviceOf(publicKey)?.name;
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
