/** What leaves at one moment is written, and kept, as one burst (docs/decisions/0025). */
import t from "tap";
import type { SentQueue } from "../../src/netstack/tcp/sent-queue.js";
import { pattern, RawPeer, REDUNDANT, synOptions } from "./raw-peer.js";

/** Every packet of a transfer whose ring wraps many times, and which ends with a FIN. */
function transfer(
  mostAlike: number,
  family: 4 | 6,
  flags: string,
): { packets: Uint8Array[]; gathered: number } {
  const bytes = 200_000;
  const gathers = mostAlike > 0;
  const peer = new RawPeer({ checksum: "redundant", family, gathers, mostAlike, ringBytes: 65_536 });
  const packets: Uint8Array[] = [];
  const options = [...synOptions({ sack: true, mss: 1400, scale: 3 }), ...REDUNDANT];
  peer.send({ flags, options });
  peer.only();
  peer.step(20);
  peer.send({ flags: ".", seq: 1, ack: 1 });
  let written = 0;
  for (let acked = 0; acked < bytes; ) {
    const room = Math.min(bytes - written, peer.sendRing.space);
    if (room > 0) peer.write(pattern(room, written));
    written += room;
    if (written === bytes) peer.sendRing.finish();
    peer.step(20);
    packets.push(...peer.packets);
    const sent = peer.sent();
    if (sent.length === 0) throw new Error(`nothing was sent after ${acked} bytes`);
    for (const { seq, data } of sent) acked = Math.max(acked, seq - 1 + data.length);
    peer.send({ flags: ".", seq: 1, ack: 1 + acked });
  }
  return { packets, gathered: peer.gathered };
}

for (const family of [4, 6] as const) {
  for (const flags of ["S", "SEW"]) {
    t.test(`headers written once are those of each segment, IPv${family}, ${flags}`, async t => {
      const single = transfer(0, family, flags);
      t.equal(single.gathered, 0);
      for (const mostAlike of [1, 3, 64]) {
        const alike = transfer(mostAlike, family, flags);
        t.ok(alike.gathered > 100, `${alike.gathered} were gathered`);
        t.equal(alike.packets.length, single.packets.length);
        t.ok(
          alike.packets.every((packet, i) => Buffer.compare(packet, single.packets[i] as Uint8Array) === 0),
        );
      }
    });
  }
}

const MSS = 1000;
const at = (i: number) => 1 + i * MSS;

/** One burst in flight. */
function burst(bytes: number, fin = false): RawPeer {
  const peer = new RawPeer();
  peer.establish({ sack: true, mss: MSS, scale: 3, rttMs: 100 });
  peer.write(pattern(bytes));
  if (fin) peer.sendRing.finish();
  peer.dispatch();
  peer.sent();
  t.equal(peer.connection?.snd.queue.count, 1);
  peer.step(100);
  return peer;
}

t.test("RFC 2018 §4: of a block, the segments that lie in it whole are SACKed", async t => {
  const peer = burst(8 * MSS);
  const queue = peer.connection?.snd.queue as SentQueue;
  peer.send({ flags: ".", seq: 1, ack: 1, sack: [[at(2) + 500, at(5) + 500]] });
  t.same([queue.count, queue.sackedSegments, queue.sackedBytes], [3, 2, 2 * MSS]);
  t.same([queue.startOf(1) - queue.startOf(0), queue.endOf(1) - queue.startOf(1)], [3 * MSS, 2 * MSS]);
  peer.send({ flags: ".", seq: 1, ack: 1, sack: [[at(5) + 100, at(5) + 900]] });
  t.equal(queue.sackedSegments, 2, "none lies in it");
  peer.send({ flags: ".", seq: 1, ack: 1, sack: [[at(2), at(8)]] });
  t.same([queue.sackedSegments, queue.sackedBytes], [6, 6 * MSS]);
});

t.test("RFC 9293 §3.10.7.4: an ACK inside a segment leaves the rest of it to stand alone", async t => {
  const peer = burst(4 * MSS);
  const queue = peer.connection?.snd.queue as SentQueue;
  peer.send({ flags: ".", seq: 1, ack: at(1) + 300 });
  t.same([queue.count, queue.lengthOf(0), queue.lengthOf(1)], [2, 700, 2 * MSS]);
  peer.send({ flags: ".", seq: 1, ack: at(1) + 300, sack: [[at(3), at(4)]] });
  t.same([queue.sackedSegments, queue.sackedBytes], [1, MSS], "borders of segments are where they were");
  peer.send({ flags: ".", seq: 1, ack: at(4) });
  t.equal(peer.sendRing.length, 0);
});

t.test("RFC 8985 §7.3: a probe repeats the last segment of a burst, with its FIN, and no more", async t => {
  for (const [bytes, start] of [
    [2500, at(2)],
    [3000, at(2)],
    [700, at(0)],
  ] as const) {
    const peer = burst(bytes, true);
    peer.step(500);
    const [probe] = peer.sent();
    t.equal(probe?.seq, start);
    t.equal(probe?.data.length, bytes + 1 - start);
    t.match(probe?.flags, "F");
  }
});
