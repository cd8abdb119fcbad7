/**
 * JSON lines over a stream descriptor, inside the loop: the control process on the inherited socket, and
 * text protocols of the same shape. Small and rare next to packets, so it may allocate.
 */
import type { Milliseconds } from "../base/index.js";
import { EAGAIN, EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, setNonBlocking, sockets } from "../linux/index.js";
import type { Context } from "./context.js";
import type { Source } from "./loop.js";

const CHUNK_BYTES = 64 * 1024;

export interface LineUser {
  /** One line without its newline. */
  onLine(line: string): void;
  /** The other end closed or broke; the descriptor is closed already. */
  onEnd(): void;
}

export class LineChannel implements Source {
  readonly fd: number;
  private readonly context: Pick<Context, "arena" | "loop">;
  private readonly user: LineUser;
  private readonly buffer: number;
  private received: Buffer[] = [];
  private pending: Buffer[] = [];
  private watchingWrite = false;
  private ended = false;

  /** @param buffer arena offset of `LineChannel.BUFFER_BYTES` bytes, shared by all channels of the process */
  constructor(context: Pick<Context, "arena" | "loop">, fd: number, buffer: number, user: LineUser) {
    this.context = context;
    this.fd = fd;
    this.buffer = buffer;
    this.user = user;
    setNonBlocking(fd);
    context.loop.add(fd, EPOLLIN, this);
  }

  static readonly BUFFER_BYTES: number = CHUNK_BYTES;

  onReady(events: number, _now: Milliseconds): void {
    if (events & EPOLLOUT) this.drain();
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) this.fill();
  }

  /** Sends text as it is; add the newline. */
  write(text: string): void {
    if (this.ended) return;
    this.pending.push(Buffer.from(text));
    if (!this.watchingWrite) this.drain();
  }

  close(): void {
    if (this.ended) return;
    this.ended = true;
    this.context.loop.remove(this.fd);
    sockets.close(this.fd);
  }

  private fill(): void {
    const { arena } = this.context;
    while (!this.ended) {
      const length = sockets.read(arena, this.fd, this.buffer, CHUNK_BYTES);
      if (length === -EAGAIN) return;
      if (length <= 0) {
        this.close();
        this.user.onEnd();
        return;
      }
      // A copy: what a line's user answers goes out through the same buffer.
      this.take(Buffer.from(arena.u8.subarray(this.buffer, this.buffer + length)));
    }
  }

  private take(chunk: Buffer): void {
    let from = 0;
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, from)) {
      this.received.push(chunk.subarray(from, at));
      const line = Buffer.concat(this.received).toString();
      this.received = [];
      from = at + 1;
      this.user.onLine(line);
      if (this.ended) return;
    }
    if (from < chunk.length) this.received.push(chunk.subarray(from));
  }

  private drain(): void {
    const { arena, loop } = this.context;
    while (this.pending.length > 0) {
      const chunk = this.pending[0] as Buffer;
      const length = Math.min(chunk.length, CHUNK_BYTES);
      arena.u8.set(chunk.subarray(0, length), this.buffer);
      const written = sockets.write(arena, this.fd, this.buffer, length);
      if (written < 0) {
        if (written !== -EAGAIN) this.pending = [];
        else if (!this.watchingWrite) {
          loop.modify(this.fd, EPOLLIN | EPOLLOUT);
          this.watchingWrite = true;
        }
        return;
      }
      if (written === chunk.length) this.pending.shift();
      else this.pending[0] = chunk.subarray(written);
    }
    if (this.watchingWrite) {
      loop.modify(this.fd, EPOLLIN);
      this.watchingWrite = false;
    }
  }
}
