/** Loss: RACK and SACK, duplicate ACKs, time-outs, probes. */
import t from "tap";
import { type PeerOptions, pattern, RawPeer } from "./raw-peer.js";

const MSS = 1000;

/** A connection with a round trip of 100 ms and `count` segments of 1000 bytes just sent. */
function inFlight(
  count: number,
  syn: Parameters<RawPeer["establish"]>[0] = { sack: true, mss: MSS, scale: 3 },
  options: PeerOptions = {},
): RawPeer {
  const peer = new RawPeer({ ringBytes: 1 << 20, ...options });
  peer.establish({ mss: MSS, rttMs: 100, ...syn });
  peer.write(pattern(MSS));
  peer.dispatch();
  peer.step(100);
  peer.send({ flags: ".", seq: 1, ack: 1 + MSS });
  peer.sent();
  peer.write(pattern(count * MSS, MSS));
  peer.dispatch();
  const sent = peer.sent();
  if (sent.length !== count) throw new Error(`${sent.length} segments left`);
  return peer;
}

/** Sequence number of segment `i` of those in flight. */
const at = (i: number) => 1 + MSS + i * MSS;
const sequences = (peer: RawPeer) => peer.sent().map(segment => segment.seq);

t.test("RFC 8985 §6.2: a hole below three SACKed segments is sent again at once", async t => {
  const peer = inFlight(8);
  peer.step(100);
  peer.send({ flags: ".", seq: 1, ack: at(0), sack: [[at(1), at(2)]] });
  t.same(sequences(peer), []);
  peer.send({ flags: ".", seq: 1, ack: at(0), sack: [[at(1), at(3)]] });
  t.same(sequences(peer), []);
  peer.send({ flags: ".", seq: 1, ack: at(0), sack: [[at(1), at(4)]] });
  t.same(sequences(peer), [at(0)]);
  t.equal(peer.stack.counters.tcpFastRecoveries, 1);
});

t.test("a stretch ACK with SACK for many segments does the same in one go", async t => {
  const peer = inFlight(10);
  peer.step(100);
  peer.send({
    flags: ".",
    seq: 1,
    ack: at(1),
    sack: [
      [at(2), at(4)],
      [at(6), at(10)],
    ],
  });
  t.ok(sequences(peer).includes(at(1)));
  peer.send({ flags: ".", seq: 1, ack: at(4), sack: [[at(6), at(10)]] });
  t.same(new Set([...sequences(peer), at(4), at(5)]), new Set([at(4), at(5)]));
});

t.test("what is SACKed is not sent again; after recovery all is well", async t => {
  const peer = inFlight(10);
  peer.step(100);
  peer.send({ flags: ".", seq: 1, ack: at(0), sack: [[at(3), at(10)]] });
  const again = sequences(peer);
  peer.step(100);
  again.push(...sequences(peer));
  t.ok(again.every(seq => seq < at(3)));
  peer.send({ flags: ".", seq: 1, ack: at(3), sack: [[at(3), at(10)]] });
  peer.send({ flags: ".", seq: 1, ack: at(10) });
  t.equal(peer.sendRing.length, 0);
  t.equal(peer.connection?.snd.recovery.phase, "open");
  peer.step(5000);
  t.same(sequences(peer), []);
});

t.test("RFC 8985 §6.2 step 4: reordering below a quarter of the round trip is no loss", async t => {
  const peer = inFlight(4);
  peer.step(100);
  peer.send({ flags: ".", seq: 1, ack: at(0), sack: [[at(1), at(2)]] });
  peer.step(20);
  t.same(sequences(peer), []);
  peer.send({ flags: ".", seq: 1, ack: at(2) });
  peer.step(24);
  t.same(sequences(peer), []);
  t.equal(peer.stack.counters.tcpFastRecoveries, 0);
});

t.test("RFC 8985 §6.3: the reordering timer finds a loss without another ACK", async t => {
  const peer = inFlight(3);
  peer.step(100);
  peer.send({ flags: ".", seq: 1, ack: at(0), sack: [[at(1), at(2)]] });
  t.same(sequences(peer), []);
  peer.step(24);
  t.same(sequences(peer), []);
  peer.step(2);
  t.same(sequences(peer), [at(0)]);
});

t.test("RFC 8985 §6.1: a lost retransmission is found too", async t => {
  const peer = inFlight(10);
  peer.step(100);
  peer.send({ flags: ".", seq: 1, ack: at(0), sack: [[at(1), at(4)]] });
  t.same(sequences(peer), [at(0)]);
  peer.write(pattern(3 * MSS));
  peer.dispatch();
  peer.step(10);
  peer.send({ flags: ".", seq: 1, ack: at(0), sack: [[at(1), at(10)]] });
  const newer = sequences(peer);
  t.ok(newer.includes(at(10)), "new data follows");
  peer.step(100);
  peer.send({ flags: ".", seq: 1, ack: at(0), sack: [[at(1), at(11)]] });
  peer.step(40);
  t.ok(sequences(peer).includes(at(0)), "sent a third time, before any time-out");
  t.equal(peer.stack.counters.tcpTimeouts, 0);
});

