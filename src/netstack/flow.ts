/** What a TCP connection and a UDP flow have in common: who talks to whom, over which link, and since when. */
import type { Address, Milliseconds } from "../base/index.js";
import type { Attachment } from "./attachment.js";
import type { FlowKey, Keyed } from "./flow-key.js";
import type { Link } from "./link.js";

export abstract class Flow implements Keyed {
  /** In whole milliseconds. */
  readonly createdAt: Milliseconds;

  // ---- below: for this room ----

  readonly attachment: Attachment;
  readonly key: FlowKey;

  constructor(attachment: Attachment, key: FlowKey, now: Milliseconds) {
    this.attachment = attachment;
    this.key = key;
    this.createdAt = Math.floor(now);
  }

  // ---- for the user ----

  get link(): Link {
    return this.attachment.link;
  }

  /** The address that the peer talks to. */
  get local(): Address {
    return this.key.local;
  }

  get localPort(): number {
    return this.key.localPort;
  }

  get remote(): Address {
    return this.key.remote;
  }

  get remotePort(): number {
    return this.key.remotePort;
  }
}
