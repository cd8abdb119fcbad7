/**
 * The text of WireGuard's cross-platform configuration protocol, which `wg` speaks: a `set=1` request is
 * read and applied, a `get=1` answer is written. The socket that carries them is not this room's.
 *
 * Follows www.wireguard.com/xplatform. Keys are lower-case hex; a request ends with an empty line; the answer
 * ends with `errno=N` and an empty line, which the socket's owner adds to errors with `errnoLine`.
 */
import {
  type Endpoint,
  formatEndpoint,
  fromHex,
  Prefix,
  parseEndpoint,
  readEndpoint,
  toHex,
} from "../base/index.js";
import { KEY_BYTES } from "./constants.js";
import type { Device, PeerChange } from "./device.js";
import type { Peer } from "./peer.js";

export const ERRNO_INVALID = -22;

/** One peer's part of a request; what is absent stays as it is. */
export interface UapiPeer {
  publicKey: Uint8Array;
  remove: boolean;
  updateOnly: boolean;
  replaceAllowedIps: boolean;
  /** `remove`: written with a minus sign. */
  allowedIps: { prefix: Prefix; remove: boolean }[];
  presharedKey?: Uint8Array;
  endpoint?: Endpoint;
  persistentKeepaliveSeconds?: number;
}

export interface UapiSet {
  privateKey?: Uint8Array;
  listenPort?: number;
  fwmark?: number;
  replacePeers: boolean;
  peers: UapiPeer[];
}

/** What the owner of the socket knows and the device does not. */
export interface UapiPorts {
  listenPort: number;
  fwmark: number;
}

export function errnoLine(errno: number): string {
  return `errno=${errno}\n\n`;
}

/** Reads the lines after `set=1`; null when any is wrong, and then nothing is to be changed. */
export function parseSet(text: string): UapiSet | null {
  const request: UapiSet = { replacePeers: false, peers: [] };
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const equals = line.indexOf("=");
    if (equals === -1) return null;
    const key = line.slice(0, equals);
    const value = line.slice(equals + 1);
    const peer = request.peers.at(-1);
    const taken =
      key === "public_key"
        ? startPeer(request, value)
        : peer === undefined
          ? setInterface(request, key, value)
          : setPeer(peer, key, value);
    if (!taken) return null;
  }
  return request;
}

function startPeer(request: UapiSet, value: string): boolean {
  const publicKey = parseKey(value);
  if (publicKey === null) return false;
  request.peers.push({
    publicKey,
    remove: false,
    updateOnly: false,
    replaceAllowedIps: false,
    allowedIps: [],
  });
  return true;
}

function setInterface(request: UapiSet, key: string, value: string): boolean {
  switch (key) {
    case "private_key": {
      const privateKey = parseKey(value);
      if (privateKey === null) return false;
      request.privateKey = privateKey;
      return true;
    }
    case "listen_port": {
      const port = parseInteger(value, 0xffff);
      if (port === null) return false;
      request.listenPort = port;
      return true;
    }
    case "fwmark": {
      const mark = parseInteger(value, 0xffff_ffff);
      if (mark === null) return false;
      request.fwmark = mark;
      return true;
    }
    case "replace_peers":
      request.replacePeers = true;
      return value === "true";
    default:
      return false;
  }
}

function setPeer(peer: UapiPeer, key: string, value: string): boolean {
  switch (key) {
    case "remove":
      peer.remove = true;
      return value === "true";
    case "update_only":
      peer.updateOnly = true;
      return value === "true";
    case "replace_allowed_ips":
      peer.replaceAllowedIps = true;
      return value === "true";
    case "protocol_version":
      return value === "1";
    case "preshared_key": {
      const presharedKey = parseKey(value);
      if (presharedKey === null) return false;
      peer.presharedKey = presharedKey;
      return true;
    }
    case "endpoint": {
      const endpoint = parseEndpoint(value);
      if (endpoint === null) return false;
      peer.endpoint = endpoint;
      return true;
    }
    case "persistent_keepalive_interval": {
      const seconds = parseInteger(value, 0xffff);
      if (seconds === null) return false;
      peer.persistentKeepaliveSeconds = seconds;
      return true;
    }
    case "allowed_ip": {
      const remove = value.startsWith("-");
      const prefix = Prefix.parse(remove ? value.slice(1) : value);
      if (prefix === null) return false;
      peer.allowedIps.push({ prefix, remove });
      return true;
    }
    default:
      return false;
  }
}

