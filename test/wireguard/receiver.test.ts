/** Batches of datagrams, as UDP_GRO gives them: opened together, judged one by one in their order. */
import t from "tap";
import { createFastCrypto, createPlainCrypto } from "../../src/crypto/index.js";
import { MESSAGE_INITIATION, MESSAGE_RESPONSE } from "../../src/wireguard/constants.js";
import type { Peer } from "../../src/wireguard/index.js";
import { type Datagram, type Host, ipv4, pair } from "./world.js";

const PACKET_BYTES = 116;

for (const createSuite of [createPlainCrypto, createFastCrypto]) {
  t.test(createSuite.name, async t => {
    /** Two hosts with a session, and datagrams from a that b has not got yet. */
    const held = (
      count: number,
      packetBytes: number = PACKET_BYTES,
    ): { a: Host; b: Host; datagrams: Datagram[]; hold: (send: () => void) => Datagram[] } => {
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
        for (let i = 0; i < count; i++) a.send(atA, ipv4("10.0.0.1", "10.0.0.2", packetBytes, i));
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
