/**
 * Receiver indices: random 32-bit numbers that tell an incoming message's owner (paper §5.4.2, I_i and I_r).
 *
 * An open-addressed table from integer to owner, so that a lookup is a multiplication and a comparison.
 * With several workers the top bits carry the worker's number, for whoever steers datagrams to it.
 */
import type { Random } from "../base/index.js";

const INITIAL_SLOTS = 16;

export class IndexTable<T> {
  private readonly random: Random;
  private readonly workerId: number;
  private readonly workerBits: number;
  private keys: Int32Array = new Int32Array(INITIAL_SLOTS);
  private owners: (T | null)[] = new Array<T | null>(INITIAL_SLOTS).fill(null);
  private shift: number = 32 - Math.log2(INITIAL_SLOTS);
  private used = 0;

  constructor(random: Random, worker: { id: number; bits: number } = { id: 0, bits: 0 }) {
    const { id, bits } = worker;
    if (
      !Number.isInteger(bits) ||
      bits < 0 ||
      bits > 16 ||
      !Number.isInteger(id) ||
      id < 0 ||
      id >= 1 << bits
    ) {
      throw new RangeError(`worker ${id} does not fit ${bits} bits (at most 16)`);
    }
    this.random = random;
    this.workerId = id;
    this.workerBits = bits;
  }

  get size(): number {
    return this.used;
  }

  /** A fresh index for `owner`, as a signed 32-bit integer. */
  allocate(owner: T): number {
    if (2 * (this.used + 1) > this.owners.length) this.grow();
    for (;;) {
      const index = this.candidate();
      if (this.get(index) === null) {
        this.insert(index, owner);
        this.used++;
        return index;
      }
    }
  }

  get(index: number): T | null {
    const { keys, owners } = this;
    const mask = owners.length - 1;
    for (let slot = this.home(index); ; slot = (slot + 1) & mask) {
      const owner = owners[slot] as T | null;
      if (owner === null || keys[slot] === index) return owner;
    }
  }

  release(index: number): void {
    const { keys, owners } = this;
    const mask = owners.length - 1;
    let hole = this.home(index);
    while (owners[hole] !== null && keys[hole] !== index) hole = (hole + 1) & mask;
    if (owners[hole] === null) return;
    this.used--;
    // Entries that were pushed past the hole move back into it, so that lookups need no tombstones.
    for (let slot = (hole + 1) & mask; owners[slot] !== null; slot = (slot + 1) & mask) {
      const displacement = (slot - this.home(keys[slot] as number)) & mask;
      if (displacement < ((slot - hole) & mask)) continue;
      keys[hole] = keys[slot] as number;
      owners[hole] = owners[slot] as T;
      hole = slot;
    }
    owners[hole] = null;
  }

  private candidate(): number {
    const bits = this.workerBits;
    const random = this.random.uint32();
    return bits === 0 ? random | 0 : (this.workerId << (32 - bits)) | (random >>> bits);
  }

  private home(index: number): number {
    return Math.imul(index, 0x9e3779b1) >>> this.shift;
  }

  private insert(index: number, owner: T): void {
    const mask = this.owners.length - 1;
    let slot = this.home(index);
    while (this.owners[slot] !== null) slot = (slot + 1) & mask;
    this.keys[slot] = index;
    this.owners[slot] = owner;
  }

  private grow(): void {
    const { keys, owners } = this;
    this.keys = new Int32Array(owners.length * 2);
    this.owners = new Array<T | null>(owners.length * 2).fill(null);
    this.shift--;
    for (let slot = 0; slot < owners.length; slot++) {
      const owner = owners[slot] as T | null;
      if (owner !== null) this.insert(keys[slot] as number, owner);
    }
  }
}
