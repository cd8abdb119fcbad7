/**
 * Passive connections whose handshake is not complete, oldest first. Their number is limited, because anybody
 * can make them with one packet each; past the limit the oldest goes, as its client is the likeliest to be
 * nobody (RFC 4987 §3.5). Pending SYNs that the handler still thinks about are among them.
 */
import type { Attachment } from "../attachment.js";
import type { TcpConnection } from "./connection.js";

export class HalfOpenList {
  count = 0;
  private oldest: TcpConnection | null = null;
  private newest: TcpConnection | null = null;

  /** The oldest of `attachment`, else of all. */
  oldestOf(attachment: Attachment): TcpConnection | null {
    for (let c = this.oldest; c !== null; c = c.halfOpenNext) if (c.attachment === attachment) return c;
    return this.oldest;
  }

  add(c: TcpConnection): void {
    c.halfOpenPrevious = this.newest;
    c.halfOpenNext = null;
    if (this.newest === null) this.oldest = c;
    else this.newest.halfOpenNext = c;
    this.newest = c;
    this.count++;
    c.attachment.halfOpen++;
  }

  /** No effect when it is not in the list. */
  remove(c: TcpConnection): void {
    if (c.halfOpenPrevious === null && c.halfOpenNext === null && this.oldest !== c) return;
    if (c.halfOpenPrevious === null) this.oldest = c.halfOpenNext;
    else c.halfOpenPrevious.halfOpenNext = c.halfOpenNext;
    if (c.halfOpenNext === null) this.newest = c.halfOpenPrevious;
    else c.halfOpenNext.halfOpenPrevious = c.halfOpenPrevious;
    c.halfOpenPrevious = null;
    c.halfOpenNext = null;
    this.count--;
    c.attachment.halfOpen--;
  }
}
