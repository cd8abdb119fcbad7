import { PlainStrided, type Strided } from "./strided.js";

/**
 * One block of memory that every packet and every stream byte lives in.
 *
 * The protocol rooms pass `(offset, length)` into the arena instead of slices, so the hot path allocates
 * nothing, and the rooms that call native code, `linux/`, `machine/` and `crypto/`, can turn an offset into an address
 * with one addition. No other room computes one.
 */
export class Arena {
  readonly buffer: ArrayBuffer;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly view: DataView;
  readonly size: number;
  /** `machine/` has a faster one. */
  strided: Strided;
  private reserved = 0;

  /** @param memory zeros, or how many bytes of them to take: a multiple of 8; untouched pages cost no memory. */
  constructor(memory: number | ArrayBuffer) {
    const sizeBytes = typeof memory === "number" ? memory : memory.byteLength;
    if (sizeBytes <= 0 || sizeBytes % 8 !== 0 || sizeBytes > 0x7fffffff) {
      throw new RangeError(`an arena has a positive multiple of 8 bytes, below 2 GiB, not ${sizeBytes}`);
    }
    this.buffer = typeof memory === "number" ? new ArrayBuffer(sizeBytes) : memory;
    this.u8 = new Uint8Array(this.buffer);
    this.u16 = new Uint16Array(this.buffer);
    this.u32 = new Uint32Array(this.buffer);
    this.view = new DataView(this.buffer);
    this.size = sizeBytes;
    this.strided = new PlainStrided(this);
  }

  /** Takes `bytes` for good (packet buffers, tables). Returns an offset that is a multiple of 64. */
  reserve(bytes: number): number {
    const offset = this.reserved;
    const end = offset + ((bytes + 63) & ~63);
    if (end > this.size) throw new RangeError(`arena of ${this.size} bytes has no room for ${bytes} more`);
    this.reserved = end;
    return offset;
  }

  /** Bytes not yet reserved. */
  get available(): number {
    return this.size - this.reserved;
  }
}
