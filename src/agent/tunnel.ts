/** The inner network: the agent has the first address of each prefix, devices have the ones after it. */
import { type Address, CzctlError, Prefix } from "../base/index.js";
import type { PeerRecord } from "./state.js";

/** Fits a 1500-byte outer packet over IPv6, as WireGuard does everywhere. */
export const INNER_MTU = 1420;
export const DEFAULT_TUNNEL4 = "100.126.0.0/16";

export interface TunnelPrefixes {
  v4: Prefix;
  v6: Prefix;
}

export function tunnelPrefixes(config: { tunnel4: string; tunnel6: string }): TunnelPrefixes {
  return { v4: Prefix.from(config.tunnel4), v6: Prefix.from(config.tunnel6) };
}

export function agentAddresses(tunnel: TunnelPrefixes): [Address, Address] {
  return innerAddresses(tunnel, 1);
}

/** `tunnelRange` as given by the user. */
export function parseTunnel4(text: string): Prefix {
  const prefix = Prefix.parse(text);
  if (prefix !== null && prefix.address.family === 4 && prefix.bits >= 8 && prefix.bits <= 30) return prefix;
  throw new CzctlError(`"${text}" is not an IPv4 range of /8 to /30`, {
    code: "TUNNEL_RANGE_INVALID",
    category: "user",
    hint: `Write it as ${DEFAULT_TUNNEL4}, or leave it out.`,
  });
}

/** The lowest pair that no device has; the same number in both families. */
export function nextAddresses(tunnel: TunnelPrefixes, peers: readonly PeerRecord[]): [Address, Address] {
  const taken = new Set(peers.map(peer => peer.addresses[0]));
  // The last address of the prefix is its broadcast address.
  const end = 2 ** (32 - tunnel.v4.bits) - 1;
  for (let number = 2; number < end; number++) {
    const addresses = innerAddresses(tunnel, number);
    if (!taken.has(addresses[0].toString())) return addresses;
  }
  throw new CzctlError(`all ${end - 2} device addresses of ${tunnel.v4} are taken`, {
    code: "TUNNEL_RANGE_FULL",
    category: "user",
    hint: "Revoke devices that are gone (czctl agent peers).",
  });
}

function innerAddresses(tunnel: TunnelPrefixes, number: number): [Address, Address] {
  return [tunnel.v4.address.plus(number), tunnel.v6.address.plus(number)];
}
