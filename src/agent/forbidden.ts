/**
 * Addresses that no catalog can open, whoever wrote it: the agent must not become a way into its own host,
 * its link, the cloud's metadata service, or around its own checks by another spelling of an address.
 */
import { type Address, Prefix } from "../base/index.js";

/** Prefix and what it is, as the refusal says it. */
const ALWAYS: readonly (readonly [string, string])[] = [
  ["0.0.0.0/8", "unspecified"],
  ["127.0.0.0/8", "loopback"],
  ["169.254.0.0/16", "link-local (cloud metadata lives there)"],
  ["224.0.0.0/4", "multicast"],
  ["240.0.0.0/4", "reserved or broadcast"],
  // Metadata and host services of clouds that use ordinary-looking addresses.
  ["100.100.100.200/32", "cloud metadata"],
  ["168.63.129.16/32", "cloud metadata"],
  ["192.0.0.192/32", "cloud metadata"],
  ["fd00:ec2::/32", "cloud metadata"],
  ["fd20:ce::254/128", "cloud metadata"],
  ["::/128", "unspecified"],
  ["::1/128", "loopback"],
  ["fe80::/10", "link-local"],
  ["ff00::/8", "multicast"],
  // RFC 4291 §2.5.5 and RFC 6052 §2.1: each is an IPv4 address in disguise.
  ["::/96", "IPv4-compatible"],
  ["::ffff:0:0/96", "IPv4-mapped"],
  ["64:ff9b::/96", "IPv4-translated"],
];

export class ForbiddenAddresses {
  private readonly rules: readonly { prefix: Prefix; why: string }[];

  /** @param tunnel the agent's inner prefixes: itself and its devices */
  constructor(tunnel: readonly Prefix[]) {
    this.rules = [
      ...ALWAYS.map(([text, why]) => ({ prefix: Prefix.from(text), why })),
      ...tunnel.map(prefix => ({ prefix, why: "an inner address of this agent's tunnel" })),
    ];
  }

  /** Why `address` is refused, or null when a catalog may name it. */
  why(address: Address): string | null {
    return this.rules.find(rule => rule.prefix.contains(address))?.why ?? null;
  }
}
