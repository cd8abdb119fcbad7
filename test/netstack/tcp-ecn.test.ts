/** Explicit congestion notification (RFC 3168): asked for, granted, marked, echoed, answered. */
import t from "tap";
import { Address } from "../../src/base/index.js";
import type { TcpConnection } from "../../src/netstack/index.js";
import { takeEcho } from "../../src/netstack/tcp/ecn.js";
import { Segment } from "../../src/netstack/tcp/segment.js";
import { seqAdd } from "../../src/netstack/tcp/seq.js";
import { ipv4ChecksumOk, TCP_ACK, TCP_ECE } from "../../src/wire/index.js";
import { pattern, RawPeer, synOptions } from "./raw-peer.js";

const MSS = 1000;
const NOT_ECT = 0;
const ECT0 = 2;

/** An established connection that the peer opened with ECN. */
function established(family: 4 | 6 = 4, maxGsoBytes = 0): RawPeer {
  const peer = new RawPeer({ family, maxGsoBytes, ringBytes: 1 << 20, stack: { congestion: "newreno" } });
  peer.send({ flags: "SEW", options: synOptions({ sack: true, mss: MSS }) });
  const reply = peer.only();
  t.equal(reply.flags, "S.E", "RFC 3168 §6.1.1: an ECN-setup SYN-ACK");
  t.equal(reply.ecn, NOT_ECT, "RFC 3168 §6.1.1: a SYN-ACK is not ECN-capable");
  peer.step(50);
  peer.send({ flags: ".", seq: 1, ack: 1 });
  return peer;
}

t.test("RFC 3168 §6.1.1: a SYN without both bits is not granted ECN", async t => {
  for (const flags of ["S", "SE", "SW"]) {
    const peer = new RawPeer();
    peer.send({ flags, options: synOptions({ mss: MSS }) });
    t.equal(peer.only().flags, "S.");
    peer.send({ flags: ".", seq: 1, ack: 1 });
    peer.write(pattern(MSS));
    peer.dispatch();
    t.equal(peer.only().ecn, NOT_ECT);
    peer.send({ flags: ".", seq: 1, ack: 1 + MSS, data: "x", marked: true });
    t.notMatch(peer.only().flags, "E", "a mark means nothing here");
  }
});

for (const family of [4, 6] as const) {
  t.test(
    `RFC 3168 §6.1.2: new data is ECN-capable, ACKs and retransmissions are not, IPv${family}`,
    async t => {
      const peer = established(family);
      peer.write(pattern(MSS));
      peer.dispatch();
      t.equal(peer.packets[0]?.length, (family === 4 ? 20 : 40) + 20 + MSS);
      if (family === 4) {
        peer.arena.u8.set(peer.packets[0] as Uint8Array, 0);
        t.ok(ipv4ChecksumOk(peer.arena, 0));
      }
      const data = peer.only();
      t.equal(data.ecn, ECT0);
      peer.step(1500);
      const again = peer.sent();
      t.ok(again.length > 0 && again.every(segment => segment.ecn === NOT_ECT), "RFC 3168 §6.1.5");
      peer.send({ flags: ".", seq: 1, ack: 1 + MSS, data: "x" });
      t.equal(peer.only().ecn, NOT_ECT, "RFC 3168 §6.1.4");
    },
  );

  t.test(`RFC 3168 §6.1.3: a mark is echoed on every ACK until CWR, IPv${family}`, async t => {
    const peer = established(family);
    peer.send({ flags: ".", seq: 1, ack: 1, data: pattern(MSS), marked: true });
    t.equal(peer.only().flags, ".E");
    peer.send({ flags: ".", seq: 1 + MSS, ack: 1, data: pattern(MSS) });
    t.equal(peer.only().flags, ".E", "on those of unmarked segments as well");
    peer.write("x");
    peer.dispatch();
    t.equal(peer.only().flags, "P.E", "and on data");
    peer.send({ flags: ".W", seq: 1 + 2 * MSS, ack: 2, data: pattern(MSS) });
    t.equal(peer.only().flags, ".");
    peer.send({ flags: ".W", seq: 1 + 3 * MSS, ack: 2, data: pattern(MSS), marked: true });
    t.equal(peer.only().flags, ".E", "a mark on the segment with CWR is new");
    t.equal(peer.stack.counters.tcpEcnMarked, 2);
  });
}