t.test("RFC 6582: without SACK the third duplicate ACK, then each partial ACK", async t => {
  const peer = inFlight(8, {});
  peer.step(100);
  const duplicate = { flags: ".", seq: 1, ack: at(0) };
  peer.send(duplicate, duplicate);
  t.same(sequences(peer), []);
  peer.send(duplicate);
  t.same(sequences(peer), [at(0)]);
  peer.step(100);
  peer.send({ flags: ".", seq: 1, ack: at(3) });
  t.same(sequences(peer), [at(3)], "partial ACK: the next hole");
  peer.step(100);
  peer.send({ flags: ".", seq: 1, ack: at(8) });
  t.equal(peer.sendRing.length, 0);
});

t.test(
  "RFC 3042 §2: the first two duplicate ACKs each let a new segment go, without SACK and with it",
  async t => {
    for (const sack of [false, true]) {
      const peer = inFlight(8, sack ? undefined : {});
      const { snd } = peer.connection as NonNullable<typeof peer.connection>;
      snd.congestion.cwnd = 8 * MSS;
      peer.write(pattern(4 * MSS, 9 * MSS));
      peer.dispatch();
      t.same(sequences(peer), [], "the window is full");
      const duplicate = (until: number) =>
        peer.send({ flags: ".", seq: 1, ack: at(0), ...(sack ? { sack: [[at(1), at(until)]] } : {}) });
      duplicate(2);
      t.same(sequences(peer), [at(8)]);
      duplicate(3);
      t.same(sequences(peer), [at(9)]);
      t.equal(snd.congestion.cwnd, 8 * MSS, "the window itself stays");
      duplicate(4);
      t.equal(sequences(peer)[0], at(0), "the third is a loss");
    }
  },
);

t.test("RFC 5681 §2: an ACK that changes the window is no duplicate", async t => {
  const peer = inFlight(8, {});
  for (let i = 0; i < 6; i++) peer.send({ flags: ".", seq: 1, ack: at(0), window: 60_000 + i });
  t.same(sequences(peer), []);
});

t.test("RFC 6298 §5.5: time-outs double", async t => {
  const peer = inFlight(1, {});
  const start = peer.now;
  const times: number[] = [];
  for (let i = 0; i < 400; i++) {
    peer.step(20);
    for (const _ of peer.sent()) times.push(peer.now - start);
  }
  const gaps = times.slice(1, 4).map((time, i) => time - (times[i] as number));
  t.ok(times[0] !== undefined && times[0] >= 200, `first after ${times[0]} ms`);
  t.ok(
    gaps.every((gap, i) => i === 0 || Math.abs(gap / (gaps[i - 1] as number) - 2) < 0.2),
    `${gaps}`,
  );
});

t.test("RFC 6298 §5: after a time-out everything not SACKed is sent again, from one segment on", async t => {
  const peer = inFlight(6, {});
  peer.step(3000);
  const first = sequences(peer);
  t.ok(
    first.every(seq => seq === at(0)),
    "one segment at a time",
  );
  peer.send({ flags: ".", seq: 1, ack: at(1) });
  t.same(sequences(peer), [at(1), at(2)], "slow start");
  peer.send({ flags: ".", seq: 1, ack: at(6) });
  t.equal(peer.sendRing.length, 0);
});

t.test("RFC 9293 §3.8.3: a peer that never answers ends in 'timeout' after about 15 minutes", async t => {
  const peer = inFlight(1);
  const start = peer.now;
  while (peer.closed === null && peer.now < start + 3_600_000) peer.step(1000);
  t.equal(peer.closed, "timeout");
  t.ok(peer.now - start > 600_000 && peer.now - start < 1_200_000);
  t.ok(peer.readerAborted && peer.writerAborted);
});

t.test("RFC 8985 §7: a lost tail is probed after two round trips, not a time-out", async t => {
  const peer = inFlight(4);
  peer.step(199);
  t.same(sequences(peer), []);
  peer.step(2);
  t.same(sequences(peer), [at(3)], "the last segment");
  peer.step(100);
  peer.send({ flags: ".", seq: 1, ack: at(0), sack: [[at(3), at(4)]] });
  peer.step(30);
  t.ok(sequences(peer).includes(at(0)), "its SACK shows the rest as lost");
  t.equal(peer.stack.counters.tcpTimeouts, 0);
});

