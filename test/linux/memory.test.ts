import { readFileSync } from "node:fs";
import t from "tap";
import { Arena } from "../../src/base/index.js";
import { addressOf, writePointer } from "../../src/linux/ffi.js";
import { adviseDontNeed } from "../../src/linux/index.js";

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

t.test("adviseDontNeed gives whole pages back and leaves the rest alone", async t => {
  const arena = new Arena(64 << 20);
  arena.u8.fill(7);
  const before = residentBytes();
  const given = adviseDontNeed(arena, 5, (64 << 20) - 10);
  t.ok(given >= 60 << 20, `${given} bytes`);
  t.ok(before - residentBytes() > 50 << 20);
  t.equal(arena.u8[4], 7);
  t.equal(arena.u8[(64 << 20) - 3], 7);
  t.equal(arena.u8[32 << 20], 0);
  t.equal(adviseDontNeed(arena, 0, 100), 0);
});

function residentBytes(): number {
  const match = /^VmRSS:\s*(\d+) kB/m.exec(readFileSync("/proc/self/status", "latin1"));
  return Number(match?.[1]) * 1024;
}
