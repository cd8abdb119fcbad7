/**
 * A buddy allocator over a region of the arena: stream rings come from here and go back here.
 *
 * Blocks are powers of two from `minBytes` to `maxBytes`. Allocation and release are O(log n), take no
 * garbage, and neighbours merge, so a burst of large rings leaves room for many small ones afterwards.
 */
const FREE = 0x80;

export class BlockPool {
  readonly minBytes: number;
  readonly maxBytes: number;
  private readonly start: number;
  private readonly minShift: number;
  private readonly orders: number;
  /** Per smallest block: order of the block that starts here, with FREE set while it is on a list. */
  private readonly state: Uint8Array;
  private readonly next: Int32Array;
  private readonly prev: Int32Array;
  private readonly heads: Int32Array;
  private used = 0;
  /** 0.1, not 0: keeps V8's representation of the field a double from the start. */
  private released = 0.1;

  /**
   * @param start arena offset of the region
   * @param bytes its size; only whole multiples of `maxBytes` are used
   */
  constructor(start: number, bytes: number, minBytes: number = 4096, maxBytes: number = 8 << 20) {
    if (minBytes & (minBytes - 1) || maxBytes & (maxBytes - 1) || maxBytes < minBytes) {
      throw new RangeError(`block sizes must be powers of two, got ${minBytes} and ${maxBytes}`);
    }
    this.released = 0;
    this.start = start;
    this.minBytes = minBytes;
    this.maxBytes = maxBytes;
    this.minShift = 31 - Math.clz32(minBytes);
    this.orders = 32 - Math.clz32(maxBytes) - this.minShift;
    const roots = Math.floor(bytes / maxBytes);
    const blocks = roots << (this.orders - 1);
    this.state = new Uint8Array(blocks);
    this.next = new Int32Array(blocks);
    this.prev = new Int32Array(blocks);
    this.heads = new Int32Array(this.orders).fill(-1);
    for (let root = roots - 1; root >= 0; root--) this.push(root << (this.orders - 1), this.orders - 1);
  }

  /** Bytes handed out now. */
  get usedBytes(): number {
    return this.used;
  }

  /** Bytes that came back since `eachFree` was last called: the same ones count again. */
  get releasedBytes(): number {
    return this.released;
  }

  /** Size of the block that a request for `bytes` would get. */
  sizeFor(bytes: number): number {
    return bytes <= this.minBytes ? this.minBytes : 1 << (32 - Math.clz32(bytes - 1));
  }

  /** Arena offset of a block of `sizeFor(bytes)` bytes, or -1 when none is free. */
  allocate(bytes: number): number {
    if (bytes > this.maxBytes) return -1;
    const wanted = 31 - Math.clz32(this.sizeFor(bytes)) - this.minShift;
    let order = wanted;
    while (order < this.orders && this.heads[order] === -1) order++;
    if (order === this.orders) return -1;
    const block = this.heads[order] as number;
    this.unlink(block, order);
    while (order > wanted) {
      order--;
      this.push(block + (1 << order), order);
    }
    this.state[block] = wanted;
    this.used += this.minBytes << wanted;
    return this.start + (block << this.minShift);
  }

  /** Gives a block back. Throws RangeError for an offset that `allocate` did not return. */
  release(offset: number): void {
    let block = (offset - this.start) >> this.minShift;
    let order = this.state[block] as number;
    if (order === undefined || order & FREE || this.start + (block << this.minShift) !== offset) {
      throw new RangeError(`offset ${offset} is not an allocated block`);
    }
    this.used -= this.minBytes << order;
    this.released += this.minBytes << order;
    while (order < this.orders - 1) {
      const buddy = block ^ (1 << order);
      if (this.state[buddy] !== (order | FREE)) break;
      this.unlink(buddy, order);
      if (buddy < block) block = buddy;
      order++;
    }
    this.push(block, order);
  }

  /** Walks the free blocks, merged as far as they can be: arena offset and size. */
  eachFree(visit: (offset: number, bytes: number) => void): void {
    this.released = 0;
    for (let order = 0; order < this.orders; order++) {
      for (let block = this.heads[order] as number; block !== -1; block = this.next[block] as number) {
        visit(this.start + (block << this.minShift), this.minBytes << order);
      }
    }
  }

  private push(block: number, order: number): void {
    const head = this.heads[order] as number;
    this.state[block] = order | FREE;
    this.next[block] = head;
    this.prev[block] = -1;
    if (head !== -1) this.prev[head] = block;
    this.heads[order] = block;
  }

  private unlink(block: number, order: number): void {
    const next = this.next[block] as number;
    const prev = this.prev[block] as number;
    if (prev === -1) this.heads[order] = next;
    else this.next[prev] = next;
    if (next !== -1) this.prev[next] = prev;
    this.state[block] = 0;
  }
}
