/** What the kernel has learnt of a path's MTU: of its first link, and from ICMP (RFC 1191, RFC 8201). */
import type { Endpoint } from "../base/index.js";
import { getOption } from "./descriptor.js";
import { libc, scratch, scratchAddress, settle } from "./ffi.js";
import { AF_INET, AF_INET6, endpointToSockaddr, SOCKADDR_AFTER_RECORD } from "./sockaddr.js";

const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0x80000;
const IPPROTO_IP = 0;
const IP_MTU = 14;
const IPPROTO_IPV6 = 41;
const IPV6_MTU = 24;

/**
 * Bytes of the largest IP packet to `endpoint`, or 0 when there is no route. Only a connected socket tells, so
 * one is made for the question; no packet is sent.
 */
export function kernelPathMtu(endpoint: Endpoint): number {
  const v6 = endpoint.address.family === 6;
  const fd = settle(libc.socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (fd < 0) return 0;
  const length = endpointToSockaddr(scratch, 0, endpoint, v6);
  const connected = settle(libc.connect(fd, scratchAddress(SOCKADDR_AFTER_RECORD, length), length));
  const mtu = connected < 0 ? 0 : getOption(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU : IP_MTU);
  libc.close(fd);
  return Math.max(mtu, 0);
}
