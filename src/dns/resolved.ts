/**
 * Our link at systemd-resolved: it asks our responder for the cluster's zone and the reverse zones of our
 * ranges, and for nothing else. Kept so while we run, by the bus:
 *
 * ```
 *   no bus ──10 s──► no bus          resolved appears, or restarts (NameOwnerChanged) ─► register
 *   the bus is gone ─► connect anew  an answer is an error (the link is not known yet) ─► once more, later
 * ```
 *
 * Nothing else of the machine's resolver changes, and nothing is written to a file. Resolved forgets a link
 * that vanishes, so not even a daemon that is killed leaves anything behind.
 *
 * Refuses a resolved of another network namespace (a container that shares the host's bus): link numbers there
 * mean other links.
 */
import { readlinkSync } from "node:fs";
import type { Address, Logger } from "../base/index.js";
import { BUS, DbusConnection, DbusError, type DbusMethod, SYSTEM_BUS } from "./dbus.js";
import type { DbusMessage, DbusValue } from "./dbus-message.js";

const RESOLVED: DbusMethod = {
  destination: "org.freedesktop.resolve1",
  path: "/org/freedesktop/resolve1",
  interface: "org.freedesktop.resolve1.Manager",
};
const OWNER_RULE = `type='signal',sender='${BUS.destination}',interface='${BUS.interface}',member='NameOwnerChanged',arg0='${RESOLVED.destination}'`;
const UNKNOWN_METHOD = "org.freedesktop.DBus.Error.UnknownMethod";

/** A machine without a bus may get one: somebody installs it, or we started first. */
const BUS_RETRY_MS = 10_000;
/** Resolved hears of a new link a moment after we made it. */
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 10_000;
/** How long `withdraw` waits: with the link everything goes anyway. */
const WITHDRAW_MS = 1_000;
const [AF_INET, AF_INET6] = [2, 10];

export interface LinkNames {
  servers: readonly Address[];
  /** Without a dot at the end. */
  domains: readonly string[];
}

export interface ResolvedOptions {
  /** Our device's number (ifindex). */
  link: number;
  log: Logger;
  /** For tests. */
  busPath?: string;
  busRetryMs?: number;
  isOurNetwork?: (pid: number) => boolean;
}

export interface ResolvedStatus {
  /** "absent": none runs here. */
  state: "absent" | "pending" | "registered" | "refused";
  /** Why it is refused. */
  problem: string | null;
}

