/** Batches of datagrams, as UDP_GRO gives them: opened together, judged one by one in their order. */
import t from "tap";
import { createFastCrypto, createPlainCrypto } from "../../src/crypto/index.js";
import { MESSAGE_INITIATION, MESSAGE_RESPONSE, MESSAGE_TRANSPORT } from "../../src/wireguard/constants.js";
import type { Peer } from "../../src/wireguard/index.js";
import { type Datagram, type Host, ipv4, pair, SeededRandom } from "./world.js";

const PACKET_BYTES = 116;
const IPV4_AND_PORTS_BYTES = 24;

interface Held {
  a: Host;
  b: Host;
  datagrams: Datagram[];
  hold: (send: () => void) => Datagram[];
}

const rxBytes = (host: Host): number => [...host.device.peers()].reduce((sum, peer) => sum + peer.rxBytes, 0);

for (const createSuite of [createPlainCrypto, createFastCrypto]) {
  t.test(createSuite.name, async t => {
    /** Two hosts with a session, and datagrams from a that b has not got yet: text apart alike, if nobody changes them. */
    const held = (
      count: number,
      packetBytes: number = PACKET_BYTES,
      change: (packet: Uint8Array, i: number) => void = () => {},
    ): Held => {
      const { world, a, b, atA } = pair({}, createSuite);
      a.send(atA, ipv4("10.0.0.1", "10.0.0.2", 40));
      world.advance(100);
      const hold = (send: () => void): Datagram[] => {
        const before = world.log.length;
        world.filter = () => [];
        send();
        return world.log.slice(before);
      };
      const datagrams = hold(() => {
        for (let i = 0; i < count; i++) {
          const packet = ipv4("10.0.0.1", "10.0.0.2", packetBytes).fill(i, IPV4_AND_PORTS_BYTES);
          change(packet, i);
          a.send(atA, packet);
        }
      });
      b.results.length = 0;
      b.received.length = 0;
      return { a, b, datagrams, hold };
    };

    t.test(
      "all of a batch larger than what is opened at once, by number and by bytes, in its order",
      async t => {
        for (const [count, packetBytes] of [
          [150, PACKET_BYTES],
          [60, 1420],
        ] as const) {
          const { b, datagrams } = held(count, packetBytes);
          b.receiveTogether(datagrams as [Datagram]);
          t.same(b.results, Array(count).fill(packetBytes));
          t.same(
            b.received.map(({ bytes }) => bytes[packetBytes - 1]),
            datagrams.map((_, i) => i),
          );
        }
      },
    );

    t.test("paper §5.4.6: a forged one and a repeated one are dropped, the others are not", async t => {
      const { b, datagrams } = held(4);
      const [first, second, third, fourth] = datagrams as [Datagram, Datagram, Datagram, Datagram];
      const forged = { ...second, bytes: second.bytes.slice() };
      forged.bytes[40] = (forged.bytes[40] as number) ^ 1;
      const stranger = { ...fourth, bytes: fourth.bytes.slice() };
      stranger.bytes[4] = (stranger.bytes[4] as number) ^ 1;
      b.receiveTogether([first, forged, third, stranger, third, fourth, second]);
      t.same(b.results, [
        PACKET_BYTES,
        "unauthentic",
        PACKET_BYTES,
        "unknownIndex",
        "replayed",
        PACKET_BYTES,
        PACKET_BYTES,
      ]);
    });

    t.test("packets alike that are taken together are those that come one by one", async t => {
      const random = new SeededRandom(12);
      const below = (limit: number): number => random.uint32() % limit;
      let alike = 0;
      for (let round = 0; round < 30; round++) {
        // Elsewhere from, shorter than its padding shows, or with another header.
        const odd = [12, 3, 1].map(at => ({ at, i: below(60) }));
        const change = (packet: Uint8Array, i: number): void => {
          for (const { at, i: which } of odd) if (i === which) packet[at] = (packet[at] as number) - 1;
        };
        const packetBytes = 60 + 4 * below(20);
        const [one, other] = [0, 1].map(() => held(60, packetBytes, change)) as [Held, Held];
        one.b.asksForAlike = false;
        const came = one.datagrams.slice();
        for (let mishaps = below(8); mishaps > 0; mishaps--) {
          const [i, j] = [below(came.length), below(came.length)];
          const [first, second] = [came[i] as Datagram, came[j] as Datagram];
          const forged = { ...first, bytes: first.bytes.slice() };
          const at = below(forged.bytes.length);
          forged.bytes[at] = (forged.bytes[at] as number) ^ (1 << below(8));
          // Forged, twice, late, never.
          const instead: Datagram[][] = [[forged], [second], [second], []];
          came.splice(i, 1, ...(instead[below(4)] as Datagram[]));
          if (below(2) === 0) came.splice(j, 1, first);
        }
        for (const { b } of [one, other]) b.receiveTogether(came as [Datagram, ...Datagram[]]);
        // What a keep-alive owes to, too.
        const seen = ({ b }: Held): unknown => [
          b.results,
          b.received.map(({ bytes }) => bytes),
          rxBytes(b),
          b.world.sent(b, MESSAGE_TRANSPORT),
        ];
        t.same(seen(other), seen(one), `round ${round}`);
        // And again, of which nothing is new.
        for (const { b } of [one, other]) b.receiveTogether(one.datagrams as [Datagram, ...Datagram[]]);
        t.same(seen(other), seen(one), `round ${round}, once more`);
        for (const { b } of [one, other]) b.world.advance(35_000);
        t.same(seen(other), seen(one), `round ${round}, half a minute later`);
        t.equal(one.b.alike, 0);
        alike += other.b.alike;
      }
      t.ok(alike > 30 * 20, `${alike} were alike`);
    });

    t.test("who may send what is asked of each packet behind one that changed it", async t => {
      const { b, datagrams } = held(4);
      const [peer] = [...b.device.peers()] as [Peer];
      b.onPacket = () => b.device.updatePeer(peer.publicKey, { allowedIps: [] }, b.world.now);
      b.receiveTogether(datagrams as [Datagram, ...Datagram[]]);
      t.same(b.results, [PACKET_BYTES, "notAllowed", "notAllowed", "notAllowed"]);
    });

    t.test("packets alike are those alike when they came, whatever is made of the first one", async t => {
      const foreign = (packet: Uint8Array, i: number): void => {
        if (i === 1) packet[12] = 11;
      };
      const { b, datagrams } = held(3, PACKET_BYTES, foreign);
      b.onPacket = () => {
        b.arena.u8[b.device.received.at + 12] = 11;
      };
      b.receiveTogether(datagrams as [Datagram, ...Datagram[]]);
      t.same(b.results, [PACKET_BYTES, "notAllowed", PACKET_BYTES]);
    });

    t.test("paper §6.3: a peer that is removed in the middle of a batch is heard no more", async t => {
      const { b, datagrams, hold } = held(3);
      const [peer] = [...b.device.peers()] as [Peer];
      const before = peer.rxBytes;
      b.onPacket = () => b.device.removePeer(peer.publicKey);
      b.receiveTogether(datagrams as [Datagram]);
      t.same(b.results, [PACKET_BYTES, "unknownIndex", "unknownIndex"]);
      t.equal(peer.rxBytes - before, (datagrams[0] as Datagram).bytes.length);
      const later = hold(() => b.world.advance(60_000));
      t.same(
        later.filter(({ from }) => from === b.address),
        [],
        "and is told nothing more",
      );
    });

    t.test(
      "another private key in the middle of a batch: what came under the old one is not heard",
      async t => {
        const { b, datagrams } = held(3);
        b.onPacket = () => b.device.setPrivateKey(new Uint8Array(32).fill(7));
        b.receiveTogether(datagrams as [Datagram]);
        t.same(b.results, [PACKET_BYTES, "unknownIndex", "unknownIndex"]);
      },
    );

    t.test("a handshake message behind data is answered, after the data", async t => {
      const { a, b, datagrams, hold } = held(3);
      a.world.advance(20_000);
      const [initiation] = hold(() => {
        a.device.networkChanged(a.world.now);
      }).filter(({ bytes }) => bytes[0] === MESSAGE_INITIATION);
      const answers = hold(() => b.receiveTogether([...(datagrams as [Datagram]), initiation as Datagram]));
      t.same(b.results, [PACKET_BYTES, PACKET_BYTES, PACKET_BYTES, 0]);
      t.equal(answers.filter(({ bytes }) => bytes[0] === MESSAGE_RESPONSE).length, 1);
    });
  });
}
