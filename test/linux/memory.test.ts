import t from "tap";
import { Arena } from "../../src/base/index.js";
import { addressOf, writePointer } from "../../src/linux/ffi.js";

t.test("addressOf refuses every range that is not inside the arena", async t => {
  const arena = new Arena(4096);
  const base = addressOf(arena, 0, 4096);
  t.equal(addressOf(arena, 4096, 0), base + 4096);
  t.equal(addressOf(arena, 100, 8), base + 100);
  for (const [offset, length] of [
    [-1, 1],
    [0, -1],
    [0, 4097],
    [4096, 1],
    [4097, 0],
    [Number.NaN, 1],
    [1, Number.NaN],
    [Number.POSITIVE_INFINITY, 0],
  ] as const) {
    t.throws(() => addressOf(arena, offset, length), RangeError, `${offset}, ${length}`);
  }
});

t.test("addresses of two arenas are not confused, and pointers above 4 GiB are written whole", async t => {
  const a = new Arena(4096);
  const b = new Arena(4096);
  t.not(addressOf(a, 0, 1), addressOf(b, 0, 1));
  t.equal(addressOf(a, 8, 1), addressOf(a, 0, 1) + 8);
  writePointer(a, 16, 0x7fff_ffff_fff8);
  t.equal(a.view.getBigUint64(16, true), 0x7fff_ffff_fff8n);
});