/** Does what the request asks of the device; port and mark are the caller's to see to. */
export function applySet(device: Device, request: UapiSet, now: number): void {
  if (request.privateKey !== undefined) device.setPrivateKey(request.privateKey);
  for (const peer of removedBy(device, request)) device.removePeer(peer.publicKey);
  for (const asked of request.peers) {
    if (!asked.remove) applyPeer(device, asked, request.replacePeers, now);
  }
}

/**
 * The peers that the request takes away. `replace_peers` replaces what is configured: one that is named again
 * keeps its session, so that `wg setconf` with an unchanged file interrupts nobody.
 */
export function removedBy(device: Device, request: UapiSet): Peer[] {
  const kept = new Set<string>();
  const named = new Set<string>();
  for (const { publicKey, remove } of request.peers) (remove ? named : kept).add(toHex(publicKey));
  return [...device.peers()].filter(({ publicKey }) => {
    const key = toHex(publicKey);
    return named.has(key) || (request.replacePeers && !kept.has(key));
  });
}

/** @param anew what is not asked for goes back to none */
function applyPeer(device: Device, asked: UapiPeer, anew: boolean, now: number): void {
  const known = device.lookup(asked.publicKey);
  // A peer with our own key is passed over, as other implementations do.
  if (known === null && (asked.updateOnly || toHex(asked.publicKey) === toHex(device.publicKey))) return;
  const peer = known ?? device.addPeer({ publicKey: asked.publicKey }, now);
  const before = anew ? [] : peer.allowedIps;
  const change: PeerChange = { allowedIps: allowedIpsAfter(before, asked) };
  if (anew) {
    change.presharedKey = new Uint8Array(KEY_BYTES);
    change.persistentKeepaliveSeconds = 0;
  }
  if (asked.presharedKey !== undefined) change.presharedKey = asked.presharedKey;
  if (asked.endpoint !== undefined) change.endpoint = asked.endpoint;
  if (asked.persistentKeepaliveSeconds !== undefined) {
    change.persistentKeepaliveSeconds = asked.persistentKeepaliveSeconds;
  }
  device.updatePeer(asked.publicKey, change, now);
}

function allowedIpsAfter(before: readonly Prefix[], asked: UapiPeer): Prefix[] {
  let prefixes = asked.replaceAllowedIps ? [] : [...before];
  for (const { prefix, remove } of asked.allowedIps) {
    prefixes = prefixes.filter(other => !other.equals(prefix));
    if (!remove) prefixes.push(prefix);
  }
  return prefixes;
}

/** The whole answer to `get=1`. It holds the private key: for root's eyes. */
export function renderGet(device: Device, ports: UapiPorts): string {
  const lines = [`private_key=${toHex(device.privateKey)}`, `listen_port=${ports.listenPort}`];
  if (ports.fwmark !== 0) lines.push(`fwmark=${ports.fwmark}`);
  for (const peer of device.peers()) lines.push(...renderPeer(peer));
  return `${lines.join("\n")}\n${errnoLine(0)}`;
}

function renderPeer(peer: Peer): string[] {
  const seconds = Math.floor(peer.lastHandshakeAt / 1000);
  const nanoseconds = Math.floor((peer.lastHandshakeAt - seconds * 1000) * 1e6);
  return [
    `public_key=${toHex(peer.publicKey)}`,
    `preshared_key=${toHex(peer.handshake.getPresharedKey())}`,
    "protocol_version=1",
    ...(peer.hasEndpoint ? [`endpoint=${formatEndpoint(readEndpoint(peer.endpoint, 0))}`] : []),
    `last_handshake_time_sec=${seconds}`,
    `last_handshake_time_nsec=${nanoseconds}`,
    `tx_bytes=${peer.txBytes}`,
    `rx_bytes=${peer.rxBytes}`,
    `persistent_keepalive_interval=${peer.persistentKeepaliveSeconds}`,
    ...peer.allowedIps.map(prefix => `allowed_ip=${prefix}`),
  ];
}

function parseKey(value: string): Uint8Array | null {
  const key = fromHex(value);
  return key !== null && key.length === KEY_BYTES ? key : null;
}

function parseInteger(value: string, max: number): number | null {
  if (!/^(0|[1-9]\d{0,9})$/.test(value)) return null;
  const number = Number(value);
  return number <= max ? number : null;
}
