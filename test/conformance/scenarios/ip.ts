/** IPv4: RFC 791, RFC 1122 §3.2.1, and fragments; and TCP segments that are no segments. */
import { buildTcp, TCP } from "../packet.js";
import type { Peer } from "../peer.js";
import type { Scenario } from "../scenario.js";
import { ECHO, SINK } from "../services.js";

/** A data segment, cut into pieces, sent in an order. */
async function inPieces(
  p: Peer,
  order: readonly [number, number][],
  data = "x".repeat(180),
): Promise<string> {
  await p.open(SINK);
  const body = p.segment({ flags: "PA", data });
  const size = body.length;
  p.sendFragments(
    TCP,
    body,
    order.map(([from, to]) => [from, Math.min(to, size)]),
  );
  return p.reply();
}

/** A data segment that is broken in some way: what answers it. */
function broken(change: (packet: Buffer) => void): (p: Peer) => Promise<string> {
  return async p => {
    await p.open(SINK);
    p.send({ data: "hello", breakIp: change });
    return p.reply();
  };
}

export const IP: readonly Scenario[] = [
  {
    name: "two fragments in order",
    rfc: "791 §3.2",
    run: p =>
      inPieces(p, [
        [0, 96],
        [96, 999],
      ]),
    expected: "A 1 ack 181",
  },
  {
    name: "three fragments in reverse order",
    rfc: "791 §3.2",
    run: p =>
      inPieces(p, [
        [160, 999],
        [80, 160],
        [0, 80],
      ]),
    expected: "A 1 ack 181",
  },
  {
    name: "a repeated fragment",
    rfc: "791 §3.2",
    run: p =>
      inPieces(p, [
        [0, 96],
        [0, 96],
        [96, 999],
      ]),
    expected: "A 1 ack 181",
  },
  {
    name: "a missing fragment",
    rfc: "791 §3.2",
    run: p =>
      inPieces(p, [
        [0, 96],
        [160, 999],
      ]),
    expected: "silence",
  },
  {
    name: "overlapping fragments void the datagram",
    rfc: "5722 §3 (for IPv6), 1858",
    run: p =>
      inPieces(p, [
        [0, 96],
        [80, 999],
      ]),
    expected: "silence",
  },
  {
    name: "a fragment in the middle that is no multiple of 8 long",
    rfc: "791 §3.2",
    run: p =>
      inPieces(p, [
        [0, 92],
        [96, 999],
      ]),
    expected: "silence",
  },
  {
    name: "a fragment that ends beyond 65,535 bytes is dropped",
    rfc: "791 §3.2",
    async run(p) {
      await p.open(SINK);
      const ip = { source: p.address, destination: p.target, protocol: TCP, id: 9 };
      p.sendIp({ ...ip, fragment: { offset: 65_528, more: false } }, Buffer.alloc(100));
      return p.reply();
    },
    expected: "silence",
  },
  {
    name: "IP options are skipped",
    rfc: "1122 §3.2.1.8",
    async run(p) {
      await p.open(SINK);
      p.send({ data: "hello", ip: { ipOptions: Buffer.from([1, 1, 1, 0]) } });
      return p.reply();
    },
    expected: "A 1 ack 6",
  },
  {
    name: "a TTL of 1 is enough for the destination",
    rfc: "1122 §3.2.1.7",
    async run(p) {
      await p.open(SINK);
      p.send({ data: "hello", ip: { ttl: 1 } });
      return p.reply();
    },
    expected: "A 1 ack 6",
  },
  {
    name: "a TTL of 0 is no reason for the destination to drop",
    rfc: "1122 §3.2.1.7",
    async run(p) {
      await p.open(SINK);
      p.send({ data: "hello", ip: { ttl: 0 } });
      return p.reply();
    },
    expected: "A 1 ack 6",
  },
  {
    name: "bytes behind the total length are padding",
    rfc: "791 §3.1",
    async run(p) {
      await p.open(SINK);
      const ip = { source: p.address, destination: p.target, protocol: TCP };
      const segment = p.segment({ data: "hello" });
      p.sendIp(ip, Buffer.concat([segment, Buffer.alloc(9, 0xff)]), packet => {
        packet.writeUInt16BE(20 + segment.length, 2);
        packet.writeUInt16BE(0, 10);
        let sum = 0;
        for (let i = 0; i < 20; i += 2) sum += packet.readUInt16BE(i);
        while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
        packet.writeUInt16BE(~sum & 0xffff, 10);
      });
      return p.reply();
    },
    expected: "A 1 ack 6",
  },
  {
    name: "wrong IP header checksum",
    rfc: "1122 §3.2.1.2",
    run: broken(packet => {
      packet[10]! ^= 1;
    }),
    expected: "silence",
  },
  {
    name: "IP header length below 20",
    rfc: "1122 §3.2.1",
    run: broken(packet => {
      packet[0] = 0x44;
    }),
    expected: "silence",
  },
  {
    name: "total length beyond the packet",
    rfc: "791 §3.1",
    run: broken(packet => packet.writeUInt16BE(4000, 2)),
    expected: "silence",
  },
  {
    name: "IP version 5",
    rfc: "1122 §3.2.1.1",
    run: broken(packet => {
      packet[0] = 0x55;
    }),
    expected: "silence",
    linux: {
      shows: "ERROR write: errno 22",
      why: "Linux' TUN driver refuses it already; 1122 §3.2.1.1 wants it silently discarded",
    },
  },
  {
    name: "wrong TCP checksum",
    rfc: "9293 §3.1 (MUST-3)",
    async run(p) {
      await p.open(SINK);
      p.send({ data: "hello", breakTcp: segment => segment.writeUInt8(segment[16]! ^ 0x10, 16) });
      return p.reply();
    },
    expected: "silence",
  },
  {
    name: "TCP data offset below 5",
    rfc: "9293 §3.1",
    async run(p) {
      await p.open(SINK);
      p.send({ data: "hello", breakTcp: segment => segment.writeUInt8(0x40, 12) });
      return p.reply();
    },
    expected: "silence",
  },
  {
    name: "TCP data offset beyond the segment",
    rfc: "9293 §3.1",
    async run(p) {
      await p.open(SINK);
      p.send({ data: "hello", breakTcp: segment => segment.writeUInt8(0xf0, 12) });
      return p.reply();
    },
    expected: "silence",
  },
  {
    name: "a TCP header of 10 bytes",
    rfc: "9293 §3.1",
    async run(p) {
      await p.open(SINK);
      p.sendIp({ source: p.address, destination: p.target, protocol: TCP }, p.segment({}).subarray(0, 10));
      return p.reply();
    },
    expected: "silence",
  },
  {
    name: "a SYN from a multicast address",
    rfc: "9293 §3.9.2.3 (MUST-57)",
    async run(p) {
      p.serverPort = SINK;
      const source = Buffer.from([224, 0, 0, 9]);
      const ip = { source, destination: p.target, protocol: TCP };
      const none = Buffer.alloc(0);
      const syn = { sourcePort: 9, destinationPort: SINK, seq: 1, ack: 0, flags: "S", window: 1000 };
      p.sendIp(ip, buildTcp(ip, { ...syn, options: none, payload: none }));
      return p.reply();
    },
    expected: "silence",
  },
  {
    name: "segments arrive through a ring of 64 fragmented echoes",
    rfc: "791 §3.2",
    async run(p) {
      await p.open(ECHO);
      for (let i = 0; i < 64; i++) {
        const body = p.segment({ flags: "PA", data: Buffer.alloc(100, i) });
        p.sendFragments(
          TCP,
          body,
          [
            [64, body.length],
            [0, 64],
          ],
          1000 + i,
        );
        p.next += 100;
        await p.receive(100);
      }
      return `${p.got - 1} bytes`;
    },
    expected: "6400 bytes",
  },
];
