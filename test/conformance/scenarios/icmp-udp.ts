/** ICMP (RFC 792, 1122 §3.2.2, 5927, 1191) and UDP (RFC 768, 1122 §4.1). */
import { buildIp, type Received, TCP, UDP } from "../packet.js";
import { type Peer, tell } from "../peer.js";
import type { Scenario } from "../scenario.js";
import { DIAL, DIAL_PORT, ECHO, NOBODY, SINK, SOURCE } from "../services.js";

/** Kind of the first ICMP message or datagram that is no answer to our pings. */
async function other(p: Peer): Promise<string> {
  await p.fence();
  await p.sleep(60);
  await p.fence();
  const first = p.others.shift();
  return first === undefined ? "silence" : words(first);
}

function words(packet: Received): string {
  if (packet.protocol === UDP) return `UDP "${packet.body.subarray(8)}"`;
  const [type, code] = packet.body;
  return `ICMP ${type}/${code}${packet.checksumOk ? "" : " BAD CHECKSUM"}`;
}

/** A segment of the target, as a router would quote it: `seq` relative to its SYN. */
function quote(p: Peer, seq: number): Buffer {
  const tcp = Buffer.alloc(8);
  tcp.writeUInt16BE(p.serverPort, 0);
  tcp.writeUInt16BE(p.port, 2);
  tcp.writeUInt32BE((p.irs + seq) >>> 0, 4);
  return buildIp({ source: p.target, destination: p.address, protocol: TCP }, tcp);
}

