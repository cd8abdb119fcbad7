/** What a connection keeps while nothing is said over it, and how it comes back (docs/decisions/0016). */
import t from "tap";
import type { Sender } from "../../src/netstack/tcp/sender.js";
import { type PeerOptions, RawPeer } from "./raw-peer.js";

const REST_MS = 5_000;
const GRAIN_MS = 1_000;
const sender = (peer: RawPeer): Sender => peer.connection?.snd as Sender;

function established(options: PeerOptions = {}): RawPeer {
  const peer = new RawPeer(options);
  peer.establish({ sack: true, scale: 6 });
  return peer;
}

/** Sends `bytes` and acknowledges them, 20 ms a round trip. */
function transfer(peer: RawPeer, bytes: number): void {
  peer.write(new Uint8Array(bytes));
  peer.dispatch();
  while (peer.sendRing.length > 0) {
    peer.step(20);
    const last = peer.sent().at(-1);
    if (last !== undefined) peer.send({ flags: ".", seq: 1, ack: last.seq + last.data.length });
  }
}

t.test("a connection that has sent nothing holds nothing for sending", async t => {
  const peer = established();
  peer.send({ flags: ".", seq: 1, ack: 1 });
  peer.send({ flags: "P.", seq: 1, ack: 1, data: "hello" });
  peer.dispatch();
  t.ok(sender(peer).resting);
});

t.test("it rests once it has been quiet for a while, in either direction", async t => {
  const peer = established({ ringBytes: 1 << 20 });
  transfer(peer, 5_000);
  peer.step(REST_MS - 100);
  t.notOk(sender(peer).resting);
  peer.send({ flags: "P.", seq: 1, ack: 5_001, data: "hello" });
  peer.step(REST_MS - 100);
  t.notOk(sender(peer).resting, "something came meanwhile");
  peer.step(100 + GRAIN_MS);
  t.ok(sender(peer).resting);
  t.equal(peer.stack.pollAt(), Number.POSITIVE_INFINITY, "and nothing wakes it");
});

t.test("what is outstanding, or waits for a window, keeps it from resting", async t => {
  const peer = established({ ringBytes: 1 << 20 });
  peer.write("lost");
  peer.step(3 * REST_MS);
  t.notOk(sender(peer).resting, "not acknowledged");
  peer.send({ flags: ".", seq: 1, ack: 5, window: 0 });
  peer.write("kept back");
  peer.step(3 * REST_MS);
  t.notOk(sender(peer).resting, "not wanted");
  peer.sent();
  peer.send({ flags: ".", seq: 1, ack: 5, window: 60_000 });
  peer.step(1);
  t.equal(peer.only().data.length, 9);
});

t.test(
  "RFC 6298 §2: the round trip is remembered, so a loss right after the rest costs no second",
  async t => {
    const peer = established({ ringBytes: 1 << 20 });
    transfer(peer, 5_000);
    peer.step(REST_MS + GRAIN_MS);
    t.ok(sender(peer).resting);
    peer.write("hello");
    peer.dispatch();
    t.equal(peer.only().seq, 5_001);
    peer.step(300);
    t.ok(
      peer.sent().some(segment => segment.seq === 5_001),
      "probed, or sent again",
    );
  },
);

t.test("RFC 5681 §4.1: what was learnt of the path outlasts the rest", async t => {
  const peer = established({ ringBytes: 1 << 20 });
  transfer(peer, 400_000);
  const { congestion } = sender(peer);
  t.ok(congestion.cwnd > 50_000);
  peer.step(REST_MS + GRAIN_MS);
  t.ok(sender(peer).resting);
  t.equal(sender(peer).congestion, congestion);
});

t.test("RFC 5681 §4.1: what one round trip teaches again does not", async t => {
  const peer = established({ ringBytes: 1 << 20 });
  transfer(peer, 5_000);
  const { congestion } = sender(peer);
  peer.step(REST_MS + GRAIN_MS);
  peer.write(new Uint8Array(100_000));
  peer.dispatch();
  t.equal(peer.sent().length, 10, "ten segments to begin with");
  t.not(sender(peer).congestion, congestion);
});

t.test("delivery-rate §4.1.2.4: small messages with rests between them show no slow path", async t => {
  const peer = established({ ringBytes: 1 << 20, stack: { congestion: "bbr" } });
  transfer(peer, 400_000);
  const { cwnd } = sender(peer).congestion;
  for (let i = 0; i < 12; i++) {
    peer.step(REST_MS + GRAIN_MS);
    t.ok(sender(peer).resting);
    transfer(peer, 500);
  }
  t.equal(sender(peer).congestion.cwnd, cwnd);
});
