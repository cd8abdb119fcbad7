/** Ends: RFC 9293 §3.6 and the states of figure 5 from FIN on. */
import t from "tap";
import { onPeerFinished } from "../../src/netstack/tcp/life.js";
import { PEER_PORT, pattern, RawPeer, synOptions } from "./raw-peer.js";

function established(stack: ConstructorParameters<typeof RawPeer>[0] = {}): RawPeer {
  const peer = new RawPeer(stack);
  peer.establish({ sack: true });
  return peer;
}

t.test("RFC 9293 §3.6 active close: FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT, gone after 2 MSL", async t => {
  const peer = established();
  peer.write("bye");
  peer.sendRing.finish();
  peer.dispatch();
  t.same(peer.lines(), ["FP. 1:4 ack 1"], "FIN rides on the last bytes");
  t.equal(peer.connection?.state, "FIN-WAIT-1");
  peer.send({ flags: ".", seq: 1, ack: 5 });
  t.equal(peer.connection?.state, "FIN-WAIT-2");
  peer.send({ flags: "P.", seq: 1, ack: 5, data: "late" });
  t.equal(peer.text(), "late", "half-close: the peer may go on for as long as it likes");
  peer.sent();
  peer.send({ flags: "F.", seq: 5, ack: 5 });
  t.same(peer.lines(), [". 5:5 ack 6"]);
  t.equal(peer.connection?.state, "TIME-WAIT");
  t.equal(peer.closed, "closed", "the user is done with it");
  t.ok(peer.receiveRing.finished);
  t.equal(peer.stack.connections().length, 0);
  peer.step(59_000);
  t.equal(peer.stack.timeWaitCount, 1);
  peer.step(2000);
  t.equal(peer.stack.timeWaitCount, 0);
  t.equal(peer.stack.pollAt(), Number.POSITIVE_INFINITY);
});

t.test("RFC 9293 §3.6 passive close: CLOSE-WAIT, LAST-ACK, CLOSED", async t => {
  const peer = established();
  peer.send({ flags: "F.", seq: 1, ack: 1 });
  t.same(peer.lines(), [". 1:1 ack 2"]);
  t.equal(peer.connection?.state, "CLOSE-WAIT");
  peer.write("answer");
  peer.dispatch();
  t.same(peer.lines(), ["P. 1:7 ack 2"], "the other direction stays open");
  peer.sendRing.finish();
  peer.dispatch();
  t.same(peer.lines(), ["F. 7:7 ack 2"]);
  t.equal(peer.connection?.state, "LAST-ACK");
  peer.send({ flags: ".", seq: 2, ack: 8 });
  t.equal(peer.closed, "closed");
  t.equal(peer.stack.connections().length, 0);
});

t.test("RFC 9293 §3.6 simultaneous close: CLOSING, TIME-WAIT", async t => {
  const peer = established();
  peer.sendRing.finish();
  peer.dispatch();
  peer.sent();
  peer.send({ flags: "F.", seq: 1, ack: 1 });
  t.equal(peer.connection?.state, "CLOSING");
  t.same(peer.lines(), [". 2:2 ack 2"]);
  peer.send({ flags: ".", seq: 2, ack: 2 });
  t.equal(peer.connection?.state, "TIME-WAIT");
  t.equal(peer.closed, "closed");
});

t.test("RFC 9293 §3.10.7.4, seventh step: text in FIN-WAIT-1 and FIN-WAIT-2 is taken", async t => {
  const peer = established();
  peer.sendRing.finish();
  peer.dispatch();
  t.equal(peer.connection?.state, "FIN-WAIT-1");
  peer.send({ flags: "P.", seq: 1, ack: 1, data: "one " });
  peer.send({ flags: ".", seq: 5, ack: 2 });
  t.equal(peer.connection?.state, "FIN-WAIT-2");
  peer.send({ flags: "P.", seq: 5, ack: 2, data: "two" });
  t.equal(peer.text(), "one two");
});

t.test("FIN and its ACK in one segment go straight to TIME-WAIT", async t => {
  const peer = established();
  peer.sendRing.finish();
  peer.dispatch();
  peer.send({ flags: "F.", seq: 1, ack: 2 });
  t.equal(peer.connection?.state, "TIME-WAIT");
});

t.test("a lost FIN is sent again", async t => {
  const peer = established();
  peer.sendRing.finish();
  peer.dispatch();
  peer.sent();
  peer.step(1500);
  const again = peer.sent();
  t.ok(again.length >= 1);
  t.ok(again.every(segment => segment.flags === "F." && segment.seq === 1));
});

