/** Redundant checksum avoidance (RFC 1146): agreed in both SYNs by links that authenticate, and never assumed. */
import t from "tap";
import { describe, PEER, PEER_PORT, RawPeer, REDUNDANT, STACK, synOptions } from "./raw-peer.js";

const OPTIONS = synOptions({ sack: true, scale: 7, mss: 1460 });
const TCP_AT = 20;

const field = (packet: Uint8Array): number =>
  new DataView(packet.buffer).getUint16(packet.byteOffset + TCP_AT + 16);
const offers = (packet: Uint8Array): boolean =>
  Buffer.from(packet.subarray(TCP_AT + 20)).includes(Buffer.from(REDUNDANT));

/** A connection that the peer opened; returns the SYN-ACK and one data segment. */
function exchange(checksum: "full" | "redundant", offered: boolean): [Uint8Array, Uint8Array] {
  const peer = new RawPeer({ checksum });
  peer.send({ flags: "S", options: offered ? [...OPTIONS, ...REDUNDANT] : OPTIONS });
  const [synAck] = peer.packets as [Uint8Array];
  peer.only();
  peer.send({ flags: ".", seq: 1, ack: 1 });
  peer.sendRing.advance(Math.min(peer.sendRing.prepare(100), 100));
  peer.dispatch();
  const [data] = peer.packets as [Uint8Array];
  return [synAck, data];
}

t.test("RFC 1146: agreed when both say so, then data carries no checksum", async t => {
  const [synAck, data] = exchange("redundant", true);
  t.ok(offers(synAck), "echoed in the SYN-ACK");
  t.not(field(synAck), 0, "the SYN-ACK itself has one");
  t.equal(data.length, 140);
  t.equal(field(data), 0);
});

t.test("RFC 1146: a peer that does not ask for it gets every checksum", async t => {
  const [synAck, data] = exchange("redundant", false);
  t.notOk(offers(synAck));
  t.not(field(data), 0);
});

t.test("RFC 1146: a link that does not authenticate never agrees", async t => {
  const [synAck, data] = exchange("full", true);
  t.notOk(offers(synAck));
  t.not(field(data), 0);
});

t.test("RFC 1146: asked for in our own SYN, and believed only when the SYN-ACK says it too", async t => {
  for (const agreed of [true, false]) {
    const peer = new RawPeer({ checksum: "redundant" });
    const connection = peer.stack.connect(peer, STACK, PEER, PEER_PORT, peer.now);
    connection.attach(peer.receiveRing, peer.sendRing);
    peer.stackPort = connection.localPort;
    peer.dispatch();
    const [syn] = peer.packets as [Uint8Array];
    t.ok(offers(syn), "in the SYN");
    t.not(field(syn), 0, "which has a checksum");
    t.match(describe(peer.only()), /^S/);
    peer.send({ flags: "S.", ack: 1, options: agreed ? [...OPTIONS, ...REDUNDANT] : OPTIONS });
    t.not(field((peer.packets as [Uint8Array])[0]), 0, "so has an ACK without data");
    peer.sent();
    peer.sendRing.advance(Math.min(peer.sendRing.prepare(100), 100));
    peer.dispatch();
    t.equal(field((peer.packets as [Uint8Array])[0]) === 0, agreed);
  }
});
