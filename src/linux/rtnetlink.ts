/**
 * Links, addresses and routes of this network namespace by rtnetlink (RFC 3549 §3.1; rtnetlink(7)): what `ip`
 * would be called for, without calling it.
 *
 * Changes throw CzctlError with the kernel's reason; `errnoOf` gives its errno. What is gone already counts as
 * deleted.
 */
import { Address, type AddressFamily, Prefix } from "../base/index.js";
import { systemError } from "./errors.js";
import { EHOSTUNREACH, EINVAL, ENETUNREACH } from "./ffi.js";
import {
  type Answer,
  bytesOf,
  type Message,
  MessageWriter,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  parseAttributes,
  request,
  textOf,
} from "./netlink.js";
import { AF_INET, AF_INET6 } from "./sockaddr.js";

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;

const IFLA_ADDRESS_FAMILY_SPEC = 26;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_TXQLEN = 13;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const IN6_ADDR_GEN_MODE_NONE = 1;
const IFF_UP = 1;
const IFINFOMSG_BYTES = 16;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_F_NODAD = 2;
const IFADDRMSG_BYTES = 8;

const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_MULTIPATH = 9;
const RTA_TABLE = 15;
const RTMSG_BYTES = 12;
const RT_TABLE_MAIN = 254;
const RTPROT_STATIC = 4;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const RTN_UNICAST = 1;
const ROUTE_TYPES = [
  "unspecified",
  "unicast",
  "local",
  "broadcast",
  "anycast",
  "multicast",
  "blackhole",
  "unreachable",
  "prohibit",
  "throw",
] as const;

const ENOENT = 2;
const ESRCH = 3;
const EACCES = 13;
const ENODEV = 19;
const EOPNOTSUPP = 95;
const EAFNOSUPPORT = 97;
const EADDRNOTAVAIL = 99;

export interface LinkInfo {
  index: number;
  name: string;
  mtu: number;
  up: boolean;
  /** `tun`, `wireguard`, `veth`…; absent for hardware. */
  kind?: string;
}

export interface InterfaceAddress {
  /** Index of the link. */
  link: number;
  address: Address;
  /** Prefix length. */
  bits: number;
}

export type RouteType = (typeof ROUTE_TYPES)[number];

export interface RouteInfo {
  destination: Prefix;
  /** 254 is main, 255 local. */
  table: number;
  type: RouteType;
  /** Index of the link; absent for blackholes and the like. */
  oif?: number;
  gateway?: Address;
  metric: number;
}

/** How a packet to an address would leave. */
export interface RouteDecision {
  /** Index of the link. */
  oif: number;
  gateway?: Address;
  source?: Address;
}

// ---- links ----

export interface LinkChange {
  up?: boolean;
  mtu?: number;
  /** Packets that wait for a TUN device's reader before the kernel drops. */
  txQueuePackets?: number;
  /** False: the kernel gives the link no fe80:: address, so it sends no router solicitations into it either. */
  linkLocal?: boolean;
}

export function setLink(name: string, change: LinkChange): void {
  const doing = `configure the network device ${name}`;
  const index = linkIndex(name);
  if (change.linkLocal === false) {
    const answer = request(() =>
      linkMessage(RTM_NEWLINK, index, 0, 0).nested(IFLA_ADDRESS_FAMILY_SPEC, spec => {
        spec.nested(AF_INET6, inet6 => {
          inet6.attribute(IFLA_INET6_ADDR_GEN_MODE, Uint8Array.of(IN6_ADDR_GEN_MODE_NONE));
        });
      }),
    );
    // A kernel without IPv6 gives the link no such address anyhow.
    if (!answer.ok && answer.result !== -EAFNOSUPPORT && answer.result !== -EOPNOTSUPP) fail(doing, answer);
  }
  const flags = change.up === true ? IFF_UP : 0;
  const mask = change.up === undefined ? 0 : IFF_UP;
  check(
    doing,
    request(() => {
      const message = linkMessage(RTM_NEWLINK, index, flags, mask);
      if (change.mtu !== undefined) message.attributeU32(IFLA_MTU, change.mtu);
      if (change.txQueuePackets !== undefined) message.attributeU32(IFLA_TXQLEN, change.txQueuePackets);
      return message;
    }),
  );
}

/** Removes a device, and with it its addresses and routes. */
export function deleteLink(name: string): void {
  const link = listLinks().find(each => each.name === name);
  if (link === undefined) return;
  const answer = request(() => linkMessage(RTM_DELLINK, link.index, 0, 0));
  if (!answer.ok && answer.result !== -ENODEV) fail(`remove the network device ${name}`, answer);
}

export function listLinks(): LinkInfo[] {
  const answer = request(() =>
    new MessageWriter(RTM_GETLINK, NLM_F_DUMP).u8(0).u8(0).u16(0).u32(0).u32(0).u32(0),
  );
  return check("list network devices", answer).map(parseLink);
}

