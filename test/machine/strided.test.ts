/** What machine code does with ranges at equal distances, beside the same done without. */
import t from "tap";
import { Arena, BlockPool, PlainStrided, Ring } from "../../src/base/index.js";
import { lookAtProcessor, useNativeStrided } from "../../src/machine/index.js";
import { Prng } from "../netstack/sim/prng.js";

const ARENA_BYTES = 1 << 18;
const FIRST_SOURCE = 1 << 17;

function pair(): { plain: Arena; native: Arena } {
  const [plain, native] = [new Arena(ARENA_BYTES), new Arena(ARENA_BYTES)];
  useNativeStrided(native);
  for (const arena of [plain, native]) for (let i = 0; i < ARENA_BYTES; i++) arena.u8[i] = i ^ (i >> 7);
  return { plain, native };
}

const same = (one: Arena, other: Arena): boolean => Buffer.compare(one.u8, other.u8) === 0;

t.test("there is one wherever the processor has the vectors", async t => {
  const { native } = pair();
  t.equal(native.strided instanceof PlainStrided, lookAtProcessor() === null);
});

t.test("copies of each length, and what lies around stays", async t => {
  const { plain, native } = pair();
  for (let bytes = 0; bytes <= 700; bytes++) {
    const [target, source] = [64 + (bytes & 63), FIRST_SOURCE + (bytes & 31)];
    for (const arena of [plain, native]) arena.strided.copy(target, bytes + 5, source, bytes + 40, bytes, 3);
    t.ok(same(native, plain), `${bytes} bytes`);
  }
});

t.test("any number of copies at any distances, also none between them, and from one source", async t => {
  const { plain, native } = pair();
  const random = new Prng(7);
  for (let round = 0; round < 500; round++) {
    const bytes = random.between(1, 1500);
    const count = random.between(0, 50);
    const target = random.between(0, 999);
    const source = FIRST_SOURCE + random.between(0, 999);
    const stride = random.between(0, 1) * (bytes + random.between(0, 99));
    for (const arena of [plain, native])
      arena.strided.copy(target, bytes + (round & 63), source, stride, bytes, count);
    t.ok(same(native, plain), `round ${round}`);
  }
});

t.test("the first range that differs, wherever it does", async t => {
  const { plain, native } = pair();
  const [model, at, most] = [FIRST_SOURCE + 3, 1001, 12];
  for (let bytes = 0; bytes <= 80; bytes++) {
    const stride = bytes + 7;
    for (const { u8, strided } of [plain, native]) {
      strided.copy(at, stride, model, 0, bytes, most);
      t.equal(strided.countEqual(model, at, stride, bytes, most), most, `all, ${bytes} bytes`);
      t.equal(strided.countEqual(model, at, stride, bytes, 0), 0, `none, ${bytes} bytes`);
      for (let byte = 0; byte < bytes; byte++) {
        const range = (byte * 5 + bytes) % most;
        const place = at + range * stride + byte;
        u8[place] = (u8[place] as number) ^ (1 << (byte & 7));
        t.equal(strided.countEqual(model, at, stride, bytes, most), range, `byte ${byte} of ${bytes}`);
        u8[place] = (u8[place] as number) ^ (1 << (byte & 7));
      }
    }
  }
});

t.test("nothing outside of the arena is read or written", async t => {
  for (const { u8, strided } of Object.values(pair())) {
    const before = u8.slice();
    const last = ARENA_BYTES - 100;
    t.throws(() => strided.copy(-1, 100, 0, 100, 100, 2), RangeError);
    t.throws(() => strided.copy(0, 100, -1, 100, 100, 2), RangeError);
    t.throws(() => strided.copy(0, 100, last, 1, 100, 2), RangeError);
    t.throws(() => strided.copy(last, 1, 0, 100, 100, 2), RangeError);
    t.throws(() => strided.copy(0, Number.NaN, 0, 100, 100, 2), RangeError);
    t.throws(() => strided.countEqual(last + 1, 0, 100, 100, 2), RangeError);
    t.throws(() => strided.countEqual(0, last, 1, 100, 2), RangeError);
    t.throws(() => strided.countEqual(0, -1, 1, 100, 2), RangeError);
    t.same(u8, before);
  }
});

t.test("a ring takes pieces in, around its end as well", async t => {
  const { native } = pair();
  const length = 1380;
  const pool = new BlockPool(0, 1 << 16, 4096, 1 << 14);
  const ring = new Ring(native, pool, 1 << 14);
  const random = new Prng(3);
  let wrapped = 0;
  for (let round = 0; round < 200; round++) {
    const count = random.between(1, 11);
    const from = ring.tail;
    const source = FIRST_SOURCE + random.between(0, 1999);
    t.equal(ring.placeSeveral(source, length, length + 40, count), count);
    ring.advance(count * length);
    for (let i = 0; i < count; i++) {
      const position = (from + i * length) | 0;
      const piece = source + i * (length + 40);
      if (ring.contiguous(position, length) < length) wrapped++;
      const text = native.u8.slice(piece, piece + length);
      const placed = text.map((_, byte) => native.u8[ring.offsetOf((position + byte) | 0)] as number);
      t.same(placed, text, `round ${round}, piece ${i}`);
    }
    ring.consume(ring.length - random.between(0, 2));
  }
  t.ok(wrapped > 20, `${wrapped} pieces around the end`);
});
