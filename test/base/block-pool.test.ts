import t from "tap";
import { BlockPool } from "../../src/base/index.js";

t.test("blocks never overlap and merge back to what they were", async t => {
  const pool = new BlockPool(4096, 4 << 20, 4096, 1 << 20);
  let seed = 1;
  const next = () => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return seed >>> 8;
  };
  const live: { offset: number; bytes: number }[] = [];
  for (let step = 0; step < 5000; step++) {
    if (next() % 2 === 0) {
      const bytes = 1 + (next() % 300_000);
      const offset = pool.allocate(bytes);
      if (offset === -1) continue;
      const size = pool.sizeFor(bytes);
      for (const other of live) {
        if (offset < other.offset + other.bytes && other.offset < offset + size) {
          return t.fail(`step ${step}: ${offset}+${size} overlaps ${other.offset}+${other.bytes}`);
        }
      }
      live.push({ offset, bytes: size });
    } else if (live.length > 0) {
      const [gone] = live.splice(next() % live.length, 1);
      pool.release((gone as { offset: number }).offset);
    }
  }
  const held = live.reduce((sum, block) => sum + block.bytes, 0);
  t.equal(pool.usedBytes, held);
  for (const block of live) pool.release(block.offset);
  t.equal(pool.usedBytes, 0);
  for (let i = 0; i < 4; i++) t.not(pool.allocate(1 << 20), -1, "every largest block is whole again");
  t.equal(pool.allocate(1), -1);
  return undefined;
});

t.test("a foreign or freed offset is a bug and says so", async t => {
  const pool = new BlockPool(0, 1 << 20, 4096, 1 << 20);
  const offset = pool.allocate(4096);
  t.throws(() => pool.release(offset + 1), RangeError);
  t.throws(() => pool.release(offset + 8192), RangeError);
  pool.release(offset);
  t.throws(() => pool.release(offset), RangeError);
  t.equal(pool.allocate((1 << 20) + 1), -1);
});

t.test("free blocks are walked as merged, and hold nothing that is handed out", async t => {
  const pool = new BlockPool(4096, 2 << 20, 4096, 1 << 20);
  const held = pool.allocate(4096);
  const gone = pool.allocate(4096);
  pool.release(gone);
  t.equal(pool.releasedBytes, 4096);
  let free = 0;
  pool.eachFree((offset, bytes) => {
    t.ok(offset + bytes <= held || held + 4096 <= offset);
    free += bytes;
  });
  t.equal(free, (2 << 20) - 4096);
  t.equal(pool.releasedBytes, 0);
});
