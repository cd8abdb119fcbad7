/** The user's patience (RFC 9293 §3.8.3), and the Nagle algorithm (§3.7.4): what an application may set. */
import t from "tap";
import type { TcpConnection } from "../../src/netstack/index.js";
import { MAX_RETRANSMITS } from "../../src/netstack/tcp/constants.js";
import { PEER, pattern, RawPeer, STACK, synOptions } from "./raw-peer.js";

function established(userTimeoutMs: number, window = 65_535): RawPeer {
  const peer = new RawPeer({ stack: { userTimeoutMs } });
  peer.establish({ sack: true, mss: 1000, rttMs: 20, window });
  return peer;
}

/** Milliseconds until the connection ends; at most an hour. */
function untilClosed(peer: RawPeer, each: () => void = () => {}): number {
  const start = peer.now;
  while (peer.closed === null && peer.now < start + 3_600_000) {
    peer.step(100);
    each();
  }
  return peer.now - start;
}

t.test("RFC 9293 §3.8.3: unacknowledged data ends the connection after the user timeout", async t => {
  const peer = established(10_000);
  peer.step(60_000);
  t.equal(peer.closed, null, "nothing is owed");
  peer.write("x");
  peer.dispatch();
  t.equal(untilClosed(peer), 10_000);
  t.equal(peer.closed, "timeout");
  t.ok(peer.readerAborted && peer.writerAborted);
});

t.test("RFC 9293 §3.8.3: progress gives the peer its whole time again", async t => {
  const peer = established(10_000);
  peer.write(pattern(3000));
  peer.dispatch();
  peer.step(9000);
  peer.sent();
  peer.send({ flags: ".", seq: 1, ack: 1001 });
  peer.step(9000);
  t.equal(peer.closed, null);
  peer.send({ flags: ".", seq: 1, ack: 3001 });
  peer.step(60_000);
  t.equal(peer.closed, null, "all is acknowledged");
});

t.test("RFC 9293 §3.8.3 (MUST-21): the timeout may be changed while the connection lives", async t => {
  const peer = established(Number.POSITIVE_INFINITY);
  if (peer.connection !== null) peer.connection.userTimeoutMs = 3000;
  peer.write("x");
  peer.dispatch();
  t.equal(untilClosed(peer), 3000);
});

t.test("RFC 9293 §3.8.6.1, §3.8.3: a closed window counts only while the peer is silent", async t => {
  const peer = established(10_000, 1000);
  peer.write(pattern(4000));
  peer.dispatch();
  peer.send({ flags: ".", seq: 1, ack: 1001, window: 0 });
  peer.sent();
  const end = peer.now + 120_000;
  while (peer.now < end) {
    peer.step(100);
    if (peer.sent().length > 0) peer.send({ flags: ".", seq: 1, ack: 1001, window: 0 });
  }
  t.equal(peer.closed, null, "each probe was answered");
  const silent = untilClosed(peer);
  t.equal(peer.closed, "timeout");
  t.ok(silent <= 70_000, `${silent} ms: by the next probe at the latest`);
});

t.test("RFC 9293 §3.8.3: the user timeout also ends an attempt to connect", async t => {
  const peer = new RawPeer({ stack: { userTimeoutMs: 5000 } });
  const connection = peer.stack.connect(peer, STACK, PEER, 40_000, peer.now);
  connection.user = peer;
  connection.attach(peer.receiveRing, peer.sendRing);
  peer.dispatch();
  t.equal(untilClosed(peer), 5000);
  t.equal(peer.closed, "timeout");
});

t.test("RFC 9293 §3.7.4: with Nagle a small segment waits for what is unacknowledged", async t => {
  const peer = new RawPeer({ stack: { nagle: true } });
  peer.send({ flags: "S", options: synOptions({ mss: 1000 }) });
  peer.sent();
  peer.send({ flags: ".", seq: 1, ack: 1 });
  const write = (data: Uint8Array | string) => {
    peer.write(data);
    peer.dispatch();
    return peer.sent().map(segment => segment.data.length);
  };
  t.same(write("a"), [1], "nothing is outstanding");
  t.same(write("bc"), []);
  t.same(write(pattern(1000)), [1000], "a full segment leaves");
  peer.send({ flags: ".", seq: 1, ack: 1002 });
  t.same(
    peer.sent().map(segment => segment.data.length),
    [2],
  );
  t.same(write("d"), []);
  if (peer.connection !== null) peer.connection.nagle = false;
  t.same(write("e"), [2], "MUST-17: an application may switch it off");
  if (peer.connection !== null) peer.connection.nagle = true;
  t.same(write("f"), []);
  peer.sendRing.finish();
  peer.dispatch();
  t.same(peer.lines(), ["FP. 1006:1007 ack 1"], "nothing more will come to wait for");
});

/** Nothing comes back until all attempts are spent; then, before the last has timed out, the path works again. */
function outage(peer: RawPeer, attempts: (c: TcpConnection) => number): void {
  const c = peer.connection as TcpConnection;
  while (attempts(c) < MAX_RETRANSMITS && peer.closed === null) peer.step(1000);
  peer.sent();
  peer.stack.linkRestored(peer, peer.now);
  peer.step(1);
}

t.test("RFC 9293 §3.8.3: a path that works again finds the connection whose last time-out runs", async t => {
  const peer = established(Number.POSITIVE_INFINITY);
  peer.write("x");
  peer.dispatch();
  outage(peer, c => c.snd.retransmits);
  t.equal(peer.closed, null);
  t.equal(peer.only().seq, 1, "sent again at once");
  peer.send({ flags: ".", seq: 1, ack: 2 });
  peer.step(600_000);
  t.equal(peer.closed, null);
});

t.test("RFC 9293 §3.8.6.1: and the one whose peer closed its window before", async t => {
  const peer = established(Number.POSITIVE_INFINITY, 1000);
  peer.write(pattern(4000));
  peer.dispatch();
  peer.send({ flags: ".", seq: 1, ack: 1001, window: 0 });
  outage(peer, c => c.persistCount);
  t.equal(peer.closed, null);
  t.equal(peer.only().seq, 1000, "asked again at once");
});
