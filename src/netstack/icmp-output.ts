/** ICMP errors that the stack sends, with a limit on their rate (RFC 4443 §2.4 f, RFC 1812 §4.3.2.8). */
import type { Arena, Milliseconds } from "../base/index.js";
import {
  ICMP4_HOST,
  ICMP4_NETWORK,
  ICMP4_PORT,
  ICMP4_PROHIBITED,
  ICMP4_UNREACHABLE,
  ICMP6_ADDRESS,
  ICMP6_NETWORK,
  ICMP6_PORT,
  ICMP6_PROHIBITED,
  ICMP6_UNREACHABLE,
  IPV4_DONT_FRAGMENT,
  PROTOCOL_ICMP4,
  PROTOCOL_ICMP6,
} from "../wire/index.js";
import type { Attachment } from "./attachment.js";
import type { Counters } from "./counters.js";
import type { FlowKey } from "./flow-key.js";
import { type IpOutput, ipHeaderBytes, writeIpHeader } from "./ip-output.js";
import type { Unreachable } from "./link.js";
import type { StackOptions } from "./options.js";
import { RateLimit } from "./rate-limit.js";

const CODES_V4: Readonly<Record<Unreachable, number>> = {
  network: ICMP4_NETWORK,
  host: ICMP4_HOST,
  port: ICMP4_PORT,
  prohibited: ICMP4_PROHIBITED,
};

const CODES_V6: Readonly<Record<Unreachable, number>> = {
  network: ICMP6_NETWORK,
  host: ICMP6_ADDRESS,
  port: ICMP6_PORT,
  prohibited: ICMP6_PROHIBITED,
};

/** An IPv6 header and the 8 bytes after it. */
const QUOTE_BYTES = 48;

export class IcmpOutput {
  private readonly arena: Arena;
  private readonly counters: Counters;
  private readonly output: IpOutput;
  private readonly limit: RateLimit;
  /** Where the quoted packet is put together. */
  private readonly scratch: number;

  constructor(arena: Arena, counters: Counters, output: IpOutput, options: Readonly<StackOptions>) {
    this.arena = arena;
    this.counters = counters;
    this.output = output;
    this.limit = new RateLimit(options.icmpErrorsPerSecond, options.icmpErrorBurst);
    this.scratch = arena.reserve(QUOTE_BYTES);
  }

  /**
   * Tells the peer that a packet of its did not arrive. The packet is quoted as far as senders need it to find
   * their socket (RFC 792): its IP header, made anew, and the first eight bytes after it.
   * @param key the flow as we see it: the packet came from `remote`
   * @param payloadBytes length of what followed its IP header
   */
  sendUnreachable(
    attachment: Attachment,
    key: FlowKey,
    why: Unreachable,
    protocol: number,
    payloadBytes: number,
    word0: number,
    word1: number,
    now: Milliseconds,
  ): void {
    if (!this.limit.take(now)) {
      this.counters.icmpRateLimited++;
      return;
    }
    const view = this.arena.view;
    const ipBytes = ipHeaderBytes(key);
    writeIpHeader(view, this.scratch, key.reversed(), protocol, payloadBytes, IPV4_DONT_FRAGMENT, 0);
    view.setInt32(this.scratch + ipBytes, word0);
    view.setInt32(this.scratch + ipBytes + 4, word1);
    const isV4 = key.family === 4;
    const type = isV4 ? ICMP4_UNREACHABLE : ICMP6_UNREACHABLE;
    const code = isV4 ? CODES_V4[why] : CODES_V6[why];
    const icmp = isV4 ? PROTOCOL_ICMP4 : PROTOCOL_ICMP6;
    const header = (type << 24) | (code << 16);
    this.output.sendDatagram(attachment, key, icmp, header, 0, 2, this.scratch, ipBytes + 8);
  }
}
