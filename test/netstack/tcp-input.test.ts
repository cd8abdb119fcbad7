/** RFC 9293 §3.10.7.4 steps one to five, RFC 5961, RFC 7323 §5: which segments count at all. */
import t from "tap";
import { RawPeer } from "./raw-peer.js";

function established(options: Parameters<RawPeer["establish"]>[0] = { sack: true }): RawPeer {
  const peer = new RawPeer();
  peer.establish(options);
  return peer;
}

t.test("first step: text below the window is answered with an ACK and dropped", async t => {
  const peer = established();
  peer.send({ flags: ".", seq: 1, ack: 1, data: "abc" });
  peer.sent();
  peer.send({ flags: ".", seq: 1, ack: 1, data: "abc" });
  const ack = peer.only();
  t.equal(ack.ack, 4);
  t.same(ack.sack, [[1, 4]], "RFC 2883 §4.1.1: with a DSACK");
  t.equal(peer.text(), "abc");
});

t.test("first step: text beyond the window is answered with an ACK and dropped", async t => {
  const peer = established();
  peer.send({ flags: ".", seq: 1 + 65_535 + 10, ack: 1, data: "abc" });
  t.same(peer.lines(), [". 1:1 ack 1"]);
  t.equal(peer.stack.counters.tcpOutOfWindow, 1);
});

t.test("first step: a segment that straddles RCV.NXT gives its new part", async t => {
  const peer = established();
  peer.send({ flags: ".", seq: 1, ack: 1, data: "abcd" });
  peer.send({ flags: ".", seq: 3, ack: 1, data: "cdef" });
  t.equal(peer.text(), "abcdef");
});

t.test("RFC 5961 §3: RST counts only at exactly RCV.NXT", async t => {
  const peer = established();
  peer.send({ flags: "R", seq: 100 });
  t.same(peer.lines(), [". 1:1 ack 1"], "in the window: challenge ACK");
  t.equal(peer.closed, null);
  peer.send({ flags: "R", seq: -100 });
  t.same(peer.lines(), [], "outside: silence");
  peer.send({ flags: "R", seq: 1 });
  t.equal(peer.closed, "reset");
  t.ok(peer.readerAborted && peer.writerAborted);
  t.equal(peer.stack.connections().length, 0);
});

t.test("RFC 5961 §4: SYN on a live connection gets a challenge ACK, whatever its number", async t => {
  const peer = established();
  peer.send({ flags: "S", seq: 1 });
  t.same(peer.lines(), [". 1:1 ack 1"]);
  peer.step(1000);
  peer.send({ flags: "S", seq: 500_000 });
  t.same(peer.lines(), [". 1:1 ack 1"]);
  t.equal(peer.closed, null);
});

t.test("RFC 5961 §7: challenge ACKs are limited", async t => {
  const peer = established();
  for (let i = 0; i < 50; i++) peer.send({ flags: "S", seq: 50 + i });
  t.equal(peer.sent().length, 1);
  peer.step(600);
  peer.send({ flags: "S", seq: 50 });
  t.equal(peer.sent().length, 1);
});

t.test("RFC 5961 §5: ACKs beyond SND.NXT or far below SND.UNA do nothing", async t => {
  const peer = established();
  peer.write("hello");
  peer.dispatch();
  peer.sent();
  peer.send({ flags: ".", seq: 1, ack: 100, data: "x" });
  t.equal(peer.text(), "", "the segment's text is not taken either");
  t.equal(peer.stack.counters.tcpBadAck, 1);
  peer.send({ flags: ".", seq: 1, ack: -70_000, data: "x" });
  t.equal(peer.stack.counters.tcpBadAck, 2);
  peer.send({ flags: ".", seq: 1, ack: 6, data: "x" });
  t.equal(peer.text(), "x");
});

t.test("fifth step: a segment without ACK is dropped", async t => {
  const peer = established();
  peer.send({ flags: "P", seq: 1, data: "x" });
  t.equal(peer.text(), "");
});

