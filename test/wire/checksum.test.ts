import t from "tap";
import { Address, Arena } from "../../src/base/index.js";
import { finishSum, foldSum, sumAddress, sumBytes, sumPseudoHeader, sumWord } from "../../src/wire/index.js";

/** RFC 1071 §4.1, as it stands there. */
function naive(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] as number) << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** Both zeros of one's complement are the same number. */
const same = (a: number, b: number) => a % 0xffff === b % 0xffff;

t.test("RFC 1071 §3: the numerical example", async t => {
  const arena = new Arena(64);
  arena.u8.set([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], 8);
  t.equal(sumBytes(arena, 8, 8), 0xddf2);
  t.equal(finishSum(sumBytes(arena, 8, 8)), 0x220d);
});

t.test("equals the naive sum at every alignment and length", async t => {
  const arena = new Arena(4096);
  let seed = 1;
  for (let i = 0; i < arena.size; i++) {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    arena.u8[i] = seed >>> 24;
  }
  let wrong = 0;
  for (let offset = 0; offset < 8; offset++) {
    for (let length = 0; length < 300; length++) {
      const expected = naive(arena.u8.slice(offset, offset + length));
      if (!same(sumBytes(arena, offset, length), expected)) wrong++;
    }
  }
  t.equal(wrong, 0);
});

t.test("does not overflow: 64 KiB of ones, at odd and even offsets", async t => {
  const arena = new Arena(65_544);
  arena.u8.fill(0xff);
  for (const offset of [0, 1, 2, 3]) t.equal(sumBytes(arena, offset, 65_534), 0xffff);
});

t.test("a known IPv4 header", async t => {
  const arena = new Arena(64);
  const header = [0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7];
  arena.u8.set(header, 3);
  t.equal(finishSum(sumBytes(arena, 3, 20)), 0xb861);
});

t.test("pseudo-headers of both families", async t => {
  for (const [a, b] of [
    ["10.1.2.3", "192.168.255.254"],
    ["2001:db8::1", "fd00:ffff:ffff::abcd"],
  ] as const) {
    const from = Address.from(a);
    const to = Address.from(b);
    const bytes = new Uint8Array(40);
    const used = from.write(bytes, 0) + to.write(bytes, from.bits / 8);
    const expected = naive(Uint8Array.from([...bytes.slice(0, used), 0, 0, 0x12, 0x34, 0, 0, 0, 6]));
    t.ok(same(sumPseudoHeader(sumAddress(from) + sumAddress(to), 6, 0x1234), expected));
  }
});

t.test("RFC 1071 §2: sums of more than 16 bits are folded", async t => {
  t.equal(foldSum(0x1_fffe), 0xffff);
  t.equal(sumWord(0x12345678), 0x68ac);
});
