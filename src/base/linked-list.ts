/**
 * Things that come and go by the thousand a second, in the order in which they came, linked through themselves: each is in
 * one list at most.
 *
 * A `Set` would do, but not for its garbage: V8's gets a new table every so many deletions, and the old one points to the
 * new one. Once such a table has been promoted to the old space, all later tables, and whatever was in them, live on until
 * that is collected (docs/decisions/0028-what-connections-leave-behind.md).
 */

/** The links are owned by the list. */
export interface Listed<T extends Listed<T>> {
  listed: LinkedList<T> | null;
  listNext: T | null;
  listPrevious: T | null;
}

export class LinkedList<T extends Listed<T>> implements Iterable<T> {
  count = 0;
  private oldest: T | null = null;
  private newest: T | null = null;

  get first(): T | null {
    return this.oldest;
  }

  /** The item must be in no list. */
  add(item: T): void {
    item.listed = this;
    item.listPrevious = this.newest;
    item.listNext = null;
    if (this.newest === null) this.oldest = item;
    else this.newest.listNext = item;
    this.newest = item;
    this.count++;
  }

  /** False, and no effect, when it is not in this list. */
  remove(item: T): boolean {
    if (item.listed !== this) return false;
    item.listed = null;
    if (item.listPrevious === null) this.oldest = item.listNext;
    else item.listPrevious.listNext = item.listNext;
    if (item.listNext === null) this.newest = item.listPrevious;
    else item.listNext.listPrevious = item.listPrevious;
    item.listPrevious = null;
    item.listNext = null;
    this.count--;
    return true;
  }

  /** Oldest first. Of what a step of the walk removes, it may be the item at hand only. */
  *[Symbol.iterator](): Generator<T> {
    for (let item = this.oldest; item !== null; ) {
      const next: T | null = item.listNext;
      yield item;
      item = next;
    }
  }
}
