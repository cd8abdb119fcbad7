/** Connections in the order in which they came in, linked through themselves: each is in one list at most. */
import type { Attachment } from "../attachment.js";
import type { TcpConnection } from "./connection.js";

export class ConnectionList {
  count = 0;
  private oldest: TcpConnection | null = null;
  private newest: TcpConnection | null = null;

  get first(): TcpConnection | null {
    return this.oldest;
  }

  /** The oldest of `attachment`. */
  firstOf(attachment: Attachment): TcpConnection | null {
    for (let c = this.oldest; c !== null; c = c.listNext) if (c.attachment === attachment) return c;
    return null;
  }

  add(c: TcpConnection): void {
    c.listed = this;
    c.listPrevious = this.newest;
    c.listNext = null;
    if (this.newest === null) this.oldest = c;
    else this.newest.listNext = c;
    this.newest = c;
    this.count++;
  }

  /** False, and no effect, when it is not in this list. */
  remove(c: TcpConnection): boolean {
    if (c.listed !== this) return false;
    c.listed = null;
    if (c.listPrevious === null) this.oldest = c.listNext;
    else c.listPrevious.listNext = c.listNext;
    if (c.listNext === null) this.newest = c.listPrevious;
    else c.listNext.listPrevious = c.listPrevious;
    c.listPrevious = null;
    c.listNext = null;
    this.count--;
    return true;
  }
}
