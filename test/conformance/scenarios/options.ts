/** TCP options: RFC 9293 §3.7.1, RFC 7323 §3–5, and bytes that mean nothing. */
import { findOption } from "../packet.js";
import { tell } from "../peer.js";
import type { Scenario } from "../scenario.js";
import { ECHO, SINK, SOURCE } from "../services.js";

export const OPTIONS: readonly Scenario[] = [
  {
    name: "segments follow the peer's MSS",
    rfc: "9293 §3.7.1",
    async run(p) {
      await p.open(SOURCE, { mss: 700 });
      return `${(await p.expect("data", seen => seen.length > 0)).length} bytes`;
    },
    expected: "700 bytes",
  },
  {
    name: "without an MSS option segments have 536 bytes",
    rfc: "9293 §3.7.1 (MUST-15)",
    async run(p) {
      await p.open(SOURCE, { mss: null });
      return `${(await p.expect("data", seen => seen.length > 0)).length} bytes`;
    },
    expected: "536 bytes",
  },
  {
    name: "an MSS above the link's is cut to it",
    rfc: "9293 §3.7.1",
    async run(p) {
      await p.open(SOURCE, { mss: 9000 });
      return `${(await p.expect("data", seen => seen.length > 0)).length} bytes`;
    },
    expected: "1460 bytes",
  },
  {
    name: "timestamps take their room from the segment",
    rfc: "7323 §3.2, 6691 §2",
    async run(p) {
      await p.open(SOURCE, { mss: 1000, timestamps: true });
      return `${(await p.expect("data", seen => seen.length > 0)).length} bytes`;
    },
    expected: "988 bytes",
  },
  {
    name: "an unknown option of a SYN is skipped",
    rfc: "9293 §3.2 (MUST-6)",
    async run(p) {
      await p.open(SOURCE, { mss: null, extra: Buffer.from([253, 6, 1, 2, 3, 4, 2, 4, 3, 232]) });
      return `${(await p.expect("data", seen => seen.length > 0)).length} bytes`;
    },
    expected: "1000 bytes",
  },
  {
    name: "an option of length 0 ends the options, the segment counts",
    rfc: "9293 §3.2 (MUST-7)",
    async run(p) {
      p.syn(SINK, { extra: Buffer.from([253, 0, 0, 0]) });
      return p.reply();
    },
    expected: "SA 0 ack 1",
  },
  {
    name: "an option longer than the header is not read past it",
    rfc: "9293 §3.2 (MUST-7)",
    async run(p) {
      p.syn(SINK, { extra: Buffer.from([253, 40, 0, 0]) });
      return p.reply();
    },
    expected: "SA 0 ack 1",
  },
  {
    name: "an option whose length byte is cut off",
    rfc: "9293 §3.2 (MUST-7)",
    async run(p) {
      p.syn(SINK, { extra: Buffer.from([1, 1, 1, 253]) });
      return p.reply();
    },
    expected: "SA 0 ack 1",
  },
  {
    name: "no timestamps for who did not offer them",
    rfc: "7323 §3.2",
    async run(p) {
      const answer = await p.open(SINK);
      return findOption(answer.fields.options, 8) === null ? "none" : "offered";
    },
    expected: "none",
  },
  {
    name: "the SYN-ACK echoes the SYN's timestamp",
    rfc: "7323 §3.2",
    async run(p) {
      const answer = await p.open(SINK, { timestamps: true });
      return `echo ${findOption(answer.fields.options, 8)?.readUInt32BE(4)}`;
    },
    expected: "echo 10000",
  },
  {
    name: "ACKs echo the timestamp of the segment that advanced the window",
    rfc: "7323 §4.3",
    async run(p) {
      await p.open(SINK, { timestamps: true });
      p.tsValue = 10_500;
      p.write("hello");
      const answer = await p.expect("ACK", seen => seen.ack === 6);
      return `echo ${findOption(answer.fields.options, 8)?.readUInt32BE(4)}`;
    },
    expected: "echo 10500",
  },
  {
    name: "out of order does not change the echoed timestamp",
    rfc: "7323 §4.3",
    async run(p) {
      await p.open(SINK, { timestamps: true });
      p.tsValue = 10_500;
      p.send({ seq: 100, data: "ahead" });
      const answer = await p.expect("ACK");
      return `echo ${findOption(answer.fields.options, 8)?.readUInt32BE(4)}`;
    },
    expected: "echo 10000",
  },
  {
    name: "PAWS: a segment with an older timestamp is acknowledged and dropped",
    rfc: "7323 §5.3 R1",
    async run(p) {
      await p.open(SINK, { timestamps: true });
      p.tsValue = 9_000;
      p.send({ data: "from the past" });
      return p.reply();
    },
    expected: "A 1 ack 1",
  },
  {
    name: "PAWS does not keep a RST out",
    rfc: "7323 §5.2",
    async run(p) {
      await p.open(SINK, { timestamps: true });
      p.tsValue = 9_000;
      p.send({ flags: "R" });
      await p.fence();
      p.forget();
      p.tsValue = 11_000;
      p.send();
      return p.reply();
    },
    expected: "R 1",
  },
  {
    name: "PAWS: timestamps wrap around 2^32",
    rfc: "7323 §5.2",
    async run(p) {
      p.tsValue = 0xffff_ff00;
      await p.open(ECHO, { timestamps: true });
      p.tsValue = 50;
      p.write("wrapped");
      return (await p.expect("echo", seen => seen.length > 0)).payload;
    },
    expected: "wrapped",
  },
  {
    name: "segment without the agreed timestamps",
    rfc: "7323 §3.2",
    async run(p) {
      await p.open(SINK, { timestamps: true });
      p.send({ data: "bare", options: Buffer.alloc(0) });
      return p.reply();
    },
    expected: "A 1 ack 5",
  },
  {
    name: "SACK-permitted is offered to who did",
    rfc: "2018 §2",
    async run(p) {
      const answer = await p.open(SINK, { sack: true });
      return findOption(answer.fields.options, 4) === null ? "none" : "offered";
    },
    expected: "offered",
  },
  {
    name: "an unknown option on data is skipped",
    rfc: "9293 §3.2 (MUST-6)",
    async run(p) {
      await p.open(SINK);
      p.send({ data: "hello", options: Buffer.from([253, 4, 0, 0]) });
      return tell(await p.expect("ACK"));
    },
    expected: "A 1 ack 6",
  },
];
