import t from "tap";
import { Arena, BlockPool, Ring, type RingReader, type RingWriter } from "../../src/base/index.js";

/** Small deterministic generator: tests must not depend on luck. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state;
  };
}

function setUp(
  limit: number,
  poolBytes: number = 8 << 20,
): { arena: Arena; pool: BlockPool; ring: Ring; scratch: number } {
  const arena = new Arena(poolBytes + (1 << 20));
  const scratch = arena.reserve(1 << 20);
  const pool = new BlockPool(arena.reserve(poolBytes), poolBytes, 4096, 1 << 20);
  return { arena, pool, ring: new Ring(arena, pool, limit), scratch };
}

/** The byte that belongs at stream position `p`. */
const byteAt = (p: number): number => (p * 31 + (p >> 8) * 7) & 255;

t.test("an empty ring holds no memory, before and after use", async t => {
  const { pool, ring, scratch } = setUp(64 << 10);
  t.equal(pool.usedBytes, 0);
  t.ok(ring.write(scratch, 100));
  t.equal(pool.usedBytes, 4096);
  ring.consume(100);
  t.equal(pool.usedBytes, 0);
});

t.test("room that was prepared for nothing goes back; bytes and islands keep theirs", async t => {
  const { pool, ring, scratch } = setUp(256 << 10);
  t.equal(ring.prepare(128 << 10), 128 << 10);
  t.equal(pool.usedBytes, 128 << 10);
  ring.releaseUnused();
  t.equal(pool.usedBytes, 0);
  t.ok(ring.place(50, scratch, 10));
  ring.releaseUnused();
  t.not(pool.usedBytes, 0, "an island waits for what is before it");
  t.ok(ring.write(scratch, 60));
  ring.releaseUnused();
  t.not(pool.usedBytes, 0);
  ring.consume(60);
  t.equal(pool.usedBytes, 0);
});

t.test("random writes ahead, advances and reads keep every byte in place", async t => {
  const next = generator(7);
  for (let round = 0; round < 20; round++) {
    const { arena, pool, ring, scratch } = setUp(1 << (12 + (round % 6)));
    // Near the wrap of the 32-bit position.
    ring.head = ring.tail = round % 2 === 0 ? -5000 | 0 : 0;
    (ring as unknown as { extent: number }).extent = ring.tail;
    let ahead = 0;
    for (let step = 0; step < 2000; step++) {
      const action = next() % 3;
      if (action === 0) {
        const gap = ahead;
        const length = Math.min(1 + (next() % 3000), ring.space - gap);
        if (length <= 0) continue;
        for (let i = 0; i < length; i++) arena.u8[scratch + i] = byteAt((ring.tail + gap + i) | 0);
        if (!ring.place(gap, scratch, length)) t.fail("a placement within the limit was refused");
        ahead = gap + length;
      } else if (action === 1 && ahead > 0) {
        const length = 1 + (next() % ahead);
        ring.advance(length);
        ahead -= length;
      } else if (ring.length > 0) {
        const length = 1 + (next() % ring.length);
        ring.copyOut(ring.head, scratch, length);
        for (let i = 0; i < length; i++) {
          if (arena.u8[scratch + i] !== byteAt((ring.head + i) | 0)) {
            t.fail(`byte ${i} of round ${round}, step ${step} is wrong`);
            return;
          }
        }
        ring.consume(length);
      }
    }
    ring.advance(ahead);
    ring.consume(ring.length);
    t.equal(pool.usedBytes, 0, `round ${round} gives all memory back`);
  }
});

t.test("the limit bounds what is placed", async t => {
  const { ring, scratch } = setUp(10_000);
  t.ok(ring.write(scratch, 10_000));
  t.equal(ring.space, 0);
  t.notOk(ring.write(scratch, 1));
  t.equal(ring.prepare(5), 0);
  ring.consume(4000);
  t.equal(ring.space, 4000);
  t.notOk(ring.place(1, scratch, 4000));
  t.ok(ring.place(0, scratch, 4000));
});

t.test("prepare hands out contiguous room that advance makes readable", async t => {
  const { arena, ring, scratch } = setUp(8192);
  ring.write(scratch, 5000);
  ring.consume(4990);
  let total = 0;
  while (total < 8000) {
    const room = ring.prepare(8000 - total);
    t.ok(room > 0);
    for (let i = 0; i < room; i++) arena.u8[ring.writeOffset + i] = byteAt(total + i);
    ring.advance(room);
    total += room;
  }
  ring.copyOut((ring.head + 10) | 0, scratch, 8000);
  for (let i = 0; i < 8000; i++) if (arena.u8[scratch + i] !== byteAt(i)) return t.fail(`byte ${i}`);
  t.equal(ring.space, 8192 - 8010);
  return undefined;
});

t.test("an exhausted pool refuses the write and leaves the ring as it was", async t => {
  const { ring, pool, arena, scratch } = setUp(1 << 20, 1 << 20);
  const other = new Ring(arena, pool, 1 << 20);
  t.ok(other.write(scratch, 600_000));
  t.notOk(ring.write(scratch, 100));
  t.equal(ring.length, 0);
  t.equal(ring.prepare(100), 0);
  other.consume(600_000);
  t.ok(ring.write(scratch, 100));
});

t.test("finish and abort reach the ends once", async t => {
  const { ring, pool, scratch } = setUp(8192);
  const seen: string[] = [];
  const reader: RingReader = {
    onRingData: () => seen.push("data"),
    onRingAborted: () => seen.push("reader aborted"),
  };
  const writer: RingWriter = {
    onRingSpace: () => seen.push("space"),
    onRingAborted: () => seen.push("writer aborted"),
  };
  ring.reader = reader;
  ring.writer = writer;
  ring.write(scratch, 10);
  ring.consume(5);
  ring.finish();
  ring.finish();
  ring.abort();
  ring.abort();
  t.same(seen, ["data", "space", "data", "reader aborted", "writer aborted"]);
  t.equal(pool.usedBytes, 0);
});

t.test("a ring that is never quite empty shrinks to what it needs, every byte in its place", async t => {
  const { arena, pool, ring, scratch } = setUp(256 << 10);
  let written = 0;
  let read = 0;
  const write = (length: number): void => {
    for (let i = 0; i < length; i++) arena.u8[scratch + i] = byteAt(written + i);
    if (!ring.write(scratch, length)) t.fail("no room");
    written += length;
  };
  const take = (length: number): void => {
    ring.copyOut(ring.head, scratch, length);
    for (let i = 0; i < length; i++) {
      if (arena.u8[scratch + i] !== byteAt(read + i)) t.fail(`byte ${read + i}`);
    }
    ring.consume(length);
    read += length;
  };
  write(200_000);
  take(199_990);
  t.equal(ring.heldBytes, 256 << 10);
  for (let step = 0; step < 10_000; step++) {
    write(100);
    take(100);
  }
  t.equal(ring.heldBytes, 4096);
  write(100_000);
  t.equal(ring.heldBytes, 128 << 10, "and grows again");
  take(100_010);
  t.equal(pool.usedBytes, 0);
});

t.test("what a burst needed is not insisted on when the pool is short", async t => {
  const { pool, ring, scratch } = setUp(1 << 20, 1 << 20);
  t.ok(ring.write(scratch, 600 << 10));
  ring.consume(600 << 10);
  const other = pool.allocate(512 << 10);
  t.not(other, -1);
  t.ok(ring.write(scratch, 100));
  t.equal(ring.heldBytes, 4096);
});