export const ICMP_UDP: readonly Scenario[] = [
  {
    name: "echo request of 1400 bytes",
    rfc: "1122 §3.2.2.6",
    async run(p) {
      const data = Buffer.alloc(1400, "p");
      p.icmp(8, 0, 0x00010002, data);
      await p.until(() => (p.others.length > 0 ? true : undefined), 5000);
      const answer = p.others[0];
      if (answer === undefined) return "silence";
      const same = answer.body.subarray(8).equals(data) && answer.body.readUInt32BE(4) === 0x00010002;
      return `${words(answer)}, ${same ? "same" : "other"} data and identifier`;
    },
    expected: "ICMP 0/0, same data and identifier",
  },
  {
    name: "echo request with a wrong checksum",
    rfc: "1122 §3.2.2",
    async run(p) {
      p.icmp(8, 0, 1, Buffer.from("ping"), message => message.writeUInt16BE(1, 2));
      return other(p);
    },
    expected: "silence",
  },
  {
    name: "ICMP message of 4 bytes",
    rfc: "792",
    async run(p) {
      p.sendIp({ source: p.address, destination: p.target, protocol: 1 }, Buffer.from([8, 0, 0xf7, 0xff]));
      return other(p);
    },
    expected: "silence",
  },
  {
    name: "unknown ICMP type",
    rfc: "1122 §3.2.2",
    async run(p) {
      p.icmp(42, 0, 0, Buffer.from("what"));
      return other(p);
    },
    expected: "silence",
  },
  {
    name: "unreachable with a sequence number out of the window is ignored",
    rfc: "5927 §4",
    async run(p) {
      await p.open(ECHO);
      p.icmp(3, 3, 0, quote(p, 50_000));
      await p.fence();
      p.write("alive");
      return (await p.expect("echo", seen => seen.length > 0)).payload;
    },
    expected: "alive",
  },
  {
    name: "port unreachable for an established connection is not fatal",
    rfc: "1122 §4.2.3.9, 5927 §5",
    async run(p) {
      await p.open(ECHO);
      p.write("first");
      await p.expect("echo", seen => seen.length > 0);
      p.icmp(3, 3, 0, quote(p, 1));
      await p.fence();
      p.got = 6;
      p.write("second");
      return (await p.expect("echo", seen => seen.seq === 6 && seen.length > 0)).payload;
    },
    expected: "second",
  },
  {
    name: "port unreachable ends an attempt to connect",
    rfc: "1122 §4.2.3.9",
    async run(p) {
      await p.dialled(DIAL, DIAL_PORT);
      p.icmp(3, 3, 0, quote(p, 0));
      await p.fence();
      p.send({ flags: "SA", seq: 0 });
      return p.reply();
    },
    expected: "R 1",
  },
  {
    name: "unreachable with a wrong number does not end an attempt to connect",
    rfc: "5927 §4",
    async run(p) {
      await p.dialled(DIAL, DIAL_PORT);
      p.icmp(3, 3, 0, quote(p, 77));
      await p.fence();
      p.send({ flags: "SA", seq: 0 });
      return p.reply();
    },
    expected: "A 1 ack 1",
  },
  {
    name: "fragmentation needed: the data comes again in smaller segments",
    rfc: "1191 §6.4",
    async run(p) {
      await p.open(SOURCE);
      await p.expect("data", seen => seen.length === 1460);
      p.icmp(3, 4, 1000, quote(p, 1));
      const again = await p.expect("data again", seen => seen.seq === 1 && seen.length < 1460);
      return `${again.length} bytes`;
    },
    expected: "960 bytes",
  },
  {
    name: "fragmentation needed with a number out of the window is ignored",
    rfc: "5927 §7",
    async run(p) {
      await p.open(ECHO);
      p.icmp(3, 4, 600, quote(p, 90_000));
      await p.fence();
      p.write(Buffer.alloc(1460, "m"));
      const echo = await p.expect("echo", seen => seen.length > 0);
      return echo.length === 1460 ? "full segments" : tell(echo);
    },
    expected: "full segments",
  },
  {
    name: "truncated quote",
    rfc: "1122 §3.2.2",
    async run(p) {
      await p.open(ECHO);
      p.icmp(3, 3, 0, quote(p, 1).subarray(0, 23));
      await p.fence();
      p.write("alive");
      return (await p.expect("echo", seen => seen.length > 0)).payload;
    },
    expected: "alive",
  },
  {
    name: "source quench is ignored",
    rfc: "6633 §3",
    async run(p) {
      await p.open(ECHO);
      p.icmp(4, 0, 0, quote(p, 1));
      await p.fence();
      p.write("on");
      return (await p.expect("echo", seen => seen.length > 0)).payload;
    },
    expected: "on",
  },
  {
    name: "UDP is echoed",
    rfc: "768",
    async run(p) {
      p.udp(ECHO, "datagram");
      await p.until(() => (p.others.length > 0 ? true : undefined), 5000);
      return other(p);
    },
    expected: 'UDP "datagram"',
  },
  {
    name: "UDP to a closed port: port unreachable",
    rfc: "1122 §4.1.3.1",
    async run(p) {
      p.udp(NOBODY, "anybody?");
      return other(p);
    },
    expected: "ICMP 3/3",
  },
  {
    name: "UDP with a wrong checksum",
    rfc: "1122 §4.1.3.4",
    async run(p) {
      p.udp(NOBODY, "broken", datagram => datagram.writeUInt8(datagram[6]! ^ 1, 6));
      return other(p);
    },
    expected: "silence",
  },
  {
    name: "UDP without a checksum over IPv4",
    rfc: "768",
    async run(p) {
      p.udp(ECHO, "unsummed", datagram => datagram.writeUInt16BE(0, 6));
      await p.until(() => (p.others.length > 0 ? true : undefined), 5000);
      return other(p);
    },
    expected: 'UDP "unsummed"',
  },
  {
    name: "UDP length beyond the packet",
    rfc: "768",
    async run(p) {
      p.udp(NOBODY, "short", datagram => datagram.writeUInt16BE(500, 4));
      return other(p);
    },
    expected: "silence",
  },
  {
    name: "UDP length below 8",
    rfc: "768",
    async run(p) {
      p.udp(NOBODY, "tiny", datagram => datagram.writeUInt16BE(7, 4));
      return other(p);
    },
    expected: "silence",
  },
  {
    name: "unknown transport protocol",
    rfc: "1122 §3.2.2.1",
    async run(p) {
      p.sendIp({ source: p.address, destination: p.target, protocol: 253 }, Buffer.from("experimental"));
      return other(p);
    },
    expected: "silence",
    linux: {
      shows: "ICMP 3/2",
      why: "1122 §3.2.2.1 says SHOULD; the tunnel carries TCP, UDP and ICMP only, and what else comes is counted (ipUnknownProtocol)",
    },
  },
  {
    name: "no ICMP error about an ICMP error",
    rfc: "1122 §3.2.2",
    async run(p) {
      p.serverPort = SINK;
      p.icmp(3, 3, 0, quote(p, 0));
      return other(p);
    },
    expected: "silence",
  },
];
