/** The sending half: segmentation, the peer's window, probes, idle, keep-alive, MTU. */
import t from "tap";
import { type PeerOptions, pattern, RawPeer } from "./raw-peer.js";

function established(
  options: PeerOptions = {},
  syn: Parameters<RawPeer["establish"]>[0] = { sack: true },
): RawPeer {
  const peer = new RawPeer(options);
  peer.establish(syn);
  return peer;
}

t.test("bytes leave in segments of the MSS, the last with PSH", async t => {
  const peer = established();
  const data = pattern(3000);
  peer.write(data);
  t.same(peer.lines(), [], "nothing leaves before dispatch");
  peer.dispatch();
  const sent = peer.sent();
  t.same(
    sent.map(s => [s.flags, s.seq, s.data.length]),
    [
      [".", 1, 1460],
      [".", 1461, 1460],
      ["P.", 2921, 80],
    ],
  );
  t.same(Buffer.concat(sent.map(s => s.data)), Buffer.from(data));
});

t.test("RFC 7323 Appendix A: timestamps cost twelve bytes of each segment", async t => {
  const peer = established({}, { sack: true, timestamps: true });
  peer.write(pattern(1460));
  peer.dispatch();
  t.same(
    peer.sent().map(s => s.data.length),
    [1448, 12],
  );
});

t.test("RFC 9293 §3.7.1: the peer's MSS and the link's MTU both limit", async t => {
  const small = established({}, { mss: 600 });
  small.write(pattern(700));
  small.dispatch();
  t.same(
    small.sent().map(s => s.data.length),
    [600, 100],
  );
  const narrow = established({ mtu: 1000 });
  narrow.write(pattern(1000));
  narrow.dispatch();
  t.same(
    narrow.sent().map(s => s.data.length),
    [960, 40],
  );
  narrow.send({ flags: ".", seq: 1, ack: 1001 });
  narrow.mtu = 700;
  narrow.write(pattern(1000));
  narrow.dispatch();
  t.same(
    narrow.sent().map(s => s.data.length),
    [660, 340],
    "an MTU that changed is followed",
  );
});

t.test("super-segments: whole multiples of the MSS, pseudo-header sum only", async t => {
  const peer = established(
    { maxGsoBytes: 65_535, checksum: "partial", congested: false, ringBytes: 1 << 18 },
    { sack: true, scale: 4 },
  );
  peer.send({ flags: ".", seq: 1, ack: 1, window: 65_535 });
  peer.write(pattern(100_000));
  peer.dispatch();
  const sent = peer.sent();
  t.same(
    sent.map(s => [s.data.length, s.gsoSize]),
    [
      [64_240, 1460],
      [35_760, 1460],
    ],
  );
});

t.test("RFC 9293 §3.8.6: no more than the peer's window", async t => {
  const peer = established({}, { window: 2000 });
  peer.write(pattern(5000));
  peer.dispatch();
  t.same(
    peer.sent().map(s => s.data.length),
    [1460],
    "540 more would be a silly window",
  );
  peer.send({ flags: ".", seq: 1, ack: 1461, window: 4000 });
  t.same(
    peer.sent().map(s => s.data.length),
    [1460, 1460, 620],
  );
});

t.test(
  "RFC 9293 §3.8.6.2.1: a window below a segment is used when it is half of the largest, or late",
  async t => {
    const peer = established({}, { window: 1000 });
    peer.write(pattern(3000));
    peer.dispatch();
    t.same(
      peer.sent().map(s => s.data.length),
      [1000],
    );
    peer.send({ flags: ".", seq: 1, ack: 1001, window: 300 });
    t.same(peer.lines(), []);
    peer.step(250);
    t.same(
      peer.sent().map(s => s.data.length),
      [300],
      "override time-out",
    );
  },
);

t.test("RFC 9293 §3.8.6: an ACK on a retransmission does not stretch the window", async t => {
  const peer = established({}, { sack: true, window: 1460 });
  peer.write(pattern(9000));
  peer.dispatch();
  t.equal(peer.sent().length, 1);
  // A byte of the peer that is ahead of its first hundred, and a right edge at 1461 + 3000.
  peer.send({ flags: ".", seq: 101, ack: 1461, window: 3000, data: "x" });
  // The hundred come again, acknowledge more, and tell the same edge.
  peer.send({ flags: ".", seq: 1, ack: 2921, window: 1540, data: pattern(100) });
  peer.step(2000);
  const ends = peer.sent().map(s => s.seq + s.data.length);
  t.ok(ends.length > 1 && ends.every(end => end <= 4461), ends.join());
});

t.test("no Nagle: small writes leave at once", async t => {
  const peer = established();
  for (let i = 0; i < 3; i++) {
    peer.write("x");
    peer.dispatch();
  }
  t.same(peer.lines(), ["P. 1:2 ack 1", "P. 2:3 ack 1", "P. 3:4 ack 1"]);
});

