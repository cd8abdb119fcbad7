/** Memory that goes back once there is little to do. */
import t from "tap";
import { BlockPool, NEVER } from "../../src/base/index.js";
import { Tidier } from "../../src/dataplane/tidier.js";
import { createArena } from "../../src/linux/index.js";

const POOL_BYTES = 16 << 20;

function world() {
  const arena = createArena(32 << 20);
  const pool = new BlockPool(arena.reserve(POOL_BYTES), POOL_BYTES);
  const heap = { bytes: 7 << 20, collections: 0 };
  const tidier = new Tidier(arena, pool, {
    usedBytes: () => heap.bytes,
    limitNursery: () => {},
    compact: () => {
      heap.collections++;
      heap.bytes -= 1 << 20;
    },
  });
  /** Turns of the loop at `now`. */
  const turns = (now: number, count = 1): void => {
    for (let i = 0; i < count; i++) {
      if (tidier.pollAt() <= now) tidier.poll(now);
      tidier.flush(now);
    }
  };
  return { arena, pool, tidier, turns, heap };
}

t.test("what happened is looked at once, and nothing wakes the loop afterwards", async t => {
  const { tidier, turns, heap } = world();
  t.equal(tidier.pollAt(), NEVER);
  heap.bytes += 8 << 20;
  turns(1_000);
  const at = tidier.pollAt();
  t.ok(at > 1_000 && at < NEVER);
  turns(at);
  t.equal(heap.collections, 1);
  t.equal(tidier.pollAt(), NEVER, "its own turn is nothing that happened");
});

t.test("a busy loop is not made to pause", async t => {
  const { tidier, turns, heap } = world();
  let now = 1_000;
  heap.bytes += 8 << 20;
  for (; now < 100_000; now += 10) turns(now);
  t.equal(heap.collections, 0);
  const at = tidier.pollAt();
  t.ok(at > now + 1_000, "not as soon as it is quiet: what spoke last still has to rest");
  turns(at);
  t.equal(heap.collections, 1);
  t.equal(tidier.pollAt(), NEVER);
});

t.test(
  "a heap that has hardly grown is left alone, since the start or since it was collected last",
  async t => {
    const { tidier, turns, heap } = world();
    const look = () => {
      turns(1_000);
      turns(tidier.pollAt());
      return heap.collections;
    };
    heap.bytes += 3 << 20;
    t.equal(look(), 0);
    heap.bytes += 2 << 20;
    t.equal(look(), 1);
    t.equal(look(), 1);
    heap.bytes += 3 << 20;
    t.equal(look(), 1);
    heap.bytes += 2 << 20;
    t.equal(look(), 2);
  },
);

t.test("pages of free blocks go back and read as zeros, those of others stay", async t => {
  const { arena, pool, tidier, turns } = world();
  const kept = pool.allocate(1 << 20);
  const gone = pool.allocate(8 << 20);
  arena.u8.fill(7, kept, kept + (1 << 20));
  arena.u8.fill(7, gone, gone + (8 << 20));
  pool.release(gone);
  turns(1_000);
  turns(tidier.pollAt());
  t.equal(arena.u8[gone + (4 << 20)], 0);
  t.ok(arena.u8.subarray(kept, kept + (1 << 20)).every(byte => byte === 7));
});