t.test("RFC 8985 §7.3: a probe carries new data if there is any", async t => {
  const peer = inFlight(4);
  const { snd } = peer.connection as NonNullable<typeof peer.connection>;
  snd.congestion.cwnd = 4 * MSS;
  peer.write(pattern(MSS));
  peer.dispatch();
  t.same(sequences(peer), []);
  peer.step(201);
  t.same(sequences(peer), [at(4)]);
});

t.test("RFC 8985 §7.4.2: after a probe comes the time-out, also when a DSACK answers it", async t => {
  const peer = inFlight(4);
  const start = peer.now;
  while (peer.stack.counters.tcpTimeouts === 0 && peer.now < start + 10_000) {
    peer.step(10);
    // It tells of older bytes, and acknowledges nothing.
    if (sequences(peer).includes(at(3))) peer.send({ flags: ".", seq: 1, ack: at(0), sack: [[1, at(0)]] });
  }
  t.equal(peer.stack.counters.tcpTailLossProbes, 1);
  t.ok(peer.now - start < 1_000);
});

t.test("RFC 2018 §3: a SACK without the FIN behind its text shows what is lost before it", async t => {
  const peer = inFlight(4);
  peer.write(pattern(MSS, 5 * MSS));
  peer.sendRing.finish();
  peer.dispatch();
  t.same(sequences(peer), [at(4)], "with FIN");
  peer.step(100);
  peer.send({ flags: ".", seq: 1, ack: at(0), sack: [[at(4), at(5)]] });
  peer.step(100);
  t.equal(sequences(peer)[0], at(0));
  t.equal(peer.stack.counters.tcpTimeouts + peer.stack.counters.tcpTailLossProbes, 0);
});

t.test("RFC 2018 §8: a peer that takes its SACKs back is believed after the time-out", async t => {
  const peer = inFlight(4);
  peer.step(100);
  peer.send({ flags: ".", seq: 1, ack: at(0), sack: [[at(1), at(4)]] });
  peer.sent();
  // Acknowledges the hole, but has dropped what it had SACKed.
  peer.step(100);
  peer.send({ flags: ".", seq: 1, ack: at(1) });
  const again: number[] = [];
  for (let i = 0; i < 10 && peer.sendRing.length > 0; i++) {
    peer.step(400);
    const sent = sequences(peer);
    again.push(...sent);
    const highest = Math.max(...again);
    if (again.includes(at(1))) peer.send({ flags: ".", seq: 1, ack: highest + MSS });
    again.push(...sequences(peer));
  }
  t.ok(again.includes(at(1)));
  t.equal(peer.sendRing.length, 0);
});

t.test("SACK blocks for what was never sent are ignored", async t => {
  const peer = inFlight(4);
  peer.send({
    flags: ".",
    seq: 1,
    ack: at(0),
    sack: [
      [at(5), at(50)],
      [at(3), at(2)],
      [-5000, at(9)],
    ],
  });
  t.equal(peer.connection?.snd.queue.sackedBytes, 0);
  t.same(sequences(peer), []);
});

t.test("RFC 6937: recovery neither stalls nor bursts", async t => {
  const peer = inFlight(10, undefined, { stack: { congestion: "newreno" } });
  const { snd } = peer.connection as NonNullable<typeof peer.connection>;
  peer.write(pattern(30 * MSS));
  peer.step(100);
  peer.sent();
  const before = snd.inFlight;
  peer.send({ flags: ".", seq: 1, ack: at(0), sack: [[at(1), at(4)]] });
  peer.sent();
  for (let i = 5; i <= 10; i++) {
    peer.send({ flags: ".", seq: 1, ack: at(0), sack: [[at(1), at(i)]] });
    t.ok(peer.sent().length <= 2, "about one new segment for two delivered");
  }
  t.ok(snd.inFlight <= before);
});

t.test("RFC 6298 §3: what waited for a retransmission below it is no round trip", async t => {
  const peer = inFlight(3, { timestamps: false, mss: MSS });
  const before = peer.connection?.srttMs ?? 0;
  peer.step(5000);
  t.equal(sequences(peer)[0], at(0));
  // Segments 1 and 2 had arrived at once; their ACK comes with the hole's, seconds after they were sent.
  peer.send({ flags: ".", seq: 1, ack: at(3) });
  t.equal(peer.connection?.srttMs, before);
});

t.test("RFC 9293 §3.7.1: a probe is no larger than the link has become", async t => {
  const peer = inFlight(3);
  peer.mtu = 600;
  peer.step(900);
  t.ok(peer.stack.counters.tcpTailLossProbes > 0);
  const probes = peer.sent();
  t.ok(probes.length > 0);
  t.ok(
    probes.every(segment => segment.data.length <= 560),
    probes.map(segment => segment.data.length).join(),
  );
});
