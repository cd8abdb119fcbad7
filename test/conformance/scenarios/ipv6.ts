/** The same over IPv6: RFC 8200, RFC 4443, RFC 8201. */
import { buildIp, buildTcp, ICMP6, mss, TCP, UDP } from "../packet.js";
import type { Peer } from "../peer.js";
import type { Scenario } from "../scenario.js";
import { ECHO, NOBODY, SINK, SOURCE } from "../services.js";

async function other(p: Peer): Promise<string> {
  await p.fence();
  await p.sleep(60);
  await p.fence();
  const first = p.others.shift();
  if (first === undefined) return "silence";
  if (first.protocol === UDP) return `UDP "${first.body.subarray(8)}"`;
  return `ICMPv6 ${first.body[0]}/${first.body[1]}${first.checksumOk ? "" : " BAD CHECKSUM"}`;
}

async function inPieces(p: Peer, pieces: readonly [number, number][]): Promise<string> {
  await p.open(SINK, { mss: 1220 });
  const body = p.segment({ flags: "PA", data: "x".repeat(180) });
  p.sendFragments(
    TCP,
    body,
    pieces.map(([from, to]) => [from, Math.min(to, body.length)]),
  );
  return p.reply();
}

/** A data segment behind extension headers: `headers` begin with their own next-header byte unset. */
async function behind(p: Peer, first: number, header: Buffer): Promise<string> {
  await p.open(SINK);
  header[0] = TCP;
  const ip = { source: p.address, destination: p.target, protocol: TCP };
  p.sendIp({ ...ip, protocol: first }, Buffer.concat([header, p.segment({ data: "hello" })]));
  return p.reply();
}

const scenario = (one: Omit<Scenario, "v6">): Scenario => ({ ...one, name: `IPv6: ${one.name}`, v6: true });

export const IPV6: readonly Scenario[] = [
  {
    name: "handshake and data",
    rfc: "9293 §3.5, 8200 §8.1",
    async run(p: Peer) {
      await p.open(ECHO);
      p.write("six");
      return (await p.expect("echo", seen => seen.length > 0)).payload;
    },
    expected: "six",
  },
  {
    name: "closed TCP port",
    rfc: "9293 §3.10.7.1",
    async run(p: Peer) {
      p.syn(NOBODY);
      return p.reply();
    },
    expected: "RA 0 ack 1",
  },
  {
    name: "without an MSS option segments have 1220 bytes",
    rfc: "9293 §3.7.1 (MUST-15)",
    async run(p: Peer) {
      await p.open(SOURCE, { mss: null });
      return `${(await p.expect("data", seen => seen.length > 0)).length} bytes`;
    },
    expected: "1220 bytes",
  },
  {
    name: "two fragments",
    rfc: "8200 §4.5",
    run: (p: Peer) =>
      inPieces(p, [
        [0, 96],
        [96, 999],
      ]),
    expected: "A 1 ack 181",
  },
  {
    name: "overlapping fragments void the datagram",
    rfc: "5722 §3",
    run: (p: Peer) =>
      inPieces(p, [
        [0, 96],
        [80, 999],
      ]),
    expected: "silence",
  },
  {
    name: "atomic fragment is a whole packet",
    rfc: "6946 §4",
    run: (p: Peer) => inPieces(p, [[0, 999]]),
    expected: "A 1 ack 181",
  },
  {
    name: "hop-by-hop options are skipped",
    rfc: "8200 §4.3",
    run: (p: Peer) => behind(p, 0, Buffer.from([0, 0, 1, 4, 0, 0, 0, 0])),
    expected: "A 1 ack 6",
  },
  {
    name: "destination options are skipped",
    rfc: "8200 §4.6",
    run: (p: Peer) => behind(p, 60, Buffer.from([0, 0, 1, 4, 0, 0, 0, 0])),
    expected: "A 1 ack 6",
  },
  {
    name: "extension header longer than the packet",
    rfc: "8200 §4",
    async run(p: Peer) {
      await p.open(SINK);
      p.sendIp(
        { source: p.address, destination: p.target, protocol: 60 },
        Buffer.from([TCP, 200, 1, 4, 0, 0, 0, 0]),
      );
      return p.reply();
    },
    expected: "silence",
  },
  {
    name: "wrong TCP checksum",
    rfc: "8200 §8.1",
    async run(p: Peer) {
      await p.open(SINK);
      p.send({ data: "hello", breakTcp: segment => segment.writeUInt8(segment[16]! ^ 1, 16) });
      return p.reply();
    },
    expected: "silence",
  },
  {
    name: "payload length beyond the packet",
    rfc: "8200 §3",
    async run(p: Peer) {
      await p.open(SINK);
      p.send({ data: "hello", breakIp: packet => packet.writeUInt16BE(3000, 4) });
      return p.reply();
    },
    expected: "silence",
  },
  {
    name: "UDP to a closed port: port unreachable",
    rfc: "4443 §3.1",
    async run(p: Peer) {
      p.udp(NOBODY, "anybody?");
      return other(p);
    },
    expected: "ICMPv6 1/4",
  },
  {
    name: "UDP without a checksum is dropped",
    rfc: "8200 §8.1",
    async run(p: Peer) {
      p.udp(NOBODY, "unsummed", datagram => datagram.writeUInt16BE(0, 6));
      return other(p);
    },
    expected: "silence",
  },
  {
    name: "packet too big: the data comes again in smaller segments",
    rfc: "8201 §4",
    async run(p: Peer) {
      await p.open(SOURCE, { mss: 1440 });
      const first = await p.expect("data", seen => seen.length > 1300);
      const tcp = Buffer.alloc(8);
      tcp.writeUInt16BE(p.serverPort, 0);
      tcp.writeUInt16BE(p.port, 2);
      tcp.writeUInt32BE(first.fields.seq, 4);
      const quoted = buildIp({ source: p.target, destination: p.address, protocol: TCP }, tcp);
      // The whole segment would be quoted by a router; Linux reads the first bytes only.
      p.icmp(2, 0, 1300, Buffer.concat([quoted, Buffer.alloc(40)]));
      const again = await p.expect("data again", seen => seen.seq === 1 && seen.length < first.length);
      return `${again.length} bytes`;
    },
    expected: "1240 bytes",
  },
  {
    name: "echo with an ICMPv6 checksum that leaves the pseudo-header out",
    rfc: "4443 §2.3",
    async run(p: Peer) {
      const ip = { source: p.address, destination: p.target, protocol: ICMP6 };
      const message = Buffer.from([128, 0, 0, 0, 0, 1, 0, 1]);
      message.writeUInt16BE(~(0x8000 + 1 + 1) & 0xffff, 2);
      p.sendIp(ip, message);
      return other(p);
    },
    expected: "silence",
  },
  {
    name: "SYN from a multicast address",
    rfc: "9293 §3.9.2.3 (MUST-57)",
    async run(p: Peer) {
      const source = Buffer.from("ff020000000000000000000000000001", "hex");
      const ip = { source, destination: p.target, protocol: TCP };
      const syn = { sourcePort: 9, destinationPort: SINK, seq: 1, ack: 0, flags: "S", window: 1000 };
      p.sendIp(ip, buildTcp(ip, { ...syn, options: mss(1000), payload: Buffer.alloc(0) }));
      return p.reply();
    },
    expected: "silence",
  },
].map(scenario);