t.test("RFC 9293 §3.10.7.4: TIME-WAIT acknowledges a FIN that comes again and starts anew", async t => {
  const peer = established();
  peer.sendRing.finish();
  peer.dispatch();
  peer.send({ flags: "F.", seq: 1, ack: 2 });
  peer.sent();
  peer.step(50_000);
  peer.send({ flags: "F.", seq: 1, ack: 2 });
  t.same(peer.lines(), [". 2:2 ack 2"]);
  peer.step(50_000);
  t.equal(peer.stack.timeWaitCount, 1);
  peer.step(11_000);
  t.equal(peer.stack.timeWaitCount, 0);
});

t.test("RFC 1337: RST does not end TIME-WAIT", async t => {
  const peer = established();
  peer.sendRing.finish();
  peer.dispatch();
  peer.send({ flags: "F.", seq: 1, ack: 2 });
  peer.send({ flags: "R", seq: 2 });
  t.equal(peer.stack.timeWaitCount, 1);
});

t.test("RFC 9293 §3.6.1, RFC 6191: a newer SYN takes over from TIME-WAIT, an older one does not", async t => {
  const peer = established();
  peer.sendRing.finish();
  peer.dispatch();
  peer.send({ flags: "F.", seq: 1, ack: 2 });
  peer.sent();
  let asked = 0;
  peer.onSyn = () => asked++;
  peer.closed = null;
  peer.send({ flags: "S", seq: -50, options: synOptions({}) });
  t.equal(asked, 0);
  t.equal(peer.stack.timeWaitCount, 1);
  peer.send({ flags: "S", seq: 1000, options: synOptions({}) });
  t.equal(asked, 1);
  t.equal(peer.stack.timeWaitCount, 0);
});

t.test("RFC 9293 §3.10.7.4, RFC 7323 §3.2: what TIME-WAIT answers, and with what", async t => {
  const peer = new RawPeer();
  peer.establish({ timestamps: true });
  peer.sendRing.finish();
  peer.dispatch();
  peer.send({ flags: "F.", seq: 1, ack: 2, timestamps: [700, 0] });
  const [last] = peer.sent();
  t.equal(peer.stack.timeWaitCount, 1);
  peer.step(100);

  peer.send({ flags: ".", seq: 2, ack: 2, timestamps: [710, 0] });
  t.same(peer.lines(), [], "nothing new: two that are done must not answer one another for ever");
  peer.send({ flags: "F.", seq: 1, ack: 2, timestamps: [710, 0] });
  const [again] = peer.sent();
  t.match(again, { flags: ".", seq: 2, ack: 2, window: last?.window });
  t.equal(again?.timestamps?.[1], 700, "TS.Recent: the last one in order");
  t.equal(again?.timestamps?.[0], (last?.timestamps?.[0] ?? 0) + 100);

  peer.send({ flags: "P.", seq: 1, ack: 2, data: "?", timestamps: [600, 0] });
  t.same(peer.lines(), [". 2:2 ack 2"], "text of old");
  t.equal(peer.stack.counters.tcpPaws, 1);
  for (let i = 0; i < 3; i++) peer.send({ flags: ".", seq: 5000, ack: 2, timestamps: [720, 0] });
  t.same(peer.lines(), [". 2:2 ack 2"], "RFC 5961 §7: a challenge, and no other for half a second");
  t.equal(peer.stack.counters.tcpChallengeAcks, 1);

  peer.send({ flags: ".", seq: 2, ack: 1, timestamps: [720, 0] });
  peer.send({ flags: "", seq: 2, timestamps: [720, 0] });
  t.same(peer.lines(), [], "an ACK that was overtaken, and none at all");
  peer.step(500);
  peer.send({ flags: "SF", seq: 9000, options: synOptions({}) });
  t.same(peer.lines(), [". 2:2 ack 2"], "nobody opens a connection so");
  t.equal(peer.stack.timeWaitCount, 1);
  peer.step(50_000);
  peer.send({ flags: "F.", seq: 5000, ack: 2, timestamps: [730, 0] });
  peer.step(10_000);
  t.equal(peer.stack.timeWaitCount, 0, "another FIN than the peer's is none");
});

t.test("TIME-WAIT ends with its link, on which nothing leaves any more", async t => {
  const peer = established();
  peer.sendRing.finish();
  peer.dispatch();
  peer.sent();
  if (peer.connection !== null)
    peer.connection.user = { onTcpConnected() {}, onTcpClosed: () => peer.stack.closeLink(peer) };
  peer.send({ flags: "F.", seq: 1, ack: 2 });
  t.same(peer.lines(), [], "whoever is told of the end may close the link");
  t.equal(peer.stack.timeWaitCount, 0);
  t.equal(peer.stack.pollAt(), Number.POSITIVE_INFINITY);
});

