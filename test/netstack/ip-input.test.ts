/** IPv6 extension headers: which are skipped, and which end the packet. */
import t from "tap";
import { pattern, RawPeer } from "./raw-peer.js";

const HOP_BY_HOP = 0;
const UDP = 17;
const ROUTING = 43;
const AUTHENTICATION = 51;
const DESTINATION_OPTIONS = 60;

/** A datagram behind the given extension headers, each of 8 bytes. */
function behind(peer: RawPeer, kinds: number[], lengthByte = 0): Uint8Array {
  const datagram = peer.udp(pattern(20)).slice(40);
  const headers = kinds.flatMap((_, i) => [kinds[i + 1] ?? UDP, lengthByte, 1, 4, 0, 0, 0, 0]);
  return peer.ip(kinds[0] ?? UDP, Uint8Array.from([...headers, ...datagram]), -1);
}

function received(kinds: number[], lengthByte = 0): { flows: number; peer: RawPeer } {
  const peer = new RawPeer({ family: 6 });
  let flows = 0;
  peer.onFlow = () => void flows++;
  peer.inject(behind(peer, kinds, lengthByte));
  return { flows, peer };
}

t.test("RFC 8200 §4.3, §4.6: hop-by-hop and destination options are skipped", async t => {
  for (const kinds of [[], [HOP_BY_HOP], [DESTINATION_OPTIONS], [HOP_BY_HOP, DESTINATION_OPTIONS]]) {
    const { flows, peer } = received(kinds);
    t.equal(flows, 1, `${kinds}`);
    t.equal(peer.stack.counters.ipExtensionHeader, 0);
  }
});

t.test(
  "RFC 8200 §4.1, §4.4; RFC 5095 §3: misplaced, routing, too many, too long: dropped and counted",
  async t => {
    const cases: [number[], number][] = [
      [[DESTINATION_OPTIONS, HOP_BY_HOP], 0],
      [[ROUTING], 0],
      [new Array<number>(9).fill(DESTINATION_OPTIONS), 0],
      [[DESTINATION_OPTIONS], 200],
    ];
    for (const [kinds, lengthByte] of cases) {
      const { flows, peer } = received(kinds, lengthByte);
      t.equal(flows, 0, `${kinds}`);
      t.equal(peer.stack.counters.ipExtensionHeader, 1);
    }
    const { flows, peer } = received([AUTHENTICATION]);
    t.equal(flows, 0);
    t.equal(peer.stack.counters.ipUnknownProtocol, 1);
  },
);

t.test("RFC 8200 §4.7: no next header: nothing follows, nothing is answered", async t => {
  const peer = new RawPeer({ family: 6 });
  peer.inject(peer.ip(59, pattern(8), -1));
  t.equal(peer.packets.length, 0);
  t.equal(peer.stack.counters.ipUnknownProtocol, 0);
});
