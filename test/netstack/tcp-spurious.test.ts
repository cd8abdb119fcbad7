/** Retransmissions that were for nothing: how they are found out, and that they leave no trace. */
import t from "tap";
import { type EstablishOptions, pattern, RawPeer } from "./raw-peer.js";

const MSS = 1000;
const SACK: EstablishOptions = { sack: true, mss: MSS, scale: 3 };
const STAMPED: EstablishOptions = { ...SACK, mss: MSS + 12, timestamps: true };

/** Sequence number of segment `i` of those in flight, and past the last. */
const at = (i: number) => 1 + MSS + i * MSS;
const sequences = (peer: RawPeer) => peer.sent().map(segment => segment.seq);

interface Flight {
  peer: RawPeer;
  /** TSval of the segments in flight; 0 without timestamps. */
  stamp: number;
  cwnd: number;
}

/** A round trip of 100 ms is known, and `count` segments of 1000 bytes are in flight. */
function inFlight(count: number, syn: EstablishOptions): Flight {
  const peer = new RawPeer({ ringBytes: 1 << 20, stack: { congestion: "newreno" } });
  peer.establish({ rttMs: 100, ...syn });
  peer.write(pattern(MSS));
  peer.dispatch();
  const first = peer.only();
  peer.step(100);
  ack(peer, at(0), first.timestamps?.[0] ?? 0);
  peer.write(pattern(count * MSS, MSS));
  peer.dispatch();
  const sent = peer.sent();
  if (sent.length !== count) throw new Error(`${sent.length} segments left`);
  const cwnd = peer.connection?.snd.congestion.cwnd as number;
  return { peer, stamp: sent[0]?.timestamps?.[0] ?? 0, cwnd };
}

function ack(peer: RawPeer, number: number, echo: number, sack: [number, number][] = []): void {
  peer.send({
    flags: ".",
    seq: 1,
    ack: number,
    ...(echo === 0 ? {} : { timestamps: [2, echo] as [number, number] }),
    ...(sack.length === 0 ? {} : { sack }),
  });
}

/** Lets the retransmission timer fire; returns what was sent again last. */
function timeOut(peer: RawPeer): number {
  const { counters } = peer.stack;
  const before = counters.tcpTimeouts;
  while (counters.tcpTimeouts === before) peer.step(10);
  return sequences(peer).at(-1) as number;
}

t.test("RFC 3522 §3.2, RFC 4015 §3: a time-out whose ACK echoes the original is undone", async t => {
  const { peer, stamp, cwnd } = inFlight(6, STAMPED);
  t.equal(timeOut(peer), at(0));
  const { snd } = peer.connection as NonNullable<typeof peer.connection>;
  t.equal(snd.congestion.cwnd, MSS);
  ack(peer, at(1), stamp);
  t.same(sequences(peer), [], "nothing else is sent again");
  t.equal(peer.stack.counters.tcpSpuriousTimeouts, 1);
  t.ok(snd.congestion.cwnd >= cwnd, "the window is what it was");
  t.equal(snd.inFlight, 5 * MSS, "the rest is in flight, not lost");
  t.ok(snd.rtt.rto > 400, `RFC 4015 §3.3: the path's delay counts: ${snd.rtt.rto}`);
  ack(peer, at(6), stamp);
  t.equal(peer.sendRing.length, 0);
});

t.test("RFC 3522 §3.2: an ACK that echoes the retransmission is a real time-out's", async t => {
  const { peer } = inFlight(6, STAMPED);
  const { counters } = peer.stack;
  while (counters.tcpTimeouts === 0) peer.step(10);
  const again = peer.sent().at(-1);
  peer.step(100);
  ack(peer, at(1), again?.timestamps?.[0] as number);
  t.same(sequences(peer), [at(1), at(2)], "slow start over what was lost");
  t.equal(counters.tcpSpuriousTimeouts, 0);
});

/** As `inFlight`, with four segments that the congestion window keeps back. */
function withMoreToSend(options: EstablishOptions) {
  const { peer } = inFlight(6, options);
  const { snd } = peer.connection as NonNullable<typeof peer.connection>;
  snd.congestion.cwnd = 6 * MSS;
  peer.write(pattern(4 * MSS, 7 * MSS));
  peer.dispatch();
  t.same(sequences(peer), []);
  return { peer, snd, counters: peer.stack.counters };
}