t.test("text after the peer's FIN is not taken", async t => {
  const peer = established();
  peer.send({ flags: "F.", seq: 1, ack: 1 });
  peer.send({ flags: ".", seq: 2, ack: 1, data: "late" });
  t.equal(peer.receiveRing.length, 0);
});

t.test("abort: RST with the right numbers, rings aborted, the user told", async t => {
  const peer = established();
  peer.write(pattern(100));
  peer.dispatch();
  peer.sent();
  peer.connection?.abort();
  t.equal(peer.closed, "reset");
  peer.dispatch();
  t.same(peer.lines(), ["R. 101:101 ack 1"]);
  t.ok(peer.readerAborted && peer.writerAborted);
  t.equal(peer.pool.usedBytes, 0);
});

t.test("abort on a blocked link: the RST leaves when the link opens", async t => {
  const peer = established();
  peer.blocked = true;
  peer.connection?.abort();
  peer.dispatch();
  peer.blocked = false;
  peer.stack.linkWritable(peer);
  peer.dispatch();
  t.same(peer.lines(), ["R. 1:1 ack 1"]);
});

t.test("FIN-WAIT-2 does not last when nobody reads any more", async t => {
  const peer = established();
  peer.sendRing.finish();
  peer.dispatch();
  peer.send({ flags: ".", seq: 1, ack: 2 });
  peer.sent();
  peer.step(300_000);
  t.equal(peer.connection?.state, "FIN-WAIT-2", "a half-closed connection is legitimate");
  peer.receiveRing.dispose();
  peer.step(61_000);
  t.equal(peer.closed, "reset");
});

t.test("text for a ring that was disposed of is answered with RST", async t => {
  const peer = established();
  peer.receiveRing.dispose();
  peer.send({ flags: ".", seq: 1, ack: 1, data: "x" });
  t.equal(peer.closed, "reset");
  t.equal(peer.sent().at(-1)?.flags, "R.");
});

t.test("the ring is drained by its reader after the connection is gone", async t => {
  const peer = established();
  peer.sendRing.finish();
  peer.dispatch();
  peer.send({ flags: "F.", seq: 1, ack: 2, data: "last words" });
  t.equal(peer.closed, "closed");
  t.equal(peer.text(), "last words");
  t.equal(peer.pool.usedBytes, 0);
});

t.test("TIME-WAIT takes no connection's place, and the oldest gives way", async t => {
  const peer = new RawPeer({ stack: { maxTcpConnections: 4, linkShare: 0.5, maxTimeWait: 3 } });
  const open = () => peer.stack.connect(peer, peer.stackAddress, peer.peerAddress, PEER_PORT, peer.now);
  const close = (active: ReturnType<typeof open>) => {
    active.state = "FIN-WAIT-2";
    onPeerFinished(active, peer.now);
  };
  const ports: number[] = [];
  for (let i = 0; i < 10; i++) {
    const active = open();
    ports.push(active.localPort);
    close(active);
  }
  t.equal(peer.stack.timeWaitCount, 3);
  peer.dispatch();
  const answered = ports.filter(port => {
    peer.sent();
    peer.stackPort = port;
    peer.send({ flags: "F." });
    return peer.only().flags === ".";
  });
  t.same(answered, ports.slice(-3), "the last three are still kept");
  open();
  open();
  t.throws(open, { code: "TOO_MANY_CONNECTIONS" }, "two live ones are the link's share");
  peer.step(61_000);
  t.equal(peer.stack.timeWaitCount, 0);
  t.equal(peer.stack.connections().length, 2);
});

t.test("RFC 6191: after a second in TIME-WAIT a port may serve a new connection of ours", async t => {
  for (const timestamps of [true, false]) {
    const peer = new RawPeer({ stack: { maxTimeWait: 70_000 } });
    const open = () => peer.stack.connect(peer, peer.stackAddress, peer.peerAddress, 80, peer.now);
    const ports = new Set<number>();
    for (let i = 1024; i <= 65_535; i++) {
      const active = open();
      ports.add(active.localPort);
      active.rcv.timestamps = timestamps;
      active.state = "FIN-WAIT-2";
      onPeerFinished(active, peer.now);
    }
    t.equal(ports.size, 64_512, "each port once");
    peer.step(999);
    t.throws(open, { code: "TOO_MANY_CONNECTIONS" }, "old segments may still come");
    peer.step(1);
    if (!timestamps) {
      t.throws(open, { code: "TOO_MANY_CONNECTIONS" }, "nothing would tell them apart");
      continue;
    }
    t.ok(ports.has(open().localPort));
    t.equal(peer.stack.timeWaitCount, 64_511, "its predecessor is forgotten");
  }
});