function parseLink(message: Message): LinkInfo {
  const { body } = message;
  const attributes = parseAttributes(body, IFINFOMSG_BYTES);
  const info = attributes.get(IFLA_LINKINFO);
  const kind = info === undefined ? undefined : parseAttributes(info, 0).get(IFLA_INFO_KIND);
  const name = attributes.get(IFLA_IFNAME);
  return {
    index: body.getInt32(4, true),
    name: name === undefined ? "" : textOf(name),
    mtu: attributes.get(IFLA_MTU)?.getUint32(0, true) ?? 0,
    up: (body.getUint32(8, true) & IFF_UP) !== 0,
    ...(kind === undefined ? {} : { kind: textOf(kind) }),
  };
}

/** `struct ifinfomsg`. */
function linkMessage(type: number, index: number, flags: number, mask: number): MessageWriter {
  return new MessageWriter(type, NLM_F_ACK).u8(0).u8(0).u16(0).u32(index).u32(flags).u32(mask);
}

/** Throws CzctlError when there is no such link. */
function linkIndex(name: string): number {
  const link = listLinks().find(each => each.name === name);
  if (link === undefined) throw systemError(`find the network device ${name}`, "RTM_GETLINK", -ENODEV);
  return link.index;
}

// ---- addresses ----

/** Gives the link an address; the kernel adds the route to the rest of its prefix. Again is no error. */
export function addAddress(link: string, address: Address, bits: number): void {
  const index = linkIndex(link);
  const answer = request(() =>
    addressMessage(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, index, address, bits),
  );
  check(`give ${link} the address ${address}/${bits}`, answer);
}

export function deleteAddress(link: string, address: Address, bits: number): void {
  const index = linkIndex(link);
  const answer = request(() => addressMessage(RTM_DELADDR, NLM_F_ACK, index, address, bits));
  if (!answer.ok && answer.result !== -EADDRNOTAVAIL)
    fail(`take the address ${address}/${bits} from ${link}`, answer);
}

export function listAddresses(): InterfaceAddress[] {
  const answer = request(() => new MessageWriter(RTM_GETADDR, NLM_F_DUMP).u8(0).u8(0).u8(0).u8(0).u32(0));
  const found: InterfaceAddress[] = [];
  for (const { body } of check("list addresses", answer)) {
    const family = familyOf(body.getUint8(0));
    const attributes = parseAttributes(body, IFADDRMSG_BYTES);
    // On point-to-point links IFA_ADDRESS is the other end.
    const value = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
    if (family === null || value === undefined) continue;
    found.push({ link: body.getUint32(4, true), address: addressIn(value, family), bits: body.getUint8(1) });
  }
  return found;
}

/** `struct ifaddrmsg`. */
function addressMessage(
  type: number,
  flags: number,
  index: number,
  address: Address,
  bits: number,
): MessageWriter {
  const value = addressBytes(address);
  return new MessageWriter(type, flags)
    .u8(kernelFamily(address.family))
    .u8(bits)
    .u8(address.family === 6 ? IFA_F_NODAD : 0)
    .u8(RT_SCOPE_UNIVERSE)
    .u32(index)
    .attribute(IFA_LOCAL, value)
    .attribute(IFA_ADDRESS, value);
}

// ---- routes ----

/** Routes `destination` into the link (main table). Throws with EEXIST when the same route is there already. */
export function addRoute(destination: Prefix, link: string): void {
  const index = linkIndex(link);
  const answer = request(() =>
    routeMessage(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, destination, index),
  );
  check(`route ${destination} to ${link}`, answer);
}

/** Removes our route to `destination` through the link. */
export function deleteRoute(destination: Prefix, link: string): void {
  const found = listLinks().find(each => each.name === link);
  if (found === undefined) return;
  const answer = request(() => routeMessage(RTM_DELROUTE, NLM_F_ACK, destination, found.index));
  if (!answer.ok && answer.result !== -ESRCH && answer.result !== -ENOENT) {
    fail(`remove the route to ${destination}`, answer);
  }
}

/** Routes of both families in all tables, one entry per next hop. */
export function listRoutes(): RouteInfo[] {
  return [AF_INET, AF_INET6].flatMap(family => {
    const answer = request(() => emptyRouteMessage(RTM_GETROUTE, NLM_F_DUMP, family, 0));
    return check("list routes", answer).flatMap(parseRoute);
  });
}

