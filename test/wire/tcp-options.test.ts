import t from "tap";
import {
  TcpOptions,
  writeMss,
  writeSack,
  writeSackPermitted,
  writeTimestamps,
  writeWindowScale,
} from "../../src/wire/index.js";

/** Parses option bytes as they would follow a fixed header. */
function parse(bytes: number[]): TcpOptions {
  const padded = [...new Array<number>(20).fill(0), ...bytes];
  while (padded.length % 4 !== 0) padded.push(0);
  const options = new TcpOptions();
  options.parse(new DataView(Uint8Array.from(padded).buffer), 0, padded.length);
  return options;
}

t.test("a SYN of Linux: MSS, SACK permitted, timestamps, NOP, window scale", async t => {
  const o = parse([2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 1, 3, 3, 7]);
  t.equal(o.mss, 1460);
  t.ok(o.sackPermitted);
  t.equal(o.windowScale, 7);
  t.same([o.hasTimestamps, o.tsValue, o.tsEcho], [true, 256, -1]);
  t.equal(o.sackCount, 0);
});

t.test(
  "RFC 7323 Appendix A: the timestamps-only layout takes the short way, with the same result",
  async t => {
    const short = parse([1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
    const long = parse([8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1]);
    for (const o of [short, long])
      t.same([o.hasTimestamps, o.tsValue, o.tsEcho], [true, 0x01020304, 0x05060708]);
  },
);

t.test("RFC 2018 §3: SACK blocks", async t => {
  const o = parse([1, 1, 5, 18, 0, 0, 0, 1, 0, 0, 0, 2, 0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
  t.equal(o.sackCount, 2);
  t.same([...o.sack.slice(0, 4)], [1, 2, -0x80000000, -1]);
});

t.test("RFC 7323 §2.3: a shift above 14 counts as 14", async t => {
  t.equal(parse([3, 3, 200]).windowScale, 14);
});

t.test("RFC 9293 §3.1: unknown options are skipped, malformed ones end the reading", async t => {
  t.equal(parse([99, 5, 1, 2, 3, 2, 4, 1, 0]).mss, 256);
  t.equal(parse([2, 4, 1, 0, 0, 3, 3, 7]).windowScale, -1, "after end-of-list nothing counts");
  t.equal(parse([3, 3, 7, 99, 0, 2, 4, 1]).windowScale, 7, "length 0");
  t.equal(parse([99, 1, 2, 4, 1, 0]).mss, 0, "length 1");
  t.equal(parse([1, 1, 1, 2]).mss, 0, "cut off after the kind");
  t.equal(parse([8, 10, 0, 0]).hasTimestamps, false, "runs past the header");
  t.equal(parse([2, 3, 1, 1]).mss, 0, "wrong length for its kind");
  t.equal(parse([5, 11, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0]).sackCount, 0, "not whole blocks");
});

t.test("one instance does not remember the last segment", async t => {
  const options = new TcpOptions();
  const bytes = new Uint8Array(64);
  const view = new DataView(bytes.buffer);
  let end = 20 + writeMss(view, 20, 1400);
  end += writeSackPermitted(view, end);
  end += writeTimestamps(view, end, 1, 2);
  end += writeWindowScale(view, end, 9);
  options.parse(view, 0, end);
  t.same([options.mss, options.sackPermitted, options.windowScale, options.tsEcho], [1400, true, 9, 2]);
  end = 20 + writeSack(view, 20, Int32Array.of(5, 6, 7, 8), 2);
  options.parse(view, 0, end);
  t.same(
    [options.mss, options.sackPermitted, options.windowScale, options.hasTimestamps],
    [0, false, -1, false],
  );
  t.same([...options.sack.slice(0, 4)], [5, 6, 7, 8]);
});

t.test("any bytes parse without an exception or an endless loop", async t => {
  let seed = 7;
  const next = () => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return seed >>> 24;
  };
  for (let i = 0; i < 20_000; i++) {
    const o = parse(
      Array.from({ length: next() % 41 }, () => (next() < 128 ? next() % 12 : next())).slice(0, 40),
    );
    if (o.sackCount > 4 || o.windowScale > 14) t.fail("out of range");
  }
});
