/** The receiving half: order, SACK, acknowledgments, the offered window. */
import t from "tap";
import { pattern, RawPeer } from "./raw-peer.js";

const SACK = { sack: true, scale: 2 };

function established(ringBytes = 65_536, options: Parameters<RawPeer["establish"]>[0] = SACK): RawPeer {
  const peer = new RawPeer({ ringBytes });
  peer.establish(options);
  return peer;
}

/** Uses up the quick ACKs of a new connection. */
function warmUp(peer: RawPeer): number {
  let seq = 1;
  for (let i = 0; i < 20; i++, seq += 536) peer.send({ flags: ".", seq, ack: 1, data: pattern(536) });
  peer.read();
  peer.step(100);
  peer.sent();
  return seq;
}

t.test("in-order text reaches the ring; FIN finishes it after the last byte", async t => {
  const peer = established();
  peer.send({ flags: "P.", seq: 1, ack: 1, data: "abc" }, { flags: "PF.", seq: 4, ack: 1, data: "def" });
  t.equal(peer.text(), "abcdef");
  t.ok(peer.receiveRing.finished);
  t.same(peer.lines(), [". 1:1 ack 8"], "one ACK for the batch");
  t.equal(peer.connection?.state, "CLOSE-WAIT");
  t.equal(peer.connection?.bytesIn, 6);
});

t.test("RFC 2018 §4: islands are reported, the newest first", async t => {
  const peer = established();
  const at = (seq: number) => peer.send({ flags: ".", seq, ack: 1, data: pattern(100) });
  at(201);
  t.same(peer.only().sack, [[201, 301]]);
  at(601);
  t.same(peer.only().sack, [
    [601, 701],
    [201, 301],
  ]);
  at(301);
  t.same(peer.only().sack, [
    [201, 401],
    [601, 701],
  ]);
  at(1);
  t.equal(peer.only().ack, 101);
  at(101);
  const ack = peer.only();
  t.equal(ack.ack, 401, "the hole is filled");
  t.same(ack.sack, [[601, 701]]);
});

t.test("a batch with more islands than fit one ACK is told in several", async t => {
  const peer = new RawPeer();
  peer.establish({ sack: true, timestamps: true });
  const specs = Array.from({ length: 7 }, (_, i) => ({
    flags: ".",
    seq: 101 + 200 * i,
    ack: 1,
    data: pattern(100),
    timestamps: [5, 0] as [number, number],
  }));
  peer.send(...specs);
  const blocks = peer.sent().flatMap(ack => ack.sack.map(([left]) => left));
  t.same(
    [...new Set(blocks)].sort((a, b) => a - b),
    [101, 301, 501, 701, 901, 1101, 1301],
  );
});

t.test("RFC 2883 §4.1: a segment that fills an island again is a DSACK before the island", async t => {
  const peer = established();
  peer.send({ flags: ".", seq: 501, ack: 1, data: pattern(300) });
  peer.sent();
  peer.send({ flags: ".", seq: 601, ack: 1, data: pattern(100) });
  t.same(peer.only().sack, [
    [601, 701],
    [501, 801],
  ]);
  peer.send({ flags: ".", seq: 801, ack: 1, data: pattern(100) });
  t.same(peer.only().sack, [[501, 901]], "reported once");
});

t.test("RFC 5681 §4.2: without SACK each out-of-order segment is one duplicate ACK", async t => {
  const peer = established(65_536, {});
  peer.send(...[101, 201, 301].map(seq => ({ flags: ".", seq, ack: 1, data: pattern(100) })));
  t.same(peer.lines(), [". 1:1 ack 1", ". 1:1 ack 1", ". 1:1 ack 1"]);
});

t.test("bytes that arrive in any order come out in order", async t => {
  const peer = established();
  const data = pattern(4000);
  for (const at of [3000, 1000, 3500, 0, 2500, 500, 2000, 1500]) {
    peer.send({ flags: ".", seq: 1 + at, ack: 1, data: data.slice(at, at + 500) });
  }
  t.same(peer.read(), data);
  t.equal(peer.sent().at(-1)?.ack, 4001);
});

t.test("FIN ahead of a hole waits for it", async t => {
  const peer = established();
  peer.send({ flags: "F.", seq: 4, ack: 1, data: "def" });
  t.notOk(peer.receiveRing.finished);
  t.equal(peer.connection?.state, "ESTABLISHED");
  peer.send({ flags: ".", seq: 1, ack: 1, data: "abc" });
  t.equal(peer.text(), "abcdef");
  t.ok(peer.receiveRing.finished);
  t.equal(peer.sent().at(-1)?.ack, 8);
});

t.test("RFC 5681 §4.2: every second full segment is acknowledged, a lone small one within 40 ms", async t => {
  const peer = established();
  let seq = warmUp(peer);
  const one = (length: number) => {
    peer.send({ flags: ".", seq, ack: 1, data: pattern(length) });
    seq += length;
    peer.read();
  };
  one(10);
  t.same(peer.lines(), []);
  peer.step(39);
  t.same(peer.lines(), []);
  peer.step(2);
  t.equal(peer.only().ack, seq);
  one(536);
  one(536);
  t.equal(peer.only().ack, seq);
});

