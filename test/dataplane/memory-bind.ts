/** Two Binds joined by memory: what one sends the other receives, batch by batch, in order. */
import {
  type Arena,
  type Endpoint,
  formatEndpoint,
  readEndpoint,
  writeEndpoint,
} from "../../src/base/index.js";
import type { Bind } from "../../src/dataplane/bind.js";
import { EAGAIN, EHOSTUNREACH } from "../../src/linux/index.js";

export interface Batch {
  bytes: Uint8Array;
  segmentBytes: number;
}

export class MemoryBind implements Bind {
  readonly fd: number;
  segmentBytes = 0;
  pathExceeded = false;
  /** Batches that wait here before the other end is told that it is full. */
  capacity: number = Number.POSITIVE_INFINITY;
  /** What becomes of a batch on the way. */
  mangle: (batch: Batch) => Batch = batch => batch;
  readonly own: Endpoint;
  private readonly arena: Arena;
  private other!: MemoryBind;
  private readonly inbox: Batch[] = [];

  private constructor(arena: Arena, own: Endpoint, fd: number) {
    this.arena = arena;
    this.own = own;
    this.fd = fd;
  }

  static pair(arena: Arena, a: Endpoint, b: Endpoint): [MemoryBind, MemoryBind] {
    const [left, right] = [new MemoryBind(arena, a, 1), new MemoryBind(arena, b, 2)];
    left.other = right;
    right.other = left;
    return [left, right];
  }

  /** As epoll would say. */
  get isReadable(): boolean {
    return this.inbox.length > 0;
  }

  receive(offset: number, maxBytes: number, endpoint: number): number {
    const batch = this.inbox.shift();
    if (batch === undefined) return -EAGAIN;
    const total = Math.min(batch.bytes.length, maxBytes);
    this.arena.u8.set(batch.bytes.subarray(0, total), offset);
    this.segmentBytes = Math.min(batch.segmentBytes, total);
    writeEndpoint(this.arena.u8, endpoint, this.other.own);
    return total;
  }

  send(offset: number, length: number, segmentBytes: number, endpoint: number): number {
    const to = formatEndpoint(readEndpoint(this.arena.u8, endpoint));
    if (to !== formatEndpoint(this.other.own)) return -EHOSTUNREACH;
    if (this.other.inbox.length >= this.other.capacity) return -EAGAIN;
    const batch = { bytes: this.arena.u8.slice(offset, offset + length), segmentBytes };
    this.other.inbox.push(this.mangle(batch));
    return length;
  }

  setDontFragment(_on: boolean): void {}
}