/** How the kernel would send to `address` now, or "unreachable". */
export function routeTo(address: Address): RouteDecision | "unreachable" {
  const answer = request(() =>
    emptyRouteMessage(RTM_GETROUTE, 0, kernelFamily(address.family), address.bits).attribute(
      RTA_DST,
      addressBytes(address),
    ),
  );
  if (!answer.ok && UNREACHABLE.includes(answer.result)) return "unreachable";
  const [message] = check(`find the route to ${address}`, answer);
  if (message === undefined) return "unreachable";
  const [route] = parseRoute(message);
  // IPv6 answers with the reject route itself.
  if (route?.oif === undefined || !(route.type === "unicast" || route.type === "local")) return "unreachable";
  const source = parseAttributes(message.body, RTMSG_BYTES).get(RTA_PREFSRC);
  return {
    oif: route.oif,
    ...(route.gateway === undefined ? {} : { gateway: route.gateway }),
    ...(source === undefined ? {} : { source: addressIn(source, address.family) }),
  };
}

/** Errors of reject routes (RFC 1812 §5.2.7.1's codes as the kernel names them), blackhole last. */
const UNREACHABLE: readonly number[] = [-ENETUNREACH, -EHOSTUNREACH, -EACCES, -EINVAL];

function routeMessage(type: number, flags: number, destination: Prefix, oif: number): MessageWriter {
  const family = kernelFamily(destination.address.family);
  return emptyRouteMessage(type, flags, family, destination.bits)
    .attribute(RTA_DST, addressBytes(destination.address))
    .attributeU32(RTA_OIF, oif);
}

/** `struct rtmsg`: family, dst_len, src_len, tos, table, protocol, scope, type, flags. */
function emptyRouteMessage(type: number, flags: number, family: number, bits: number): MessageWriter {
  const message = new MessageWriter(type, flags).u8(family).u8(bits).u8(0).u8(0);
  if (type === RTM_GETROUTE) return message.u32(0).u32(0);
  const scope = family === AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  return message.u8(RT_TABLE_MAIN).u8(RTPROT_STATIC).u8(scope).u8(RTN_UNICAST).u32(0);
}

/** A route, once per next hop; nothing for families other than IP. */
function parseRoute(message: Message): RouteInfo[] {
  const { body } = message;
  const family = familyOf(body.getUint8(0));
  if (family === null) return [];
  const attributes = parseAttributes(body, RTMSG_BYTES);
  const target = attributes.get(RTA_DST);
  const address =
    target === undefined ? Address.from(family === 4 ? "0.0.0.0" : "::") : addressIn(target, family);
  const common = {
    destination: new Prefix(address, body.getUint8(1)),
    table: attributes.get(RTA_TABLE)?.getUint32(0, true) ?? body.getUint8(4),
    type: ROUTE_TYPES[body.getUint8(7)] ?? "unspecified",
    metric: attributes.get(RTA_PRIORITY)?.getUint32(0, true) ?? 0,
  } satisfies RouteInfo;
  const several = attributes.get(RTA_MULTIPATH);
  if (several !== undefined) return parseNextHops(several, family).map(hop => ({ ...common, ...hop }));
  return [{ ...common, ...nextHop(attributes.get(RTA_OIF)?.getUint32(0, true), attributes, family) }];
}

/** RTA_MULTIPATH: `struct rtnexthop` (length u16, flags, weight, link index) with attributes, repeated. */
function parseNextHops(value: DataView, family: AddressFamily): Partial<RouteInfo>[] {
  const hops: Partial<RouteInfo>[] = [];
  for (let at = 0; at + 8 <= value.byteLength; ) {
    const length = value.getUint16(at, true);
    if (length < 8 || at + length > value.byteLength) break;
    const attributes = parseAttributes(new DataView(value.buffer, value.byteOffset + at, length), 8);
    hops.push(nextHop(value.getInt32(at + 4, true), attributes, family));
    at += (length + 3) & ~3;
  }
  return hops;
}

function nextHop(
  oif: number | undefined,
  attributes: Map<number, DataView>,
  family: AddressFamily,
): { oif?: number; gateway?: Address } {
  const gateway = attributes.get(RTA_GATEWAY);
  return {
    ...(oif === undefined ? {} : { oif }),
    ...(gateway === undefined ? {} : { gateway: addressIn(gateway, family) }),
  };
}

// ---- helpers ----

function check(doing: string, answer: Answer): Message[] {
  if (!answer.ok) return fail(doing, answer);
  return answer.messages;
}

function fail(doing: string, answer: Answer & { ok: false }): never {
  const detail = answer.detail;
  throw systemError(doing, "rtnetlink", answer.result, detail === undefined ? {} : { detail });
}

function kernelFamily(family: AddressFamily): number {
  return family === 4 ? AF_INET : AF_INET6;
}

function familyOf(kernel: number): AddressFamily | null {
  return kernel === AF_INET ? 4 : kernel === AF_INET6 ? 6 : null;
}

function addressBytes(address: Address): Uint8Array {
  const bytes = new Uint8Array(address.bits / 8);
  address.write(bytes, 0);
  return bytes;
}

function addressIn(value: DataView, family: AddressFamily): Address {
  return Address.read(bytesOf(value), 0, family);
}
