/** Bytes in every order (RFC 9293 §3.10.7.4, seventh step), and repairs in the other direction. */
import { findOption, sack } from "../packet.js";
import { type Peer, tell } from "../peer.js";
import type { Scenario } from "../scenario.js";
import { ECHO, SINK, SOURCE } from "../services.js";

/** The blocks of the last segment that came, relative. */
function blocks(p: Peer): string {
  const content = findOption(p.all.at(-1)!.fields.options, 5);
  if (content === null) return "no SACK";
  const edges: number[] = [];
  for (let i = 0; i < content.length; i += 4) edges.push((content.readUInt32BE(i) - p.iss) | 0);
  return `SACK ${edges.join(",")}`;
}

/** Text that came, in order, once the target has echoed `bytes`. */
async function echoed(p: Peer, bytes: number): Promise<string> {
  let text = "";
  while (text.length < bytes) {
    const seen = await p.expect(`echo from ${p.got}`, one => one.length > 0 && one.seq === p.got);
    text += seen.payload;
    p.got += seen.length;
    p.send();
  }
  return text;
}

export const DATA: readonly Scenario[] = [
  {
    name: "data is acknowledged",
    rfc: "9293 §3.10.7.4, seventh step",
    async run(p) {
      await p.open(SINK);
      p.write("hello");
      return p.reply();
    },
    expected: "A 1 ack 6",
  },
  {
    name: "data is echoed",
    rfc: "9293 §3.8",
    async run(p) {
      await p.open(ECHO);
      p.write("hello");
      return echoed(p, 5);
    },
    expected: "hello",
  },
  {
    name: "second of two segments first: a duplicate ACK at once",
    rfc: "5681 §4.2",
    async run(p) {
      await p.open(SINK);
      p.send({ seq: 6, data: "world" });
      return p.reply();
    },
    expected: "A 1 ack 1",
  },
  {
    name: "a filled gap is acknowledged to its end, at once",
    rfc: "5681 §4.2",
    async run(p) {
      await p.open(SINK);
      p.send({ seq: 6, data: "world" });
      await p.reply();
      p.send({ seq: 1, data: "hello" });
      return p.reply();
    },
    expected: "A 1 ack 11",
  },
  {
    name: "out of order is delivered in order",
    rfc: "9293 §3.10.7.4, seventh step",
    async run(p) {
      await p.open(ECHO);
      p.send({ seq: 7, data: "ghi" });
      p.send({ seq: 4, data: "def" });
      p.send({ seq: 1, data: "abc" });
      p.next = 10;
      return echoed(p, 9);
    },
    expected: "abcdefghi",
  },
  {
    name: "a repeated segment is acknowledged and not delivered twice",
    rfc: "9293 §3.10.7.4, first step",
    async run(p) {
      await p.open(ECHO);
      p.write("once");
      await echoed(p, 4);
      p.send({ seq: 1, data: "once" });
      const answer = await p.reply();
      p.write("!");
      return `${answer}; ${await echoed(p, 1)}`;
    },
    expected: "A 5 ack 5; !",
  },
  {
    name: "overlap with what was acknowledged: only the new part counts",
    rfc: "9293 §3.10.7.4, seventh step",
    async run(p) {
      await p.open(ECHO);
      p.write("abcd");
      await echoed(p, 4);
      p.send({ seq: 3, data: "XXef" });
      p.next = 7;
      return echoed(p, 2);
    },
    expected: "ef",
  },
  {
    name: "overlap of two pieces ahead is put together without a gap",
    rfc: "9293 §3.10.7.4, seventh step",
    async run(p) {
      await p.open(ECHO);
      p.send({ seq: 4, data: "defg" });
      p.send({ seq: 6, data: "fghi" });
      p.send({ seq: 1, data: "abc" });
      p.next = 10;
      return echoed(p, 9);
    },
    expected: "abcdefghi",
  },
  {
    name: "segment that straddles the right edge is cut there",
    rfc: "9293 §3.10.7.4, first step",
    async run(p) {
      const { window } = await p.open(SINK);
      // The part inside of the window is ahead of RCV.NXT, so only a SACK-less ACK can come.
      p.send({ seq: 1 + window - 4, data: "inside and outside" });
      return p.reply();
    },
    expected: "A 1 ack 1",
  },
  {
    name: "SACK tells of what came out of order",
    rfc: "2018 §4",
    async run(p) {
      await p.open(SINK, { sack: true });
      p.send({ seq: 101, data: "x".repeat(50) });
      await p.reply();
      return blocks(p);
    },
    expected: "SACK 101,151",
  },
  {
    name: "SACK: the block that came last stands first",
    rfc: "2018 §4",
    async run(p) {
      await p.open(SINK, { sack: true });
      p.send({ seq: 101, data: "x".repeat(10) });
      p.send({ seq: 301, data: "x".repeat(10) });
      p.send({ seq: 201, data: "x".repeat(10) });
      await p.replies();
      return blocks(p);
    },
    expected: "SACK 201,211,301,311,101,111",
  },
  {
    name: "SACK: adjacent blocks become one",
    rfc: "2018 §4",
    async run(p) {
      await p.open(SINK, { sack: true });
      p.send({ seq: 101, data: "x".repeat(10) });
      p.send({ seq: 121, data: "x".repeat(10) });
      p.send({ seq: 111, data: "x".repeat(10) });
      await p.replies();
      return blocks(p);
    },
    expected: "SACK 101,131",
  },
  {
    name: "no SACK when it was not agreed",
    rfc: "2018 §2",
    async run(p) {
      await p.open(SINK);
      p.send({ seq: 101, data: "x".repeat(10) });
      await p.reply();
      return blocks(p);
    },
    expected: "no SACK",
  },
  {
    name: "DSACK reports a repeated segment",
    rfc: "2883 §4.1.1",
    async run(p) {
      await p.open(SINK, { sack: true });
      p.write("x".repeat(10));
      await p.reply();
      p.send({ seq: 1, data: "x".repeat(10) });
      await p.reply();
      return blocks(p);
    },
    expected: "SACK 1,11",
  },
  {
    name: "DSACK for a repeated segment out of order stands before its block",
    rfc: "2883 §4.2",
    async run(p) {
      await p.open(SINK, { sack: true });
      p.send({ seq: 101, data: "x".repeat(20) });
      await p.reply();
      p.send({ seq: 101, data: "x".repeat(20) });
      await p.reply();
      return blocks(p);
    },
    expected: "SACK 101,121,101,121",
  },
  {
    name: "the initial window is ten segments",
    rfc: "6928 §2",
    async run(p) {
      await p.open(SOURCE, { mss: 1000 });
      await p.expect("data", seen => seen.length > 0);
      await p.replies();
      const data = p.all.filter(seen => seen.length > 0);
      // Up to where the first retransmission or probe begins.
      const again = data.findIndex((seen, i) => data.findIndex(one => one.seq === seen.seq) < i);
      return `${again === -1 ? data.length : again} segments`;
    },
    expected: "10 segments",
  },
  {
    name: "unacknowledged data is sent again",
    rfc: "6298 §5",
    async run(p) {
      await p.open(ECHO);
      p.write("again");
      await p.expect("echo", seen => seen.length === 5);
      return tell(await p.expect("echo again", seen => seen.length === 5));
    },
    expected: "A 1+5 ack 6",
  },
  {
    name: "three duplicate ACKs bring the first segment again, before the time-out",
    rfc: "5681 §3.2",
    async run(p) {
      await p.open(SOURCE, { mss: 1000 });
      await p.expect("ten segments", seen => seen.seq === 9001);
      for (let i = 0; i < 3; i++) p.send();
      return tell(await p.expect("retransmission", seen => seen.seq === 1));
    },
    expected: "A 1+1000 ack 1",
  },
  {
    name: "SACK recovery repeats only the hole",
    rfc: "6675 §5, 8985",
    async run(p) {
      await p.open(SOURCE, { mss: 1000, sack: true });
      await p.expect("ten segments", seen => seen.seq === 9001);
      const at = (n: number): number => p.irs + n;
      p.got = 1001;
      p.send();
      for (let n = 3; n <= 9; n++) p.send({ options: sack(at(2001), at(n * 1000 + 1)) });
      await p.fence();
      await p.sleep(50);
      const before = p.all.filter(seen => seen.seq === 1001).length;
      const others = p.all.filter(seen => seen.seq >= 2001 && seen.seq < 9001).length;
      return `${before - 1} retransmission of the hole, ${others - 7} of what was SACKed`;
    },
    expected: "1 retransmission of the hole, 0 of what was SACKed",
  },
  {
    name: "partial ACK brings the next hole",
    rfc: "6582 §3.2",
    async run(p) {
      await p.open(SOURCE, { mss: 1000 });
      await p.expect("ten segments", seen => seen.seq === 9001);
      for (let i = 0; i < 4; i++) p.send();
      await p.expect("first again", seen => seen.seq === 1);
      p.got = 1001;
      p.send();
      return tell(await p.expect("second again", seen => seen.seq === 1001));
    },
    expected: "A 1001+1000 ack 1",
  },
  {
    name: "every second full segment is acknowledged at once",
    rfc: "5681 §4.2",
    async run(p) {
      await p.open(SINK);
      for (let i = 0; i < 30; i++) {
        p.write(Buffer.alloc(1460));
        p.write(Buffer.alloc(1460));
        await p.expect("ACK", seen => seen.ack === p.next);
      }
      return "acknowledged";
    },
    expected: "acknowledged",
  },
  {
    name: "a lone small segment is acknowledged within 500 ms",
    rfc: "5681 §4.2",
    async run(p) {
      await p.open(SINK);
      for (let i = 0; i < 20; i++) {
        p.write("x");
        await p.expect("ACK", seen => seen.ack === p.next);
      }
      const at = performance.now();
      p.write("x");
      await p.expect("ACK", seen => seen.ack === p.next);
      return performance.now() - at < 500 ? "in time" : "too late";
    },
    expected: "in time",
  },
];
