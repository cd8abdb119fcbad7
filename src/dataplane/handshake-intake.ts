/**
 * The socket for all datagrams that are no transport messages: handshakes, cookies, and whatever a flood is made
 * of. Owns how much of it is taken in; the rest overflows the socket's own small buffer in the kernel, which costs
 * this process nothing and loses no data.
 *
 * A budget per window bounds the work at any rate of arrival: when it is used up the socket is not even watched
 * until the window ends, or a ready descriptor that nobody reads would keep the loop turning.
 */
import { ENDPOINT_BYTES, type Milliseconds, NEVER } from "../base/index.js";
import { EAGAIN, EPOLLIN } from "../linux/index.js";
import type { Bind } from "./bind.js";
import type { Context } from "./context.js";
import type { Machine, Source } from "./loop.js";

/** Some 20 ms of a flood of 50,000 messages a second. */
export const HANDSHAKE_BUFFER_BYTES: number = 1 << 20;
/** With a mac1 that is wrong a message costs 3 µs: at most a fifth of a core. */
const WINDOW_MS = 10;
const MESSAGES_PER_WINDOW = 640;
/** Data gets its turn after so many. */
const MESSAGES_PER_TURN = 64;
const RECEIVE_BYTES = 65_536;

/** Takes [offset, offset + total) as datagrams of `segmentBytes` each from the record at `endpoint`. */
export type TakeDatagrams = (
  offset: number,
  total: number,
  segmentBytes: number,
  endpoint: number,
  now: Milliseconds,
) => void;

export class HandshakeIntake implements Source, Machine {
  private readonly context: Context;
  private readonly socket: Bind;
  private readonly take: TakeDatagrams;
  private readonly buffer: number;
  private readonly endpoint: number;
  private left = 0;
  private windowEnd: Milliseconds = -NEVER;
  private paused = false;

  constructor(context: Context, socket: Bind, take: TakeDatagrams) {
    this.context = context;
    this.socket = socket;
    this.take = take;
    this.buffer = context.arena.reserve(RECEIVE_BYTES);
    this.endpoint = context.arena.reserve(ENDPOINT_BYTES);
    context.loop.add(socket.fd, EPOLLIN, this);
  }

  onReady(_events: number, now: Milliseconds): void {
    if (now >= this.windowEnd) {
      this.windowEnd = now + WINDOW_MS;
      this.left = MESSAGES_PER_WINDOW;
    }
    const { socket, buffer, endpoint } = this;
    for (let stopAt = this.left - MESSAGES_PER_TURN; this.left > 0 && this.left > stopAt; ) {
      const total = socket.receive(buffer, RECEIVE_BYTES, endpoint);
      if (total === -EAGAIN) return;
      this.left -= total > 0 ? Math.ceil(total / socket.segmentBytes) : 1;
      if (total > 0) this.take(buffer, total, socket.segmentBytes, endpoint, now);
    }
    if (this.left > 0) return;
    this.paused = true;
    this.context.loop.modify(socket.fd, 0);
  }

  poll(now: Milliseconds): void {
    if (!this.paused || now < this.windowEnd) return;
    this.paused = false;
    this.context.loop.modify(this.socket.fd, EPOLLIN);
  }

  flush(_now: Milliseconds): void {}

  pollAt(): Milliseconds {
    return this.paused ? this.windowEnd : NEVER;
  }
}
