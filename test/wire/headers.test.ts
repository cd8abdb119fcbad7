import t from "tap";
import { Arena } from "../../src/base/index.js";
import * as wire from "../../src/wire/index.js";

const view = (bytes: number[]) => new DataView(Uint8Array.from(bytes).buffer);

t.test("RFC 791 §3.1: a header from the wire", async t => {
  const v = view([
    0x46, 0, 0x05, 0xdc, 0xbe, 0xef, 0x20, 0xb9, 0x3f, 17, 0xab, 0xcd, 10, 0, 0, 1, 224, 0, 0, 251, 0, 0, 0,
    0,
  ]);
  t.equal(wire.ipVersion(v, 0), 4);
  t.equal(wire.ipv4HeaderBytes(v, 0), 24);
  t.equal(wire.ipv4TotalLength(v, 0), 1500);
  t.equal(wire.ipv4Identification(v, 0), 0xbeef);
  t.equal(wire.ipv4FragmentWord(v, 0) & wire.IPV4_MORE_FRAGMENTS, wire.IPV4_MORE_FRAGMENTS);
  t.equal((wire.ipv4FragmentWord(v, 0) & wire.IPV4_FRAGMENT_OFFSET_MASK) * 8, 1480);
  t.equal(wire.ipv4Ttl(v, 0), 63);
  t.equal(wire.ipv4Protocol(v, 0), wire.PROTOCOL_UDP);
  t.equal(wire.ipv4Source(v, 0), 0x0a000001);
  t.equal(wire.ipv4Destination(v, 0) >>> 0, 0xe00000fb);
});

t.test("IPv4: what is written is read, and its checksum is right", async t => {
  const arena = new Arena(64);
  wire.writeIpv4(arena.view, 3, 1420, 0x1234, wire.IPV4_DONT_FRAGMENT, 6, 0x0a000001, 0xc0a80101 | 0);
  t.ok(wire.ipv4ChecksumOk(arena, 3));
  t.equal(wire.ipv4TotalLength(arena.view, 3), 1420);
  t.equal(wire.ipv4Identification(arena.view, 3), 0x1234);
  t.equal(wire.ipv4FragmentWord(arena.view, 3), 0x4000);
  t.equal(wire.ipv4Source(arena.view, 3), 0x0a000001);
  t.equal(wire.ipv4Destination(arena.view, 3), 0xc0a80101 | 0);
  arena.u8[7] = (arena.u8[7] as number) ^ 1;
  t.notOk(wire.ipv4ChecksumOk(arena, 3));
});

t.test("RFC 8200 §3, §4.5: IPv6 and its fragment header", async t => {
  const v = new DataView(new ArrayBuffer(64));
  wire.writeIpv6(v, 0, 1380, wire.IPV6_FRAGMENT);
  v.setInt32(8, 0x20010db8);
  v.setInt32(36, 0x99);
  t.equal(wire.ipVersion(v, 0), 6);
  t.equal(wire.ipv6PayloadLength(v, 0), 1380);
  t.equal(wire.ipv6NextHeader(v, 0), 44);
  t.equal(wire.ipv6HopLimit(v, 0), 64);
  t.equal(wire.ipv6SourceWord(v, 0, 0), 0x20010db8);
  t.equal(wire.ipv6DestinationWord(v, 0, 3), 0x99);
  wire.writeIpv6Fragment(v, 40, 17, 1368, true, 0xabcdef01 | 0);
  t.equal(wire.extensionNextHeader(v, 40), 17);
  t.equal(wire.ipv6FragmentOffset(v, 40), 1368);
  t.ok(wire.ipv6MoreFragments(v, 40));
  t.equal(wire.ipv6FragmentId(v, 40), 0xabcdef01 | 0);
  v.setUint8(41, 2);
  t.equal(wire.extensionBytes(v, 40), 24);
});

t.test("RFC 768 and RFC 792", async t => {
  const udp = view([0x9c, 0x40, 0, 53, 0, 12, 0xaa, 0xbb]);
  t.same(
    [
      wire.udpSourcePort(udp, 0),
      wire.udpDestinationPort(udp, 0),
      wire.udpLength(udp, 0),
      wire.udpChecksum(udp, 0),
    ],
    [40_000, 53, 12, 0xaabb],
  );
  const icmp = new DataView(new ArrayBuffer(8));
  wire.writeIcmp(icmp, 0, 3, 4, 1300);
  t.same([wire.icmpType(icmp, 0), wire.icmpCode(icmp, 0), wire.icmp4Mtu(icmp, 0)], [3, 4, 1300]);
  t.equal(wire.icmpRest(icmp, 0), 1300);
});

t.test("RFC 9293 §3.1: a TCP header round trip, numbers signed", async t => {
  const v = new DataView(new ArrayBuffer(64));
  wire.writeTcp(v, 4, (40_000 << 16) | 443, -2, 0x7fffffff, 60, wire.TCP_ACK | wire.TCP_PSH, 0xfffe);
  t.equal(wire.tcpSourcePort(v, 4), 40_000);
  t.equal(wire.tcpDestinationPort(v, 4), 443);
  t.equal(wire.tcpSequence(v, 4), -2);
  t.equal(wire.tcpAcknowledgment(v, 4), 0x7fffffff);
  t.equal(wire.tcpHeaderBytes(v, 4), 60);
  t.equal(wire.tcpFlags(v, 4), 0x18);
  t.equal(wire.tcpWindow(v, 4), 0xfffe);
});
