/**
 * When each peer next needs attention: a binary heap of wake-up times.
 *
 * A wake-up may be too early but never too late. So a deadline that moves back, as it does with every
 * packet, costs nothing: the peer is woken at the old time, finds nothing due, and is filed anew.
 */
import { type Milliseconds, NEVER } from "../base/index.js";

/** What the heap holds; both fields are the heap's. */
export interface Scheduled {
  wakeAt: Milliseconds;
  heapSlot: number;
}

export class Schedule<T extends Scheduled> {
  private readonly heap: T[] = [];

  /** Earliest wake-up, or NEVER. */
  get next(): Milliseconds {
    return this.heap.length === 0 ? NEVER : (this.heap[0] as T).wakeAt;
  }

  /** Takes the first entry out if it is due. */
  takeDue(now: Milliseconds): T | null {
    const first = this.heap[0];
    if (first === undefined || first.wakeAt > now) return null;
    this.remove(first);
    return first;
  }

  /** Wakes `item` at `at` or earlier. */
  wakeBy(item: T, at: Milliseconds): void {
    if (at >= item.wakeAt) return;
    item.wakeAt = at;
    if (item.heapSlot === -1) {
      item.heapSlot = this.heap.length;
      this.heap.push(item);
    }
    this.up(item, item.heapSlot);
  }

  remove(item: T): void {
    const slot = item.heapSlot;
    if (slot === -1) return;
    const last = this.heap.pop() as T;
    if (last !== item) {
      this.place(last, slot);
      this.up(last, slot);
      this.down(last, last.heapSlot);
    }
    item.heapSlot = -1;
    item.wakeAt = NEVER;
  }

  private up(item: T, from: number): void {
    let slot = from;
    while (slot > 0) {
      const parent = this.heap[(slot - 1) >> 1] as T;
      if (parent.wakeAt <= item.wakeAt) break;
      this.place(parent, slot);
      slot = (slot - 1) >> 1;
    }
    this.place(item, slot);
  }

  private down(item: T, from: number): void {
    let slot = from;
    for (;;) {
      let child = 2 * slot + 1;
      if (child >= this.heap.length) break;
      const right = this.heap[child + 1];
      if (right !== undefined && right.wakeAt < (this.heap[child] as T).wakeAt) child++;
      const smaller = this.heap[child] as T;
      if (smaller.wakeAt >= item.wakeAt) break;
      this.place(smaller, slot);
      slot = child;
    }
    this.place(item, slot);
  }

  private place(item: T, slot: number): void {
    this.heap[slot] = item;
    item.heapSlot = slot;
  }
}
