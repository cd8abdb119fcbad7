/** Segments that do not fit: RFC 9293 §3.10.7.4 with RFC 5961's defence against guesses. */
import { TCP, withChecksum } from "../packet.js";
import type { Scenario } from "../scenario.js";
import { ECHO, SINK, SOURCE, SOURCE_BYTES } from "../services.js";

export const SEQUENCE: readonly Scenario[] = [
  {
    name: "RST with exactly the right number resets",
    rfc: "5961 §3.2",
    async run(p) {
      await p.open(SINK);
      p.send({ flags: "R" });
      const first = await p.reply();
      p.send();
      return `${first}; ${await p.reply()}`;
    },
    expected: "silence; R 1",
  },
  {
    name: "RST inside the window but not exact gets a challenge ACK",
    rfc: "5961 §3.2",
    async run(p) {
      await p.open(SINK);
      p.send({ flags: "R", seq: 10 });
      return p.reply();
    },
    expected: "A 1 ack 1",
  },
  {
    name: "RST outside of the window is dropped",
    rfc: "5961 §3.2",
    async run(p) {
      await p.open(SINK);
      p.send({ flags: "R", seq: 10_000_000 });
      return p.reply();
    },
    expected: "silence",
  },
  {
    name: "RST below the window is dropped",
    rfc: "5961 §3.2",
    async run(p) {
      await p.open(SINK);
      p.send({ flags: "R", seq: -10 });
      return p.reply();
    },
    expected: "silence",
  },
  {
    name: "the connection outlives a wrong RST",
    rfc: "5961 §3.2",
    async run(p) {
      await p.open(ECHO);
      p.send({ flags: "R", seq: 100 });
      await p.reply();
      p.write("still");
      return (await p.expect("echo", seen => seen.length > 0)).payload;
    },
    expected: "still",
  },
  {
    name: "SYN in the window gets a challenge ACK",
    rfc: "5961 §4.2",
    async run(p) {
      await p.open(SINK);
      p.send({ flags: "S", seq: 100 });
      return p.reply();
    },
    expected: "A 1 ack 1",
  },
  {
    name: "SYN outside of the window gets a challenge ACK",
    rfc: "5961 §4.2",
    async run(p) {
      await p.open(SINK);
      p.send({ flags: "S", seq: 10_000_000 });
      return p.reply();
    },
    expected: "A 1 ack 1",
  },
  {
    name: "SYN-ACK in an established connection gets a challenge ACK",
    rfc: "5961 §4.2",
    async run(p) {
      await p.open(SINK);
      p.send({ flags: "SA", seq: 0 });
      return p.reply();
    },
    expected: "A 1 ack 1",
  },
  {
    name: "challenge ACKs are limited",
    rfc: "5961 §7",
    async run(p) {
      await p.open(SINK);
      for (let i = 0; i < 20; i++) p.send({ flags: "S", seq: 100 + i });
      const answers = await p.replies();
      return answers === "A 1 ack 1" ? "one for 20" : answers;
    },
    expected: "one for 20",
  },
  {
    name: "ACK of something never sent is answered with an ACK",
    rfc: "9293 §3.10.7.4, fifth step",
    async run(p) {
      await p.open(SINK);
      p.send({ ack: 5000 });
      return p.reply();
    },
    expected: "A 1 ack 1",
  },
  {
    name: "data with an ACK of something never sent is dropped",
    rfc: "9293 §3.10.7.4, fifth step",
    async run(p) {
      await p.open(SINK);
      p.send({ ack: 5000, data: "forged" });
      await p.reply();
      // Past the limit on challenge ACKs.
      await p.sleep(700);
      p.send({ seq: 0 });
      return `stands at ${(await p.expect("ACK")).ack}`;
    },
    expected: "stands at 1",
  },
  {
    name: "data with an ACK older than the largest window is dropped",
    rfc: "5961 §5.2",
    async run(p) {
      await p.open(SINK, { window: 1000 });
      p.send({ ack: -100_000, data: "injected" });
      return p.reply();
    },
    expected: "A 1 ack 1",
  },
  {
    name: "data with an old but possible ACK is taken",
    rfc: "9293 §3.10.7.4, fifth step",
    async run(p) {
      await p.open(SOURCE);
      await p.receive(SOURCE_BYTES);
      p.send({ ack: 1000, data: "old ack" });
      p.next += 7;
      p.forget();
      p.send({ seq: 0 });
      return `stands at ${(await p.expect("ACK")).ack}`;
    },
    expected: "stands at 8",
  },
  {
    name: "segment without ACK is dropped",
    rfc: "9293 §3.10.7.4, fifth step",
    async run(p) {
      await p.open(SINK);
      p.send({ flags: "P", data: "no ack" });
      return p.reply();
    },
    expected: "silence",
  },
  {
    name: "segment beyond the window is answered with an ACK",
    rfc: "9293 §3.10.7.4, first step",
    async run(p) {
      await p.open(SINK);
      p.send({ seq: 10_000_000, data: "far" });
      return p.reply();
    },
    expected: "A 1 ack 1",
  },
  {
    name: "segment below the window is answered with an ACK",
    rfc: "9293 §3.10.7.4, first step",
    async run(p) {
      await p.open(SINK);
      p.send({ seq: -100, data: "past" });
      return p.reply();
    },
    expected: "A 1 ack 1",
  },
  {
    name: "keep-alive probe (an old byte) is answered",
    rfc: "9293 §3.8.4",
    async run(p) {
      await p.open(SINK);
      p.send({ seq: 0, data: "x" });
      return p.reply();
    },
    expected: "A 1 ack 1",
  },
  {
    name: "keep-alive probe without a byte is answered",
    rfc: "9293 §3.8.4",
    async run(p) {
      await p.open(SINK);
      p.send({ seq: 0 });
      return p.reply();
    },
    expected: "A 1 ack 1",
  },
  {
    name: "plain ACK that changes nothing is not answered",
    rfc: "9293 §3.10.7.4",
    async run(p) {
      await p.open(SINK);
      p.send();
      return p.reply();
    },
    expected: "silence",
  },
  {
    name: "sequence numbers wrap around 2^32 in the middle of the data",
    rfc: "9293 §3.4",
    async run(p) {
      p.iss = 0xffff_fffb;
      await p.open(ECHO);
      p.write("across the edge");
      const echo = await p.expect("echo", seen => seen.length > 0);
      return `${echo.payload}; ack ${echo.ack}`;
    },
    expected: "across the edge; ack 16",
  },
  {
    name: "urgent data is ordinary data",
    rfc: "6093 §6",
    async run(p) {
      await p.open(ECHO);
      const point = (segment: Buffer): void => {
        segment.writeUInt16BE(3, 18);
        withChecksum({ source: p.address, destination: p.target, protocol: TCP }, segment, 16);
      };
      p.send({ flags: "UPA", data: "urgent", breakTcp: point });
      p.next += 6;
      return (await p.expect("echo", seen => seen.length > 0)).payload;
    },
    expected: "urgent",
    linux: {
      shows: "ur",
      why: "Linux keeps the urgent byte out of the stream unless SO_OOBINLINE is set; 6093 §6 asks for all of it in the stream",
    },
  },
];
