/**
 * Deadlines of many objects, checked lazily.
 *
 * An object's `wakeAt` is a lower bound of its next deadline. Moving a deadline *later*, which TCP does with
 * every ACK, costs nothing here: the object is woken at the old time, sees that nothing is due, and schedules
 * itself again. So a busy connection is woken about once per time-out, whatever its packet rate.
 */
import { type Milliseconds, NEVER } from "../base/index.js";

export interface Timed {
  /** Owned by the heap. */
  wakeAt: Milliseconds;
  /** Owned by the heap: -1 while not in it. */
  heapIndex: number;
  /** `wakeAt` has come. Must call `schedule` again for what it still waits for, which must lie after `now`. */
  onWake(now: Milliseconds): void;
}

export class TimerHeap {
  private readonly items: Timed[] = [];

  /** When `poll` is next wanted. */
  get next(): Milliseconds {
    // Not `items[0]` of an empty array: V8 drops a compiled function that reads past an end for the first time.
    return this.items.length === 0 ? NEVER : (this.items[0] as Timed).wakeAt;
  }

  /** Makes sure that `item` is woken at `at` or before. */
  schedule(item: Timed, at: Milliseconds): void {
    if (item.heapIndex === -1) {
      if (at === NEVER) return;
      item.wakeAt = at;
      item.heapIndex = this.items.length;
      this.items.push(item);
      this.siftUp(item);
    } else if (at < item.wakeAt) {
      item.wakeAt = at;
      this.siftUp(item);
    }
  }

  cancel(item: Timed): void {
    const at = item.heapIndex;
    if (at === -1) return;
    item.heapIndex = -1;
    const last = this.items.pop() as Timed;
    if (last === item) return;
    last.heapIndex = at;
    this.items[at] = last;
    this.siftUp(last);
    this.siftDown(last);
  }

  poll(now: Milliseconds): void {
    while (this.items.length > 0) {
      const first = this.items[0] as Timed;
      if (first.wakeAt > now) return;
      this.cancel(first);
      first.onWake(now);
    }
  }

  private siftUp(item: Timed): void {
    let at = item.heapIndex;
    while (at > 0) {
      const parent = this.items[(at - 1) >> 1] as Timed;
      if (parent.wakeAt <= item.wakeAt) break;
      this.put(parent, at);
      at = (at - 1) >> 1;
    }
    this.put(item, at);
  }

  private siftDown(item: Timed): void {
    let at = item.heapIndex;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.items.length) break;
      const right = this.items[child + 1];
      if (right !== undefined && right.wakeAt < (this.items[child] as Timed).wakeAt) child++;
      const smaller = this.items[child] as Timed;
      if (smaller.wakeAt >= item.wakeAt) break;
      this.put(smaller, at);
      at = child;
    }
    this.put(item, at);
  }

  private put(item: Timed, at: number): void {
    this.items[at] = item;
    item.heapIndex = at;
  }
}
