/** Where the packets of a batch are opened to: places of their own in the arena, as ciphertext must stay until it is judged. */
import type { Arena } from "../base/index.js";

/** A full batch of packets of the usual size, so that it stays in the processor's cache. */
const OPENED_BYTES = 73_728;

export class OpenedPlaces {
  private readonly arena: Arena;
  private readonly start: number;
  private readonly places: Int32Array;
  private count = 0;
  private usedBytes = 0;
  /** The batch was run: the next packet begins another. */
  private closed = false;

  /** @param packets in a batch, at most */
  constructor(arena: Arena, packets: number) {
    this.arena = arena;
    this.start = arena.reserve(OPENED_BYTES);
    this.places = new Int32Array(packets);
  }

  /** Whether the next place is the first of a new batch. */
  get begins(): boolean {
    return this.closed;
  }

  /** `bytes` for the next packet of the batch, at a multiple of 64; −1 when there is no more room. */
  take(bytes: number): number {
    if (this.closed) {
      this.closed = false;
      this.count = 0;
      this.usedBytes = 0;
    }
    const whole = (bytes + 63) & ~63;
    if (this.count === this.places.length || this.usedBytes + whole > OPENED_BYTES) return -1;
    const place = this.start + this.usedBytes;
    this.places[this.count++] = place;
    this.usedBytes += whole;
    return place;
  }

  /** The place of the last packet. */
  get last(): number {
    return this.count - 1;
  }

  at(ticket: number): number {
    return this.places[ticket] as number;
  }

  close(): void {
    this.closed = true;
  }

  wipe(): void {
    this.arena.u8.fill(0, this.start + this.usedBytes, this.start + OPENED_BYTES);
  }
}