for (const [name, options] of [
  ["with SACK", SACK],
  ["without SACK", { mss: MSS, scale: 3 }],
] as const) {
  t.test(`RFC 5682 §2.1 F-RTO: two ACKs for originals undo the time-out, ${name}`, async t => {
    const { peer, snd, counters } = withMoreToSend(options);
    t.equal(timeOut(peer), at(0));
    // With SACK a tail loss probe has carried the first of the four.
    const end = (snd.nxt - peer.irs) | 0;
    const retransmits = counters.tcpRetransmits;
    ack(peer, at(1), 0);
    t.same(sequences(peer), [end, end + MSS], "step 2b: two new segments in place of retransmissions");
    ack(peer, at(2), 0);
    t.equal(counters.tcpSpuriousTimeouts, 1, "step 3b");
    t.ok(snd.congestion.cwnd >= 6 * MSS, "the window is what it was");
    ack(peer, at(6), 0);
    ack(peer, (snd.nxt - peer.irs) | 0, 0);
    t.equal(counters.tcpRetransmits, retransmits, "nothing was sent again");
  });

  t.test(`RFC 5682 §2.1 F-RTO: a duplicate ACK for the new data shows a real loss, ${name}`, async t => {
    const { peer, counters } = withMoreToSend(options);
    timeOut(peer);
    ack(peer, at(1), 0);
    const [first] = sequences(peer) as [number];
    ack(peer, at(1), 0, options.sack ? [[first, first + MSS]] : []);
    t.equal(sequences(peer)[0], at(1), "step 3a: the usual recovery");
    t.equal(counters.tcpSpuriousTimeouts, 0);
  });
}

t.test("RFC 5682 §2.1 F-RTO: without new data the usual recovery goes on at once", async t => {
  const { peer } = inFlight(6, SACK);
  timeOut(peer);
  ack(peer, at(1), 0);
  t.same(sequences(peer), [at(1), at(2)]);
});

t.test("RFC 5682 §2.1 F-RTO: an ACK for everything decides nothing", async t => {
  const { peer, snd, counters } = withMoreToSend({ mss: MSS, scale: 3 });
  timeOut(peer);
  ack(peer, at(6), 0);
  t.equal(counters.tcpSpuriousTimeouts, 0);
  t.ok(snd.congestion.cwnd < 8 * MSS);
  t.equal(snd.recovery.phase, "open");
});

t.test("RFC 3522 §3.2: a fast recovery that reordering caused is undone", async t => {
  const { peer, stamp, cwnd } = inFlight(8, STAMPED);
  const { snd } = peer.connection as NonNullable<typeof peer.connection>;
  peer.step(100);
  ack(peer, at(0), stamp, [[at(1), at(4)]]);
  t.equal(sequences(peer)[0], at(0));
  peer.step(20);
  ack(peer, at(8), stamp);
  t.equal(peer.stack.counters.tcpSpuriousRecoveries, 1);
  t.ok(snd.congestion.cwnd >= cwnd);
  t.equal(snd.recovery.phase, "open");
});

t.test("RFC 3708 §2: DSACKs for all that was sent again undo the reduction", async t => {
  const { peer, cwnd } = inFlight(8, SACK);
  const { snd } = peer.connection as NonNullable<typeof peer.connection>;
  peer.step(100);
  ack(peer, at(0), 0, [[at(2), at(5)]]);
  ack(peer, at(0), 0, [[at(2), at(7)]]);
  t.same(sequences(peer), [at(0), at(1)]);
  peer.step(100);
  ack(peer, at(8), 0);
  t.equal(snd.recovery.phase, "open");
  t.ok(snd.congestion.cwnd < cwnd, "reduced");
  ack(peer, at(8), 0, [[at(0), at(1)]]);
  t.ok(snd.congestion.cwnd < cwnd, "one of two came twice");
  ack(peer, at(8), 0, [[at(1), at(2)]]);
  t.ok(snd.congestion.cwnd >= cwnd, "both did");
  t.equal(peer.stack.counters.tcpSpuriousRecoveries, 1);
});

t.test("RFC 8985 §6.2 step 2: the ACK of a late original does not make RACK see losses", async t => {
  const { peer, stamp } = inFlight(6, STAMPED);
  timeOut(peer);
  peer.step(150);
  ack(peer, at(1), stamp);
  ack(peer, at(2), stamp);
  ack(peer, at(3), stamp);
  t.same(sequences(peer), []);
  t.equal(peer.stack.counters.tcpFastRecoveries, 0);
});
