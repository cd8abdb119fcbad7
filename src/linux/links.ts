/**
 * Network devices and their addresses by rtnetlink (rtnetlink(7)): what `ip link` and `ip address` would be
 * called for, without calling them.
 *
 * Changes throw CzctlError with the kernel's reason; `errnoOf` gives its errno. What is gone already counts as
 * deleted.
 */
import type { Address } from "../base/index.js";
import { systemError } from "./errors.js";
import {
  type Message,
  MessageWriter,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_REPLACE,
  parseAttributes,
  request,
  textOf,
} from "./netlink.js";
import { addressBytes, addressIn, check, fail, familyOf, kernelFamily } from "./rtnetlink.js";
import { AF_INET6 } from "./sockaddr.js";

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;

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
const RT_SCOPE_UNIVERSE = 0;

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
export function linkIndex(name: string): number {
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