t.test("RFC 9293 §3.8.6.1: a zero window is probed for as long as the peer answers", async t => {
  const peer = established({}, { window: 1460 });
  peer.write(pattern(4000));
  peer.dispatch();
  peer.sent();
  peer.send({ flags: ".", seq: 1, ack: 1461, window: 0 });
  let probes = 0;
  const end = peer.now + 2 * 3600 * 1000;
  while (peer.now < end && peer.closed === null) {
    peer.step(500);
    for (const probe of peer.sent()) {
      probes++;
      t.equal(probe.seq, 1460, "below SND.UNA: any receiver answers");
      t.equal(probe.data.length, 0);
      peer.send({ flags: ".", seq: 1, ack: 1461, window: 0 });
    }
  }
  t.equal(peer.closed, null, "two hours later it still is there");
  t.ok(probes > 50 && probes < 100, `${probes} probes`);
  peer.send({ flags: ".", seq: 1, ack: 1461, window: 10_000 });
  t.same(
    peer.sent().map(s => s.data.length),
    [1460, 1080],
  );
});

t.test("RFC 9293 §3.8.6.1: unanswered probes end the connection", async t => {
  const peer = established({}, { window: 1460 });
  peer.write(pattern(4000));
  peer.dispatch();
  peer.send({ flags: ".", seq: 1, ack: 1461, window: 0 });
  peer.step(3600 * 1000);
  t.equal(peer.closed, "timeout");
});

t.test("RFC 6928: ten segments to begin with, on a congested link", async t => {
  const peer = established({ ringBytes: 1 << 20 }, { sack: true, scale: 4, rttMs: 50 });
  peer.send({ flags: ".", seq: 1, ack: 1 });
  peer.write(pattern(100_000));
  peer.dispatch();
  t.equal(peer.sent().length, 10);
  peer.step(50);
  peer.sent();
  peer.send({ flags: ".", seq: 1, ack: 14_601 });
  t.equal(peer.sent().length, 20, "RFC 5681 §3.1: slow start doubles");
});

t.test("no congestion window where nothing is congested", async t => {
  const peer = established({ congested: false, ringBytes: 1 << 20 }, { sack: true, scale: 4 });
  peer.send({ flags: ".", seq: 1, ack: 1 });
  peer.write(pattern(100_000));
  peer.dispatch();
  t.equal(peer.sent().length, 69);
});

t.test("RFC 5681 §4.1: after an idle time-out the window restarts", async t => {
  const peer = established({ ringBytes: 1 << 20 }, { sack: true, scale: 6 });
  peer.send({ flags: ".", seq: 1, ack: 1 });
  peer.write(pattern(200_000));
  peer.dispatch();
  while (peer.sendRing.length > 0) {
    peer.step(10);
    const last = peer.sent().at(-1);
    if (last !== undefined) peer.send({ flags: ".", seq: 1, ack: last.seq + last.data.length });
  }
  t.ok((peer.connection?.snd.congestion.cwnd as number) > 50_000);
  peer.step(10_000);
  peer.sent();
  peer.write(pattern(100_000));
  peer.dispatch();
  t.equal(peer.sent().length, 10);
});

t.test("a link that takes nothing holds bytes back until linkWritable", async t => {
  const peer = established();
  peer.blocked = true;
  peer.write("hello");
  peer.dispatch();
  t.same(peer.lines(), []);
  peer.blocked = false;
  peer.stack.linkWritable(peer);
  peer.dispatch();
  t.same(peer.lines(), ["P. 1:6 ack 1"]);
});

t.test(
  "a link that fills up in the middle of a burst: what has left is sent, the rest and FIN follow",
  async t => {
    const peer = established({}, { mss: 1000 });
    const commit = peer.commit.bind(peer);
    peer.commit = (...packet) => {
      commit(...packet);
      peer.blocked = peer.packets.length === 3;
    };
    peer.write(pattern(5_000));
    peer.sendRing.finish();
    peer.dispatch();
    t.same(peer.lines(), [". 1:1001 ack 1", ". 1001:2001 ack 1", ". 2001:3001 ack 1"]);
    t.equal(peer.connection?.snd.outstanding, 3_000);
    t.equal(peer.connection?.state, "ESTABLISHED");
    peer.blocked = false;
    peer.stack.linkWritable(peer);
    peer.dispatch();
    t.same(peer.lines(), [". 3001:4001 ack 1", "FP. 4001:5001 ack 1"]);
    t.equal(peer.connection?.state, "FIN-WAIT-1");
  },
);

t.test("RFC 9293 §3.8.4: keep-alive probes a silent peer, and gives up on a dead one", async t => {
  const stack = { keepAliveIdleMs: 60_000, keepAliveIntervalMs: 10_000, keepAliveProbes: 3 };
  const peer = established({ stack });
  peer.step(61_000);
  t.same(peer.lines(), [". 0:0 ack 1"], "below SND.UNA");
  peer.send({ flags: ".", seq: 1, ack: 1 });
  peer.step(50_000);
  t.same(peer.lines(), [], "it lives");
  peer.step(60_000);
  t.equal(peer.sent().length, 3);
  t.equal(peer.closed, "timeout");
});

t.test("without keep-alive an idle connection waits for nothing", async t => {
  const peer = established();
  peer.step(10_000);
  t.equal(peer.stack.pollAt(), Number.POSITIVE_INFINITY);
  t.equal(peer.pool.usedBytes, 0);
});

t.test("acknowledged bytes leave the ring and count", async t => {
  const peer = established();
  peer.write(pattern(3000));
  peer.dispatch();
  peer.send({ flags: ".", seq: 1, ack: 1461 });
  t.equal(peer.sendRing.length, 1540);
  t.equal(peer.connection?.bytesOut, 1460);
});
