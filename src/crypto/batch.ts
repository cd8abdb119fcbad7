/**
 * Packets that wait to be sealed or opened together. What they have in common is here: keys, batches, places of what was
 * opened, verdicts. The work itself is a `Worker`'s.
 */
import { type Arena, FIRST_PIECE_BYTES } from "../base/index.js";
import { countRight, SLOTS, tagDifference } from "./aead.js";

/** Where opening puts the tags that it computes: one every 32 bytes. */
export const TAG_SPACE_BYTES = 32;
/** Opened packets of a batch: a full one of the usual size, so that it stays in the processor's cache. */
const OPENED_BYTES = 73_728;

/** Carries out batches of packets, all in the same direction and each under one key. */
export interface Worker {
  /** Bytes before a packet, and before the place it is opened to, that are used too. */
  readonly head: number;
  /** And behind them: the tag, and what else may be written before it. */
  readonly tail: number;
  /** Takes up the key of the packets that are added next. */
  load(key: Uint32Array): void;
  /**
   * Packets `slot` to `slot` + `count` − 1, counters going up by one: from arena byte `offset`, and each `stride` bytes on, to
   * `target`, and each `targetStride` bytes on, which is the same where packets are sealed.
   * @param rest where the second pieces come from, each `restStride` bytes after the one before
   */
  add(
    slot: number,
    count: number,
    offset: number,
    stride: number,
    target: number,
    targetStride: number,
    length: number,
    counter: number,
    rest: number,
    restStride: number,
  ): void;
  /**
   * All that were added since the last time.
   * @returns true when each packet that was opened is known to have the right tag; false: that is to be found out
   */
  run(): boolean;
  /** Removes what is left of keys. */
  forget(): void;
}

abstract class Batch {
  protected count = 0;
  protected readonly worker: Worker;
  /** The key that the worker has. */
  private loaded: Uint32Array | null = null;

  constructor(worker: Worker) {
    this.worker = worker;
  }

  /** Packets that are added from here on are under `key`. */
  protected use(key: Uint32Array): void {
    if (this.loaded === key) return;
    this.runWorker();
    this.worker.load(key);
    this.loaded = key;
  }

  protected runWorker(): void {
    this.worker.run();
  }

  /** Carries out what waits, and removes what is left of keys. */
  wipe(): void {
    this.runWorker();
    this.loaded = null;
    this.worker.forget();
  }
}

/** Keys are eight words, one object per key; ranges are checked before. */
export class Seals extends Batch {
  /** As `AeadKey.sealAlike`. */
  seal(
    key: Uint32Array,
    count: number,
    offset: number,
    stride: number,
    length: number,
    counter: number,
    rest: number,
    restStride: number,
  ): void {
    if (this.count + count > SLOTS) this.run();
    this.use(key);
    const { worker, count: slot } = this;
    worker.add(slot, count, offset, stride, offset, stride, length, counter, rest, restStride);
    this.count = slot + count;
  }

  run(): void {
    this.runWorker();
    this.count = 0;
  }
}

export class Opens extends Batch {
  private readonly arena: Arena;
  private readonly tags: number;
  /** The ciphertext must stay until it is judged, so packets are opened to places of their own. */
  private readonly places: number;
  private placesBytes = 0;
  /** By ticket: where the tag that came with the packet is, where the packet is opened to, and, unless all are right, that or −1. */
  private readonly expected: Int32Array = new Int32Array(SLOTS);
  private readonly plaintexts: Int32Array = new Int32Array(SLOTS);
  private readonly verdicts: Int32Array = new Int32Array(SLOTS);
  /** The batch was run: the next packet begins another. Until then nothing is opened. */
  private closed = false;
  /** Every packet of the batch that was carried out so far is known to have the right tag. */
  private right = true;

  /** @param tags arena offset of where the worker puts them */
  constructor(arena: Arena, worker: Worker, tags: number) {
    super(worker);
    this.arena = arena;
    this.tags = tags;
    this.places = arena.reserve(OPENED_BYTES);
  }

  /** As `AeadKey.openAlike`. */
  open(
    key: Uint32Array,
    count: number,
    offset: number,
    stride: number,
    length: number,
    counter: number,
  ): number {
    if (this.closed) {
      this.closed = false;
      this.count = 0;
      this.placesBytes = 0;
      this.right = true;
    }
    const { worker, expected, plaintexts } = this;
    const { head, tail } = worker;
    const bytes = (head + length + tail + 63) & ~63;
    const ticket = this.count;
    if (ticket + count > SLOTS || this.placesBytes + count * bytes > OPENED_BYTES) return -1;
    this.use(key);
    const first = this.places + this.placesBytes + head;
    for (let i = 0; i < count; i++) {
      expected[ticket + i] = offset + i * stride + length;
      plaintexts[ticket + i] = first + i * bytes;
    }
    const rest = offset + FIRST_PIECE_BYTES;
    worker.add(ticket, count, offset, stride, first, bytes, length, counter, rest, stride);
    this.placesBytes += count * bytes;
    this.count = ticket + count;
    return ticket;
  }

  protected override runWorker(): void {
    if (!this.worker.run()) this.right = false;
  }

  run(): void {
    this.runWorker();
    this.closed = true;
    if (this.right) return;
    const { arena, tags, expected, plaintexts, verdicts } = this;
    for (let ticket = 0; ticket < this.count; ticket++) {
      const different = tagDifference(arena, tags + TAG_SPACE_BYTES * ticket, expected[ticket] as number);
      verdicts[ticket] = different ? -1 : (plaintexts[ticket] as number);
    }
  }

  /** As `CryptoSuite.opened`. */
  result(ticket: number): number {
    if (!this.closed) return -1;
    return (this.right ? this.plaintexts : this.verdicts)[ticket] as number;
  }

  /** As `CryptoSuite.countOpened`. */
  countRight(ticket: number, most: number): number {
    if (!this.closed) return 0;
    return this.right ? most : countRight(this.verdicts, ticket, most);
  }

  override wipe(): void {
    super.wipe();
    const { u8 } = this.arena;
    const { head } = this.worker;
    for (let ticket = 0; ticket < this.count; ticket++) {
      const plaintext = this.plaintexts[ticket] as number;
      u8.fill(0, plaintext - head, plaintext);
    }
    // Plaintext of earlier, larger batches; that of this one may still be asked for.
    u8.fill(0, this.places + this.placesBytes, this.places + OPENED_BYTES);
  }
}
