/**
 * The arrays that sent queues keep their entries in. A queue has some only while something is outstanding: an idle
 * connection holds none, and what a burst needed serves the next one, whosever that is.
 */

/** Doubles of an entry: when it was sent, and what a delivery-rate sample needs to know of that moment. */
export const STAMPS = 4;
export const FIRST_CAPACITY = 16;
/** Spare room for so many entries is kept; 43 bytes each, so less than a megabyte for a stack … */
const MAX_SPARE_ENTRIES = 16_384;
/** … and of each size so many: a small one is a kilobyte of objects, whatever it holds. */
const MAX_SPARES = 128;

/** Room for `capacity` entries, a power of two. */
export class SentEntries {
  readonly capacity: number;
  readonly starts: Int32Array;
  readonly ends: Int32Array;
  readonly sizes: Uint16Array;
  readonly stamps: Float64Array;
  readonly marks: Uint8Array;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.starts = new Int32Array(capacity);
    this.ends = new Int32Array(capacity);
    this.sizes = new Uint16Array(capacity);
    this.stamps = new Float64Array(STAMPS * capacity);
    this.marks = new Uint8Array(capacity);
  }
}

/** What a queue without entries has. */
export const NO_ENTRIES: SentEntries = new SentEntries(0);

export class SentEntriesPool {
  /** By the logarithm of their capacity. */
  private readonly spare: SentEntries[][] = [];
  private spareEntries = 0;

  /** Room for the first entries of a burst: as much as the last one needed, if that lies ready. */
  forBurst(wanted: number): SentEntries {
    return this.takeSpare(wanted) ?? this.withCapacity(FIRST_CAPACITY);
  }

  withCapacity(capacity: number): SentEntries {
    return this.takeSpare(capacity) ?? new SentEntries(capacity);
  }

  private takeSpare(capacity: number): SentEntries | undefined {
    const found = this.spare[Math.clz32(capacity)]?.pop();
    if (found !== undefined) this.spareEntries -= capacity;
    return found;
  }

  giveBack(entries: SentEntries): void {
    const { capacity } = entries;
    if (capacity === 0 || this.spareEntries + capacity > MAX_SPARE_ENTRIES) return;
    const order = Math.clz32(capacity);
    const list = this.spare[order] ?? [];
    if (list.length === MAX_SPARES) return;
    list.push(entries);
    this.spare[order] = list;
    this.spareEntries += capacity;
  }
}
