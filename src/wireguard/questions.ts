/**
 * Whether a packet asks for an answer. What does not may stay without one, and that is no silence: only what occupies
 * sequence space is acknowledged (RFC 9293 §3.8.6.3), and no ICMP answer is answered (RFC 1122 §3.2.2, RFC 4443 §2.4).
 */
import {
  ICMP_HEADER_BYTES,
  ICMP4_ECHO_REQUEST,
  ICMP6_ECHO_REQUEST,
  IPV4_FRAGMENT_OFFSET_MASK,
  IPV4_HEADER_BYTES,
  IPV6_HEADER_BYTES,
  icmpType,
  ipVersion,
  ipv4FragmentWord,
  ipv4HeaderBytes,
  ipv4Protocol,
  ipv6NextHeader,
  PROTOCOL_ICMP4,
  PROTOCOL_ICMP6,
  PROTOCOL_TCP,
  TCP_FIN,
  TCP_HEADER_BYTES,
  TCP_SYN,
  tcpFlags,
  tcpHeaderBytes,
} from "../wire/index.js";

/** Of the inner packet at `at`; true for what it cannot tell, such as UDP, fragments and extension headers. */
export function asksForAnswer(view: DataView, at: number, length: number): boolean {
  if (length < IPV4_HEADER_BYTES) return true;
  const v4 = ipVersion(view, at) === 4;
  if (!v4 && length < IPV6_HEADER_BYTES) return true;
  if (v4 && (ipv4FragmentWord(view, at) & IPV4_FRAGMENT_OFFSET_MASK) !== 0) return true;
  const protocol = v4 ? ipv4Protocol(view, at) : ipv6NextHeader(view, at);
  const headerBytes = v4 ? ipv4HeaderBytes(view, at) : IPV6_HEADER_BYTES;
  const body = at + headerBytes;
  const bodyBytes = length - headerBytes;
  if (protocol === PROTOCOL_TCP && bodyBytes >= TCP_HEADER_BYTES) {
    return (tcpFlags(view, body) & (TCP_SYN | TCP_FIN)) !== 0 || bodyBytes > tcpHeaderBytes(view, body);
  }
  if (bodyBytes < ICMP_HEADER_BYTES) return true;
  if (protocol === PROTOCOL_ICMP4) return icmpType(view, body) === ICMP4_ECHO_REQUEST;
  if (protocol === PROTOCOL_ICMP6) return icmpType(view, body) === ICMP6_ECHO_REQUEST;
  return true;
}
