/** The inbound packet that is being processed: filled by `IpInput`, one instance per stack. */
import type { Attachment } from "./attachment.js";
import { FlowKey } from "./flow-key.js";

export class Packet {
  attachment!: Attachment;
  /** Source is "remote", destination is "local"; the transport fills in the ports. */
  readonly key: FlowKey = new FlowKey();
  protocol = 0;
  /** Arena offset of the IP header. */
  start = 0;
  /** The transport header and what follows it: arena bytes [offset, offset + length). */
  offset = 0;
  length = 0;
  checksumTrusted = false;
  /** ECN codepoint (RFC 3168 §5). */
  ecn = 0;

  // Set when this is one piece of a datagram; `offset` and `length` are then the piece's.
  isFragment = false;
  fragmentId = 0;
  fragmentOffset = 0;
  moreFragments = false;
}