export class ResolvedLink {
  #options: ResolvedOptions;
  #names: LinkNames | null = null;
  #status: ResolvedStatus = { state: "absent", problem: null };
  #bus: DbusConnection | null = null;
  #present = false;
  #registering = false;
  /** Something has changed while we registered. */
  #again = false;
  #retryMs = RETRY_MIN_MS;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: ResolvedOptions) {
    this.#options = options;
    void this.#connect();
  }

  get status(): ResolvedStatus {
    return this.#status;
  }

  /** What is asked of us from now on. */
  set(names: LinkNames): void {
    const same = JSON.stringify(names) === JSON.stringify(this.#names);
    this.#names = names;
    if (!same) void this.#register();
  }

  /** Somebody may have told resolved otherwise: some network managers do so whenever the network changes. */
  renew(): void {
    void this.#register();
  }

  /** Resolved has our link as it found it. Never rejects, and takes a second at most. */
  async withdraw(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    const bus = this.#bus;
    if (bus === null) return;
    if (this.#present) {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>(resolve => {
        timer = setTimeout(resolve, WITHDRAW_MS);
      });
      const reverted = bus.call(RESOLVED, "RevertLink", "i", [this.#options.link]).then(
        () => {},
        () => {},
      );
      await Promise.race([reverted, late]);
      clearTimeout(timer);
    }
    bus.close();
  }

  async #connect(): Promise<void> {
    try {
      const bus = await DbusConnection.open(this.#options.busPath ?? SYSTEM_BUS, {
        onSignal: message => this.#onSignal(message),
        onClose: () => this.#onBusGone(),
      });
      if (this.#closed) return bus.close();
      this.#bus = bus;
      await bus.call(BUS, "AddMatch", "s", [OWNER_RULE]);
      const [present] = await bus.call(BUS, "NameHasOwner", "s", [RESOLVED.destination]);
      this.#onOwner(present === true);
    } catch {
      if (this.#bus !== null) this.#bus.close();
      else this.#connectLater();
    }
  }

  #onBusGone(): void {
    this.#bus = null;
    this.#onOwner(false);
    this.#connectLater();
  }

  #connectLater(): void {
    this.#later(this.#options.busRetryMs ?? BUS_RETRY_MS, () => this.#connect());
  }

  #onSignal({ member, body }: DbusMessage): void {
    if (member === "NameOwnerChanged" && body[0] === RESOLVED.destination) this.#onOwner(body[2] !== "");
  }

  #onOwner(present: boolean): void {
    this.#present = present;
    this.#retryMs = RETRY_MIN_MS;
    this.#setState(present ? "pending" : "absent");
    void this.#register();
  }

  async #register(): Promise<void> {
    const bus = this.#bus;
    if (bus === null || !this.#present || this.#names === null || this.#closed) return;
    this.#again = this.#registering;
    if (this.#registering) return;
    this.#registering = true;
    try {
      await this.#tell(bus, this.#names);
      this.#retryMs = RETRY_MIN_MS;
      if (this.#present) this.#setState("registered");
    } catch (error) {
      // When it has gone while we told it, it is the bus that says when it is back.
      if (this.#present) {
        this.#setState("refused", (error as Error).message);
        this.#later(this.#retryMs, () => this.#register());
        this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);
      }
    } finally {
      this.#registering = false;
    }
    if (this.#again) await this.#register();
  }

  /** The servers come last: at no moment is our link one that is asked for everything. */
  async #tell(bus: DbusConnection, { servers, domains }: LinkNames): Promise<void> {
    const { link, isOurNetwork = inOurNetwork } = this.#options;
    const [pid] = await bus.call(BUS, "GetConnectionUnixProcessID", "s", [RESOLVED.destination]);
    if (!isOurNetwork(pid as number)) throw new Error("systemd-resolved serves another network namespace");
    const set = async (member: string, signature: string, value: DbusValue): Promise<void> => {
      // Nothing behind what `withdraw` says.
      if (!this.#closed) await bus.call(RESOLVED, member, `i${signature}`, [link, value]);
    };
    await optional(set("SetLinkDefaultRoute", "b", false));
    await set(
      "SetLinkDomains",
      "a(sb)",
      domains.map(domain => [domain, true]),
    );
    // The way to our responder is inside this machine; its answers are not signed.
    await optional(set("SetLinkDNSSEC", "s", "no"));
    await optional(set("SetLinkDNSOverTLS", "s", "no"));
    await optional(set("SetLinkLLMNR", "s", "no"));
    await optional(set("SetLinkMulticastDNS", "s", "no"));
    await set(
      "SetLinkDNS",
      "a(iay)",
      servers.map(server => {
        const bytes = new Uint8Array(server.family === 4 ? 4 : 16);
        server.write(bytes, 0);
        return [server.family === 4 ? AF_INET : AF_INET6, [...bytes]];
      }),
    );
  }

  #setState(state: ResolvedStatus["state"], problem: string | null = null): void {
    if (state === this.#status.state && problem === this.#status.problem) return;
    this.#status = { state, problem };
    this.#options.log.info("systemd-resolved", { state, ...(problem === null ? {} : { problem }) });
  }

  #later(delayMs: number, action: () => Promise<void>): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void action(), delayMs);
  }
}

/** What an old resolved does not know yet, it does not do either. */
async function optional(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof DbusError) || error.name !== UNKNOWN_METHOD) throw error;
  }
}

function inOurNetwork(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`) === readlinkSync("/proc/self/ns/net");
  } catch {
    return false;
  }
}
