/**
 * A stream end that is a kernel socket: the agent's side of a Service, the DNS responder, the control API.
 *
 * The descriptor is watched edge-triggered, so readiness is remembered here and `epoll_ctl` is called once
 * per connection. Reads go straight into the ring that the other end sends from, writes straight out of the
 * ring that it receives into. FIN, RST and back-pressure cross as the rings' finish, abort and space.
 */
import type { Milliseconds, Ring, RingReader, RingWriter } from "../base/index.js";
import {
  EAGAIN,
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  sockets,
} from "../linux/index.js";
import type { Context } from "./context.js";
import type { Source } from "./loop.js";
import { TURN_READ_BYTES } from "./stream-queue.js";

/**
 * What one read may bring: little from a socket that says little, so that thousands of them fit the pool. One that is
 * always full is read as much at once as the turn allows: each read acknowledges and wakes whoever fills it, which in
 * reads of 128 KiB took a sixth of the agent's time in a download.
 */
const MIN_READ_BYTES = 4 * 1024;
const MAX_READ_BYTES: number = TURN_READ_BYTES;
/** What a stream socket is watched for, from its first moment in the loop. */
export const STREAM_EVENTS: number = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

export class KernelStream implements Source, RingReader, RingWriter {
  readonly fd: number;
  /** What this socket's peer sent; this end writes it. */
  readonly incoming: Ring;
  /** What goes to this socket's peer; this end reads it. */
  readonly outgoing: Ring;
  /** Called once, when both directions are done or the stream broke. */
  onClosed: (() => void) | null = null;

  private readonly context: Context;
  /** Nothing has come yet, as far as is known: the first edge says so. */
  private readable = false;
  private writable = true;
  /** The edge that announced the end has passed: read on until the end itself is read. */
  private hungUp = false;
  private readDone = false;
  private writeDone = false;
  private queued = false;
  private readBytes = MIN_READ_BYTES;
  closed = false;

  /**
   * Takes over the connected, non-blocking `fd`, which is (or will be, before the turn ends) in the loop with STREAM_EVENTS:
   * whoever was told of the first edge tells `onReady`.
   */
  constructor(context: Context, fd: number, incoming: Ring, outgoing: Ring) {
    this.context = context;
    this.fd = fd;
    this.incoming = incoming;
    this.outgoing = outgoing;
    incoming.writer = this;
    outgoing.reader = this;
    this.queue();
  }

  /** Sends `text` before anything the ring will hold; the socket is fresh, so a short line fits. */
  prepend(text: string): void {
    sockets.writeText(this.fd, text);
  }

  onReady(events: number, _now: Milliseconds): void {
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) this.hungUp = true;
    if (events & EPOLLIN || this.hungUp) this.readable = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) this.writable = true;
    this.queue();
  }

  onRingData(): void {
    this.queue();
  }

  onRingSpace(): void {
    if (this.readable && !this.readDone) this.queue();
  }

  onRingAborted(): void {
    if (this.closed) return;
    this.finish(true);
  }

  /** What it has to read and to write takes next to no time. */
  get isBrief(): boolean {
    return this.readBytes === MIN_READ_BYTES && this.outgoing.length < MIN_READ_BYTES;
  }

  private queue(): void {
    if (this.queued || this.closed) return;
    this.queued = true;
    this.context.streams.push(this);
  }

  private starve(): void {
    this.queued = true;
    this.context.streams.starve(this, this.context.loop.now);
  }

  /** Reads and writes what can be; queues itself again when the turn's share is read. Returns how many bytes it read. */
  service(): number {
    this.queued = false;
    if (this.closed) return 0;
    if (this.writable && !this.writeDone) this.write();
    const from = this.incoming.tail;
    if (!this.closed && this.readable && !this.readDone) this.read();
    const bytes = (this.incoming.tail - from) | 0;
    if (!this.closed && this.readDone && this.writeDone) this.finish(false);
    return bytes;
  }

  private write(): void {
    const ring = this.outgoing;
    for (;;) {
      const length = ring.length;
      if (length === 0) {
        if (ring.finished) {
          // With both directions done, to close the socket says the same.
          if (!this.readDone) sockets.shutdownWrite(this.fd);
          this.writeDone = true;
        }
        return;
      }
      const run = ring.contiguous(ring.head, length);
      const written = sockets.write(this.context.arena, this.fd, ring.offsetOf(ring.head), run);
      if (written < 0) {
        this.writable = false;
        if (written !== -EAGAIN) this.fail();
        return;
      }
      ring.consume(written);
      if (written < run) {
        this.writable = false;
        return;
      }
    }
  }

  private read(): void {
    const ring = this.incoming;
    for (let budget = TURN_READ_BYTES; budget > 0; ) {
      const room = ring.prepare(this.readBytes);
      if (room === 0) {
        if (ring.space > 0) this.starve();
        return;
      }
      const length = sockets.read(this.context.arena, this.fd, ring.writeOffset, room);
      if (length <= 0) {
        ring.releaseUnused();
        if (length === 0) {
          this.readDone = true;
          ring.finish();
        } else if (length === -EAGAIN) this.readable = false;
        else this.fail();
        return;
      }
      ring.advance(length);
      budget -= length;
      if (length === this.readBytes) this.readBytes = Math.min(2 * length, MAX_READ_BYTES);
      else if (4 * length < room) this.readBytes = Math.max(this.readBytes >> 1, MIN_READ_BYTES);
      if (length < room && !this.hungUp) {
        // A short read empties the socket; the next byte or FIN raises a new edge.
        this.readable = false;
        return;
      }
    }
    this.queue();
  }

  /** The socket broke (reset, timed out): both directions end with it. */
  private fail(): void {
    this.finish(true);
    this.incoming.abort();
    this.outgoing.abort();
  }

  private finish(abort: boolean): void {
    this.closed = true;
    this.context.loop.forget(this.fd);
    if (abort) sockets.abort(this.fd);
    else sockets.close(this.fd);
    this.onClosed?.();
  }
}
