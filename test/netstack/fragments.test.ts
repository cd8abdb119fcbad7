/** Fragmentation and reassembly: RFC 791 §3.2, RFC 8200 §4.5, RFC 5722, RFC 6946. */
import t from "tap";
import type { UdpFlow } from "../../src/netstack/index.js";
import { pattern, RawPeer } from "./raw-peer.js";

/** What a datagram of `length` bytes becomes on a link of `mtu`, as the stack itself cuts it. */
function cut(family: 4 | 6, length: number, mtu = 1420): Uint8Array[] {
  const peer = new RawPeer({ family, mtu });
  const at = peer.arena.reserve(length + 8);
  peer.arena.u8.set(pattern(length), at);
  // Sent by the "peer" address, so that another RawPeer's stack takes it as coming from there.
  const flow = peer.stack.openUdp(peer, peer.peerAddress, peer.stackAddress, 53, peer.now);
  flow.send(at, length, peer.now);
  return peer.packets;
}

function receiving(family: 4 | 6, stack = {}): { peer: RawPeer; got: Uint8Array[] } {
  const peer = new RawPeer({ family, stack });
  const got: Uint8Array[] = [];
  peer.onFlow = (flow: UdpFlow) => {
    flow.receiver = {
      onUdpData: (offset, length) => got.push(peer.arena.u8.slice(offset, offset + length)),
      onUdpUnreachable: () => {},
      onUdpClosed: () => {},
    };
  };
  return { peer, got };
}

for (const family of [4, 6] as const) {
  t.test(`a large datagram goes in pieces that fit, and comes whole in any order, IPv${family}`, async t => {
    const pieces = cut(family, 9000);
    t.ok(pieces.length >= 7 && pieces.every(piece => piece.length <= 1420));
    for (const order of [pieces, [...pieces].reverse(), [...pieces.slice(3), ...pieces.slice(0, 3)]]) {
      const { peer, got } = receiving(family);
      for (const piece of order) peer.inject(piece);
      t.equal(got.length, 1);
      t.same(got[0], pattern(9000));
      t.equal(peer.pool.usedBytes, 0, "the buffer is given back");
    }
  });

  t.test(`the largest datagram passes, IPv${family}`, async t => {
    const { peer, got } = receiving(family);
    for (const piece of cut(family, 65_507)) peer.inject(piece);
    t.equal(got[0]?.length, 65_507);
  });

  t.test(`RFC 5722 §4: an overlap voids the datagram, a plain repetition does not, IPv${family}`, async t => {
    const pieces = cut(family, 4000);
    const again = receiving(family);
    for (const piece of pieces) {
      again.peer.inject(piece);
      if (piece !== pieces.at(-1)) again.peer.inject(piece);
    }
    t.equal(again.got.length, 1);
    const overlap = receiving(family);
    const moved = Uint8Array.from(pieces[1] as Uint8Array);
    moveFragment(moved, family, -8);
    for (const piece of [pieces[0] as Uint8Array, moved, ...pieces.slice(1)]) overlap.peer.inject(piece);
    t.equal(overlap.got.length, 0);
    t.equal(overlap.peer.stack.counters.fragmentOverlap, 1);
  });

  t.test(`what stays incomplete is dropped after 30 s, IPv${family}`, async t => {
    const { peer, got } = receiving(family);
    const pieces = cut(family, 4000);
    peer.inject(pieces[0] as Uint8Array);
    t.ok(peer.pool.usedBytes > 0);
    peer.step(30_001);
    t.equal(peer.stack.counters.fragmentTimeout, 1);
    t.equal(peer.pool.usedBytes, 0);
    for (const piece of pieces.slice(1)) peer.inject(piece);
    t.equal(got.length, 0);
  });
}

t.test("RFC 8200 §4.5, memory is bounded: past maxReassemblies the oldest is given up", async t => {
  const { peer } = receiving(4, { maxReassemblies: 3 });
  const [first] = cut(4, 4000);
  for (let id = 0; id < 20; id++) {
    const piece = Uint8Array.from(first as Uint8Array);
    piece[4] = 0;
    piece[5] = id;
    fixV4(piece);
    peer.inject(piece);
    peer.step(1);
  }
  t.equal(peer.pool.usedBytes, 3 * 65_536);
  t.equal(peer.stack.counters.fragmentNoRoom, 17);
  peer.step(31_000);
  t.equal(peer.pool.usedBytes, 0);
});

t.test("pieces that cannot be are dropped: odd length, past 64 KiB", async t => {
  const { peer } = receiving(6);
  const [first] = cut(6, 4000);
  const odd = (first as Uint8Array).slice(0, -3);
  odd[5] = (odd[5] as number) - 3;
  peer.inject(odd);
  const far = Uint8Array.from(first as Uint8Array);
  moveFragment(far, 6, 65_528);
  peer.inject(far);
  t.equal(peer.stack.counters.fragmentBad, 2);
  t.equal(peer.pool.usedBytes, 0);
});

t.test("RFC 6946: an atomic fragment is a whole packet", async t => {
  const { peer, got } = receiving(6);
  const whole = peer.udp(pattern(100));
  const atomic = new Uint8Array(whole.length + 8);
  atomic.set(whole.slice(0, 40));
  atomic.set([17, 0, 0, 0, 1, 2, 3, 4], 40);
  atomic.set(whole.slice(40), 48);
  atomic[6] = 44;
  atomic[5] = (atomic[5] as number) + 8;
  peer.inject(atomic);
  t.same(got[0], pattern(100));
});

t.test(
  "RFC 8200 §4: hop-by-hop and destination options are skipped, a routing header is not taken",
  async t => {
    const { peer, got } = receiving(6);
    const whole = peer.udp(pattern(10));
    const extended = (kinds: number[]) => {
      const packet = new Uint8Array(whole.length + 8 * kinds.length);
      packet.set(whole.slice(0, 40));
      packet[6] = kinds[0] as number;
      packet[5] = (packet[5] as number) + 8 * kinds.length;
      for (let i = 0; i < kinds.length; i++)
        packet.set([kinds[i + 1] ?? 17, 0, 1, 4, 0, 0, 0, 0], 40 + 8 * i);
      packet.set(whole.slice(40), 40 + 8 * kinds.length);
      return packet;
    };
    peer.inject(extended([0, 60]));
    t.equal(got.length, 1);
    peer.inject(extended([43]));
    peer.inject(extended([60, 0]));
    peer.inject(extended(new Array<number>(9).fill(60)));
    t.equal(got.length, 1);
    t.equal(peer.stack.counters.ipExtensionHeader, 3);
  },
);

/** Moves a piece's offset by `bytes`. */
function moveFragment(packet: Uint8Array, family: 4 | 6, bytes: number): void {
  const view = new DataView(packet.buffer, packet.byteOffset);
  if (family === 6) {
    view.setUint16(42, view.getUint16(42) + bytes);
    return;
  }
  view.setUint16(6, view.getUint16(6) + bytes / 8);
  fixV4(packet);
}

/** Makes the IPv4 header checksum right again. */
function fixV4(packet: Uint8Array): void {
  const view = new DataView(packet.buffer, packet.byteOffset);
  view.setUint16(10, 0);
  let sum = 0;
  for (let i = 0; i < 20; i += 2) sum += view.getUint16(i);
  sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(10, ~((sum & 0xffff) + (sum >>> 16)) & 0xffff);
}
