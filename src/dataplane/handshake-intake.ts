/**
 * The socket for all datagrams that are no transport messages: handshakes, cookies, and whatever a flood is made
 * of. Owns how much of it is taken in; the rest overflows the socket's own small buffer in the kernel, which costs
 * this process nothing and loses no data.
 *
 * A few messages are taken at once. When there are more in a millisecond, the socket is not watched for the rest of
 * it: what has come by then is taken in one turn, instead of a turn of the whole loop for each, and the work is
 * bounded at any rate of arrival. A ready descriptor that is watched and not read would keep the loop turning.
 */
import { ENDPOINT_BYTES, type Milliseconds, NEVER } from "../base/index.js";
import { EAGAIN, EPOLLIN } from "../linux/index.js";
import type { Bind } from "./bind.js";
import type { Context } from "./context.js";
import type { Machine, Source } from "./loop.js";

/** Some 20 ms of a flood of 50,000 messages a second. */
export const HANDSHAKE_BUFFER_BYTES: number = 1 << 20;
const WINDOW_MS = 1;
/** Taken as they come. */
const PROMPT_MESSAGES = 8;
/** In one turn; with the prompt ones 72,000 a second. With a mac1 that is wrong one costs 2 to 3 µs. */
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
  /** In this window. */
  private taken = 0;
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
      this.taken = 0;
    }
    const { socket, buffer, endpoint } = this;
    for (let inTurn = 0; inTurn < MESSAGES_PER_TURN; ) {
      const total = socket.receive(buffer, RECEIVE_BYTES, endpoint);
      if (total === -EAGAIN) break;
      const messages = total > 0 ? Math.ceil(total / socket.segmentBytes) : 1;
      inTurn += messages;
      this.taken += messages;
      if (total > 0) this.take(buffer, total, socket.segmentBytes, endpoint, now);
    }
    if (this.taken <= PROMPT_MESSAGES) return;
    this.paused = true;
    this.context.loop.modify(socket.fd, 0);
  }

  poll(now: Milliseconds): void {
    if (!this.paused || now < this.windowEnd) return;
    this.paused = false;
    this.context.loop.modify(this.socket.fd, EPOLLIN);
  }

  pollAt(): Milliseconds {
    return this.paused ? this.windowEnd : NEVER;
  }
}
