/**
 * Where the agent is: its host name's addresses, one of them in use, and what can be found out when it does
 * not answer. WireGuard is silent to strangers, so a wrong key looks like an absent agent; this says as much
 * as the network tells.
 */
import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import type { Problem } from "../api/index.js";
import { Address, formatEndpoint, type Prefix } from "../base/index.js";
import { type HostPort, parseHostPort } from "../catalog/index.js";
import { routeTo } from "../linux/index.js";

const LOOKUP_TIMEOUT_MS = 5_000;
const PROBE_MS = 300;

export type Resolve = (host: string) => Promise<string[]>;

export class AgentEndpoint {
  /** As the credential has it. */
  readonly text: string;
  #host: HostPort;
  #ours: readonly Prefix[];
  #resolve: Resolve;
  #current: Address | null = null;

  /**
   * @param text `HOST:PORT`, checked before
   * @param ours virtual addresses: a consumed service may bear the agent's host name in our own hosts section
   */
  constructor(text: string, ours: readonly Prefix[], resolve: Resolve = systemResolve) {
    const host = parseHostPort(text);
    if (host === null) throw new RangeError(`not HOST:PORT: ${text}`);
    this.text = text;
    this.#host = host;
    this.#ours = ours;
    this.#resolve = resolve;
  }

  /** The address in use, as `ADDRESS:PORT`; null before the first success. */
  get current(): string | null {
    return this.#current && formatEndpoint({ address: this.#current, port: this.#host.port });
  }

  /** Resolves anew and takes the address after the current one, or the first. Returns whether it changed. */
  async advance(): Promise<boolean> {
    const addresses = await this.#addresses();
    if (addresses.length === 0) return false;
    const before = this.#current;
    const at = before === null ? -1 : addresses.findIndex(address => address.equals(before));
    this.#current = addresses[(at + 1) % addresses.length] as Address;
    return before === null || !before.equals(this.#current);
  }

  /** The kernel's way to it now, for comparison; null when there is none. */
  route(): string | null {
    if (this.#current === null) return null;
    const decision = routeTo(this.#current);
    if (decision === "unreachable") return null;
    return `${decision.oif} ${decision.gateway ?? ""} ${decision.source ?? ""}`;
  }

  async #addresses(): Promise<Address[]> {
    const literal = Address.parse(this.#host.host);
    const texts =
      literal === null ? await this.#resolve(this.#host.host).catch(() => []) : [literal.toString()];
    return texts
      .map(text => Address.parse(text))
      .filter(address => address !== null)
      .filter(address => !this.#ours.some(prefix => prefix.contains(address)));
  }

  /**
   * Why nobody answers.
   * @param lastHandshakeAt ms since the epoch of the last success in any run, 0 for never
   */
  async diagnose(lastHandshakeAt: number, now: number): Promise<Problem> {
    const { text } = this;
    if (this.#current === null) {
      return {
        code: "AGENT_NAME_UNRESOLVED",
        message: `cannot resolve the agent's host name ${this.#host.host}`,
        hint: "Check the network connection and the name server.",
      };
    }
    const behindMs = lastHandshakeAt - now;
    if (behindMs > 0) {
      return {
        code: "CLOCK_BEHIND",
        message: `no answer at ${text}; this machine's clock is ${Math.ceil(behindMs / 1000)} s behind the last connection`,
        hint: "Set the clock: an agent refuses handshakes that are older than the last one.",
      };
    }
    const failure = await probe(this.#current, this.#host.port);
    if (failure === "ECONNREFUSED") {
      return {
        code: "AGENT_REFUSED",
        message: `nothing listens at ${text} (UDP)`,
        hint: "Check that the agent runs, and that the port in the credential is still its own.",
      };
    }
    if (failure !== null) {
      return {
        code: "AGENT_UNREACHABLE",
        message: `cannot send to ${text}: ${failure}`,
        hint: "Check the network connection and the routes.",
      };
    }
    return {
      code: "AGENT_SILENT",
      message: `no answer at ${text}`,
      hint:
        lastHandshakeAt === 0
          ? "Check that UDP to there is not blocked, that the agent runs, and that the credential is its own."
          : "It has answered before: check that UDP is not blocked, that the agent runs, and that this device was not revoked.",
    };
  }
}

/** Sends a byte that WireGuard ignores; returns the error that comes back (ICMP included), or null. */
function probe(address: Address, port: number): Promise<string | null> {
  return new Promise(resolve => {
    const socket = createSocket(address.family === 4 ? "udp4" : "udp6");
    const done = (code: string | null): void => {
      clearTimeout(timer);
      socket.close();
      resolve(code);
    };
    const timer = setTimeout(() => done(null), PROBE_MS);
    socket.once("error", (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
    socket.once("connect", () => {
      socket.send(Uint8Array.of(0), error => {
        if (error !== null) socket.emit("error", error);
      });
    });
    socket.connect(port, address.toString());
  });
}

async function systemResolve(host: string): Promise<string[]> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("time-out")), LOOKUP_TIMEOUT_MS);
  });
  try {
    const found = await Promise.race([lookup(host, { all: true, verbatim: true }), timeout]);
    return found.map(({ address }) => address);
  } finally {
    clearTimeout(timer);
  }
}