t.test("RFC 5681 §4.2, quick ACKs: the first segments of a connection are acknowledged at once", async t => {
  const peer = established();
  for (let i = 0; i < 10; i++) peer.send({ flags: "P.", seq: 1 + i, ack: 1, data: "x" });
  t.equal(peer.sent().length, 10);
});

t.test("an ACK that is owed rides on data", async t => {
  const peer = established();
  const seq = warmUp(peer);
  peer.inject(peer.segment({ flags: "P.", seq, ack: 1, data: "ping" }));
  peer.write("pong");
  peer.dispatch();
  t.same(peer.lines(), [`P. 1:5 ack ${seq + 4}`]);
  peer.step(100);
});

t.test("RFC 9293 §3.8.6: the window closes as the ring fills, text beyond it is not taken", async t => {
  const peer = established(4000, { sack: true });
  peer.send({ flags: ".", seq: 1, ack: 1, data: pattern(1400) });
  t.equal(peer.only().window, 2600);
  peer.send({ flags: ".", seq: 1401, ack: 1, data: pattern(2700) });
  const ack = peer.only();
  t.equal(ack.window, 0);
  t.equal(ack.ack, 4001);
  peer.send({ flags: ".", seq: 4001, ack: 1, data: "x" });
  t.same(peer.lines(), [". 1:1 ack 4001"], "a zero-window probe is answered");
  t.equal(peer.receiveRing.length, 4000);
});

t.test("RFC 9293 §3.10.7.4: with a closed window ACKs and RST still count", async t => {
  const peer = established(1000);
  peer.send({ flags: ".", seq: 1, ack: 1, data: pattern(1000) });
  peer.write("hello");
  peer.dispatch();
  peer.sent();
  peer.send({ flags: ".", seq: 1001, ack: 6, data: "more" });
  t.equal(peer.connection?.bytesOut, 5);
  peer.send({ flags: "R", seq: 1001 });
  t.equal(peer.closed, "reset");
});

t.test("RFC 9293 §3.8.6.2.2: space that comes free is told once it is worth a segment", async t => {
  const peer = established(4000, { sack: true });
  peer.send(
    { flags: ".", seq: 1, ack: 1, data: pattern(1400) },
    { flags: ".", seq: 1401, ack: 1, data: pattern(1400) },
  );
  peer.send({ flags: ".", seq: 2801, ack: 1, data: pattern(1200) });
  peer.sent();
  peer.receiveRing.consume(100);
  peer.dispatch();
  t.same(peer.lines(), [], "100 bytes are a silly window");
  peer.receiveRing.consume(1300);
  peer.dispatch();
  t.equal(peer.only().window, 1400);
});

t.test("RFC 7323 §2.3: the offered window is scaled after the handshake", async t => {
  const peer = new RawPeer({ ringBytes: 1 << 20 });
  peer.send({ flags: "S", options: [3, 3, 2, 1, 2, 4, 5, 180] });
  const shift = peer.only().windowScale;
  peer.send({ flags: ".", seq: 1, ack: 1 });
  peer.send({ flags: "P.", seq: 1, ack: 1, data: "x" });
  const offered = peer.only().window << shift;
  t.ok(offered > 1_000_000 && offered <= 1 << 20, `${offered}`);
});

t.test("a super-segment of 60 KiB is taken whole", async t => {
  const peer = established(1 << 20, { sack: true });
  const data = pattern(60_000);
  peer.inject(peer.segment({ flags: "P.", seq: 1, ack: 1, data }), true);
  peer.dispatch();
  t.equal(peer.only().ack, 60_001);
  t.same(peer.read(), data);
});

t.test("no memory: text is dropped, counted, and taken when it comes again", async t => {
  const peer = established(1 << 20);
  const hoard: number[] = [];
  for (let at = peer.pool.allocate(8 << 20); at !== -1; at = peer.pool.allocate(8 << 20)) hoard.push(at);
  for (let at = peer.pool.allocate(4096); at !== -1; at = peer.pool.allocate(4096)) hoard.push(at);
  peer.send({ flags: ".", seq: 1, ack: 1, data: "abc" });
  t.equal(peer.stack.counters.tcpNoRoom, 1);
  t.equal(peer.only().ack, 1);
  for (const at of hoard) peer.pool.release(at);
  peer.send({ flags: ".", seq: 1, ack: 1, data: "abc" });
  t.equal(peer.text(), "abc");
});

t.test("the ring's reader gives up: RST", async t => {
  const peer = established();
  peer.send({ flags: ".", seq: 1, ack: 1, data: "abc" });
  peer.sent();
  peer.receiveRing.abort();
  t.same(peer.lines(), [], "not before dispatch");
  peer.dispatch();
  t.same(peer.lines(), ["R. 1:1 ack 4"]);
  t.equal(peer.closed, "reset");
  t.ok(peer.writerAborted);
});