t.test("RFC 3168 §6.1.2: ECE reduces the window once a window, and CWR tells the peer", async t => {
  const peer = established();
  const { snd } = peer.connection as NonNullable<typeof peer.connection>;
  peer.write(pattern(30 * MSS));
  peer.dispatch();
  t.equal(peer.sent().length, 10);
  peer.step(50);
  peer.send({ flags: ".E", seq: 1, ack: 1 + 2 * MSS });
  t.equal(snd.congestion.cwnd, 5 * MSS, "half of what was outstanding");
  t.equal(peer.stack.counters.tcpEcnReductions, 1);
  peer.send({ flags: ".E", seq: 1, ack: 1 + 6 * MSS });
  t.equal(snd.congestion.cwnd, 5 * MSS, "the same window's marks");
  peer.send({ flags: ".E", seq: 1, ack: 1 + 8 * MSS });
  const fresh = peer.sent();
  t.equal(fresh.length, 3);
  t.equal(fresh[0]?.flags, ".W");
  t.ok(
    fresh.slice(1).every(segment => segment.flags === "."),
    "one CWR",
  );
  peer.send({ flags: ".E", seq: 1, ack: 1 + 10 * MSS });
  t.equal(peer.stack.counters.tcpEcnReductions, 1);
  peer.send({ flags: ".E", seq: 1, ack: 1 + 11 * MSS });
  t.equal(peer.stack.counters.tcpEcnReductions, 2, "an ACK for data with CWR: a new mark");
  t.equal(peer.stack.counters.tcpRetransmits, 0);
});

t.test("RFC 3168 §6.1.2: CWR leaves on one segment, also where super-segments do", async t => {
  const peer = established(4, 65_535);
  peer.write(pattern(30 * MSS));
  peer.dispatch();
  peer.sent();
  peer.send({ flags: ".E", seq: 1, ack: 1 + 10 * MSS });
  const [first] = peer.sent();
  t.equal(first?.flags, ".W");
  t.equal(first?.data.length, MSS);
  t.equal(first?.gsoSize, 0);
});

t.test("RFC 3168 §6.1.1: our SYN asks where congestion happens; §6.1.1.1: only the first one", async t => {
  const connect = (congested: boolean) => {
    const peer = new RawPeer({ congested });
    const connection = peer.stack.connect(
      peer,
      Address.from("198.51.100.2"),
      Address.from("192.0.2.1"),
      40_000,
      peer.now,
    );
    connection.attach(peer.receiveRing, peer.sendRing);
    peer.connection = connection;
    peer.stackPort = connection.localPort;
    peer.dispatch();
    return peer;
  };
  const plain = connect(false);
  t.equal(plain.only().flags, "S");
  const peer = connect(true);
  t.equal(peer.only().flags, "SEW");
  peer.send({ flags: "S.E", ack: 1, options: synOptions({ mss: MSS }) });
  peer.write(pattern(MSS));
  peer.dispatch();
  t.equal(peer.sent().at(-1)?.ecn, ECT0);

  for (const answer of ["S.", "S.EW"]) {
    const refused = connect(true);
    refused.sent();
    refused.send({ flags: answer, ack: 1, options: synOptions({ mss: MSS }) });
    refused.write(pattern(MSS));
    refused.dispatch();
    t.equal(refused.sent().at(-1)?.ecn, NOT_ECT, `${answer}: not granted, or reflected`);
  }
  const unanswered = connect(true);
  unanswered.sent();
  unanswered.step(1100);
  t.equal(unanswered.only().flags, "S");
});

t.test("RFC 3168 §5.3: a datagram put together of marked pieces is marked", async t => {
  const peer = established();
  const whole = peer.segment({ flags: ".", seq: 1, ack: 1, data: pattern(MSS) });
  for (const [start, end, more] of [
    [0, 512, true],
    [512, whole.length - 20, false],
  ] as const) {
    const piece = peer.ip(6, whole.slice(20 + start, 20 + end), -1);
    const view = new DataView(piece.buffer);
    view.setUint16(6, (start >> 3) | (more ? 0x2000 : 0));
    view.setUint8(1, more ? 3 : 2);
    view.setUint16(10, 0);
    let sum = 0;
    for (let i = 0; i < 20; i += 2) sum += view.getUint16(i);
    view.setUint16(10, ~(sum + (sum >>> 16)));
    peer.inject(piece);
  }
  peer.dispatch();
  t.equal(peer.only().flags, ".E");
});

t.test("RFC 3168 §6.1.2: a mark counts however much went by since the last one", async t => {
  const { connection: c } = established() as { connection: TcpConnection };
  // 3 GiB without one: half the sequence space and more lies between the reduction that never was and this mark.
  const segment = new Segment();
  const acknowledge = (flags: number): void => {
    segment.flags = flags;
    takeEcho(c, segment, MSS, 0);
  };
  for (let sent = 0; sent < 3 * 2 ** 30; sent += 2 ** 28) {
    c.snd.una = c.snd.nxt = seqAdd(c.snd.nxt, 2 ** 28);
    acknowledge(TCP_ACK);
  }
  acknowledge(TCP_ACK | TCP_ECE);
  t.equal(c.context.counters.tcpEcnReductions, 1);
});