t.test("RFC 7323 §5.3 PAWS: an older timestamp is dropped and acknowledged, but not in a RST", async t => {
  const peer = new RawPeer();
  peer.establish({ timestamps: true });
  peer.send({ flags: ".", seq: 1, ack: 1, data: "a", timestamps: [100, 0] });
  peer.sent();
  peer.send({ flags: ".", seq: 2, ack: 1, data: "b", timestamps: [99, 0] });
  t.equal(peer.stack.counters.tcpPaws, 1);
  t.same(peer.lines(), [". 1:1 ack 2"]);
  t.equal(peer.text(), "a");
  peer.send({ flags: "R", seq: 2, timestamps: [5, 0] });
  t.equal(peer.closed, "reset");
});

t.test("RFC 7323 §5.5: after 24 days of silence an older timestamp is taken", async t => {
  const peer = new RawPeer();
  peer.establish({ timestamps: true });
  peer.step(25 * 24 * 3600 * 1000);
  peer.send({ flags: ".", seq: 1, ack: 1, data: "a", timestamps: [-1000, 0] });
  t.equal(peer.text(), "a");
});

t.test("RFC 7323 §4.3: TSecr comes from the segment that Last.ACK.sent points at", async t => {
  const peer = new RawPeer();
  peer.establish({ timestamps: true, sack: true });
  peer.send({ flags: ".", seq: 1, ack: 1, data: "a", timestamps: [100, 0] });
  t.equal(peer.only().timestamps?.[1], 100);
  peer.send({ flags: ".", seq: 5, ack: 1, data: "e", timestamps: [200, 0] });
  t.equal(peer.only().timestamps?.[1], 100, "out of order: TS.Recent stays");
  peer.send({ flags: ".", seq: 2, ack: 1, data: "bcd", timestamps: [150, 0] });
  t.equal(peer.only().timestamps?.[1], 150);
});

t.test("RFC 6093 §6: urgent data is ordinary data", async t => {
  const peer = established();
  const packet = peer.segment({ flags: "P.", seq: 1, ack: 1, data: "urgent" });
  packet[20 + 13] = (packet[20 + 13] as number) | 0x20;
  peer.inject(packet, true);
  t.equal(peer.text(), "urgent");
});

t.test("RFC 9293 §3.10.7.1: what belongs to no connection is answered with RST", async t => {
  const peer = new RawPeer();
  peer.send({ flags: ".", seq: 9, ack: 33 });
  t.same(peer.lines(), ["R 33:33 ack 0"]);
  peer.send({ flags: "F", seq: 9, data: "abc" });
  t.same(peer.lines(), ["R. 0:0 ack 13"]);
  peer.send({ flags: "R", seq: 9 }, { flags: "R.", seq: 9, ack: 1 });
  t.same(peer.lines(), [], "a reset never is");
});

t.test("RFC 9293 §3.1 (MUST-3): bad checksums and lengths are dropped and counted", async t => {
  const peer = established();
  peer.send({ flags: ".", seq: 1, ack: 1, data: "x", badChecksum: true });
  t.equal(peer.stack.counters.tcpBadChecksum, 1);
  const short = peer.segment({ flags: ".", seq: 1, ack: 1, data: "x" });
  short[20 + 12] = 0xf0;
  peer.inject(short, true);
  short[20 + 12] = 0x40;
  peer.inject(short, true);
  t.equal(peer.stack.counters.tcpBad, 2);
  t.equal(peer.text(), "");
});

t.test("a trusted checksum is not looked at", async t => {
  const peer = established();
  peer.inject(peer.segment({ flags: ".", seq: 1, ack: 1, data: "x", badChecksum: true }), true);
  t.equal(peer.text(), "x");
});

t.test("sequence numbers wrap in both directions", async t => {
  const peer = new RawPeer();
  peer.iss = -3;
  peer.establish({ sack: true });
  peer.send({ flags: ".", seq: 4, ack: 1, data: "def" });
  t.same(peer.only().sack, [[4, 7]]);
  peer.send({ flags: ".", seq: 1, ack: 1, data: "abc" });
  t.equal(peer.only().ack, 7);
  t.equal(peer.text(), "abcdef");
});
