/**
 * Routes by rtnetlink (rtnetlink(7)): ours in the main table, everybody's for reading.
 *
 * Changes throw CzctlError with the kernel's reason; `errnoOf` gives its errno. What is gone already counts as
 * deleted.
 */
import { Address, type AddressFamily, Prefix } from "../base/index.js";
import { EHOSTUNREACH, EINVAL, ENETUNREACH } from "./ffi.js";
import { linkIndex, listLinks } from "./links.js";
import {
  type Message,
  MessageWriter,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  parseAttributes,
  request,
} from "./netlink.js";
import { addressBytes, addressIn, check, fail, familyOf, kernelFamily } from "./rtnetlink.js";
import { AF_INET, AF_INET6 } from "./sockaddr.js";

const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;

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

/**
 * Routes `destination` into the link (main table). Throws with EEXIST when the same route is there already.
 * @param metric lower wins; 0 is the kernel's default
 */
export function addRoute(destination: Prefix, link: string, metric: number = 0): void {
  const index = linkIndex(link);
  const answer = request(() =>
    routeMessage(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, destination, index).attributeU32(
      RTA_PRIORITY,
      metric,
    ),
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
    emptyRouteMessage(RTM_GETROUTE, NLM_F_ACK, kernelFamily(address.family), address.bits).attribute(
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
