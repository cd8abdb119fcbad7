/** Echo, errors that we send, errors that we get: RFC 792, 4443, 1122 §3.2.2, 5927, 1191, 8201. */
import t from "tap";
import type { Unreachable } from "../../src/netstack/index.js";
import { PEER, pattern, RawPeer, STACK } from "./raw-peer.js";

function echo(peer: RawPeer, length: number): Uint8Array {
  const message = new Uint8Array(8 + length);
  message.set(peer.family === 4 ? [8, 0, 0, 0, 0x12, 0x34, 0, 9] : [128, 0, 0, 0, 0x12, 0x34, 0, 9]);
  message.set(pattern(length), 8);
  return peer.ip(peer.family === 4 ? 1 : 58, message, 2);
}

for (const family of [4, 6] as const) {
  const header = family === 4 ? 20 : 40;

  t.test(`echo is answered with what it brought, IPv${family}`, async t => {
    const peer = new RawPeer({ family });
    const request = echo(peer, 56);
    peer.inject(request);
    const [reply] = peer.packets as [Uint8Array];
    t.equal(reply[header], family === 4 ? 0 : 129);
    t.same(reply.slice(header + 4), request.slice(header + 4));
    const back = new RawPeer({ family });
    back.inject(reply);
    t.equal(back.stack.counters.icmpBad, 0, "its checksum is right");
    t.equal(back.stack.counters.icmpUnhandled, 1);
  });

  t.test(`a large echo comes back in fragments, IPv${family}`, async t => {
    const peer = new RawPeer({ family, mtu: 1400 });
    peer.mtu = 1400;
    peer.inject(echo(peer, 3000));
    t.equal(peer.packets.length, 3);
    t.ok(peer.packets.every(packet => packet.length <= 1400));
  });

  t.test(`echo to an address that is not there: refused as the handler says, IPv${family}`, async t => {
    const codes = {
      network: 0,
      host: family === 4 ? 1 : 3,
      port: family === 4 ? 3 : 4,
      prohibited: family === 4 ? 13 : 1,
    };
    for (const [why, code] of Object.entries(codes)) {
      const peer = new RawPeer({ family });
      peer.echo = why as Unreachable;
      const request = echo(peer, 56);
      peer.inject(request);
      const [error] = peer.packets as [Uint8Array];
      t.same([...error.slice(header, header + 2)], [family === 4 ? 3 : 1, code]);
      t.same(
        error.slice(2 * header + 8, 2 * header + 16),
        request.slice(header, header + 8),
        "quotes eight bytes",
      );
      const addresses = family === 4 ? [12, 20] : [8, 40];
      t.same(
        error.slice(header + 8 + (addresses[0] as number), header + 8 + (addresses[1] as number)),
        request.slice(...addresses),
      );
    }
    const silent = new RawPeer({ family });
    silent.echo = "ignore";
    silent.inject(echo(silent, 56));
    t.equal(silent.packets.length, 0);
  });

  t.test(`an ICMP error answers a pending SYN and quotes it, IPv${family}`, async t => {
    const peer = new RawPeer({ family });
    peer.onSyn = connection => connection.unreachable("host");
    const syn = peer.segment({ flags: "S" });
    peer.inject(syn);
    t.equal(peer.packets.length, 0, "not before dispatch");
    peer.dispatch();
    const [error] = peer.packets as [Uint8Array];
    t.same([...error.slice(header, header + 2)], family === 4 ? [3, 1] : [1, 3]);
    t.same(
      error.slice(2 * header + 8, 2 * header + 16),
      syn.slice(header, header + 8),
      "ports and sequence number",
    );
    t.equal(peer.closed, "unreachable");
    t.equal(peer.stack.connections().length, 0);
  });
}

t.test("RFC 4443 §2.4 f: errors are limited", async t => {
  const peer = new RawPeer({ stack: { icmpErrorsPerSecond: 10, icmpErrorBurst: 5 } });
  peer.onFlow = flow => flow.refuse("port");
  for (let i = 0; i < 50; i++) peer.inject(peer.udp(pattern(10)));
  t.equal(peer.packets.length, 5);
  t.equal(peer.stack.counters.icmpRateLimited, 45);
  peer.step(1000);
  for (let i = 0; i < 50; i++) peer.inject(peer.udp(pattern(10)));
  t.equal(peer.packets.length, 10);
});

t.test("ICMP with a bad checksum is dropped", async t => {
  const peer = new RawPeer();
  const request = echo(peer, 56);
  request[30] = (request[30] as number) ^ 1;
  peer.inject(request);
  t.equal(peer.packets.length, 0);
  t.equal(peer.stack.counters.icmpBad, 1);
});

/** An error about `packet`, which the stack sent, with the given type, code and second word. */
function error(peer: RawPeer, packet: Uint8Array, type: number, code: number, rest = 0): Uint8Array {
  const header = peer.family === 4 ? 20 : 40;
  const message = new Uint8Array(8 + header + 8);
  message.set([type, code, 0, 0, rest >>> 24, rest >>> 16, rest >>> 8, rest]);
  message.set(packet.slice(0, header + 8), 8);
  return peer.ip(peer.family === 4 ? 1 : 58, message, 2);
}

function connecting(family: 4 | 6 = 4): { peer: RawPeer; syn: Uint8Array } {
  const peer = new RawPeer({ family });
  const connection = peer.stack.connect(peer, peer.stackAddress, peer.peerAddress, 80, peer.now);
  connection.user = peer;
  connection.attach(peer.receiveRing, peer.sendRing);
  peer.dispatch();
  return { peer, syn: peer.packets[0] as Uint8Array };
}

t.test("RFC 1122 §4.2.3.9: an error ends an attempt to connect, with its meaning", async t => {
  const v4 = {
    0: "unreachable",
    1: "unreachable",
    2: "refused",
    3: "refused",
    9: "prohibited",
    10: "prohibited",
    13: "prohibited",
  };
  for (const [code, why] of Object.entries(v4)) {
    const { peer, syn } = connecting();
    peer.inject(error(peer, syn, 3, Number(code)));
    t.equal(peer.closed, why, `IPv4 code ${code}`);
  }
  const v6 = { 0: "unreachable", 1: "prohibited", 3: "unreachable", 4: "refused", 5: "prohibited" };
  for (const [code, why] of Object.entries(v6)) {
    const { peer, syn } = connecting(6);
    peer.inject(error(peer, syn, 1, Number(code)));
    t.equal(peer.closed, why, `IPv6 code ${code}`);
  }
});

t.test("RFC 5927 §4.1: an error with a sequence number that is not outstanding does nothing", async t => {
  const { peer, syn } = connecting();
  const forged = Uint8Array.from(syn);
  forged[24] = (forged[24] as number) ^ 0x40;
  peer.inject(error(peer, forged, 3, 3));
  t.equal(peer.closed, null);
  t.equal(peer.stack.counters.icmpStray, 1);
});

t.test("RFC 5461 §4.1: an error about an established connection is only remembered", async t => {
  const peer = new RawPeer();
  peer.establish();
  peer.write("hello");
  peer.dispatch();
  const [packet] = peer.packets as [Uint8Array];
  peer.inject(error(peer, packet, 3, 1));
  t.equal(peer.closed, null);
  peer.step(3_600_000);
  t.equal(peer.closed, "unreachable", "told as the reason when it times out");
});

for (const family of [4, 6] as const) {
  t.test(`RFC 1191, RFC 8201: too big: sent again at once in smaller segments, IPv${family}`, async t => {
    const peer = new RawPeer({ family });
    peer.establish({ sack: true });
    peer.write(pattern(2000));
    peer.dispatch();
    const [packet] = peer.packets as [Uint8Array];
    peer.sent();
    peer.inject(family === 4 ? error(peer, packet, 3, 4, 1300) : error(peer, packet, 2, 0, 1300));
    peer.dispatch();
    const mss = 1300 - (family === 4 ? 40 : 60);
    const sent = peer.sent();
    t.equal(sent[0]?.seq, 1);
    t.ok(sent.every(segment => segment.data.length <= mss));
    t.equal(
      sent.reduce((sum, segment) => sum + segment.data.length, 0),
      family === 4 ? 1460 : 1440,
      "what fits is not sent again",
    );
    t.ok((peer.connection?.snd.congestion.ssthresh as number) > 1e9, "no sign of congestion");
    peer.send({ flags: ".", seq: 1, ack: 2001 });
    peer.write(pattern(2000));
    peer.dispatch();
    t.ok(
      peer.sent().every(segment => segment.data.length <= mss),
      "and so stays",
    );
  });
}

t.test("RFC 1191 §6.4: a link whose MTU shrinks: sent again at once in smaller segments", async t => {
  const peer = new RawPeer();
  peer.establish({ sack: true });
  peer.write(pattern(4000));
  peer.dispatch();
  t.same(
    peer.sent().map(({ data }) => data.length),
    [1460, 1460, 1080],
  );
  peer.mtu = 1240;
  peer.stack.linkMtuReduced(peer);
  peer.dispatch();
  const sent = peer.sent();
  t.same(
    sent.map(({ seq, data }) => [seq, data.length]),
    [
      [1, 1200],
      [1201, 1200],
      [2401, 520],
    ],
    "what fits is not sent again",
  );
  t.ok((peer.connection?.snd.congestion.ssthresh as number) > 1e9, "no sign of congestion");
});

for (const family of [4, 6] as const) {
  t.test(`RFC 8899 §3: the link is told of time-outs and of echo replies, IPv${family}`, async t => {
    const told: unknown[] = [];
    const peer = new RawPeer({ family });
    peer.path = {
      suspect: (local, remote, now) => told.push([`${local}`, `${remote}`, now > 10_000]),
      onEchoReply: rest => told.push(rest),
    };
    peer.establish({ sack: true });
    peer.write(pattern(1000));
    peer.dispatch();
    t.same(told, []);
    peer.step(3_000);
    t.same(told[0], [`${peer.stackAddress}`, `${peer.peerAddress}`, true]);
    told.length = 0;
    const reply = Uint8Array.from([family === 4 ? 0 : 129, 0, 0, 0, 0x12, 0x34, 0x56, 0x78]);
    peer.inject(peer.ip(family === 4 ? 1 : 58, reply, 2));
    t.same(told, [0x12345678]);
    t.equal(peer.stack.counters.icmpUnhandled, 0);
  });
}

t.test("RFC 1191 §3: a path MTU below the minimum is not believed", async t => {
  const peer = new RawPeer();
  peer.establish({ sack: true });
  peer.write(pattern(2000));
  peer.dispatch();
  const [packet] = peer.packets as [Uint8Array];
  peer.inject(error(peer, packet, 3, 4, 68));
  peer.dispatch();
  t.equal(peer.connection?.snd.mss, 536);
});

t.test("RFC 5927 §4: errors that are cut short or about nothing are counted", async t => {
  const { peer, syn } = connecting();
  peer.inject(peer.ip(1, Uint8Array.from([3, 3, 0, 0, 0, 0, 0, 0, 0x45, 0]), 2));
  t.equal(peer.stack.counters.icmpBad, 1);
  const other = Uint8Array.from(syn);
  other[23] = 99;
  peer.inject(error(peer, other, 3, 3));
  t.equal(peer.stack.counters.icmpStray, 1);
  t.equal(peer.closed, null);
});

t.test("RFC 1122 §3.2.1.3: packets from or to what is no host are dropped", async t => {
  const peer = new RawPeer();
  const packet = peer.udp(pattern(10));
  for (const [at, byte] of [
    [12, 224],
    [12, 255],
    [12, 0],
    [16, 224],
    [16, 255],
  ] as const) {
    const bad = Uint8Array.from(packet);
    bad[at] = byte;
    fixHeader(bad);
    peer.inject(bad, true);
  }
  t.equal(peer.stack.counters.ipBadAddress, 5);
  const reserved = Uint8Array.from(packet);
  reserved[12] = 246;
  fixHeader(reserved);
  peer.inject(reserved, true);
  t.equal(peer.stack.counters.ipBadAddress, 5, "service ranges lie in 240/4");
  t.ok(PEER.family === STACK.family);
});

t.test("RFC 1122 §3.2.1: IP headers that cannot be are dropped and counted", async t => {
  const peer = new RawPeer();
  const { counters } = peer.stack;
  peer.inject(new Uint8Array(10));
  t.equal(counters.ipTooShort, 1);
  const good = peer.udp(pattern(10));
  const change = (at: number, byte: number) => {
    const bad = Uint8Array.from(good);
    bad[at] = byte;
    peer.inject(bad, true);
  };
  change(0, 0x55);
  t.equal(counters.ipBadVersion, 1);
  change(0, 0x44);
  change(3, 200);
  change(3, 10);
  t.equal(counters.ipBadHeader, 3);
  change(8, 1);
  t.equal(counters.ipBadChecksum, 1);
  const other = Uint8Array.from(good);
  other[9] = 132;
  fixHeader(other);
  peer.inject(other, true);
  t.equal(counters.ipUnknownProtocol, 1);
});

/** Makes the IPv4 header checksum right again. */
function fixHeader(packet: Uint8Array): void {
  const view = new DataView(packet.buffer);
  view.setUint16(10, 0);
  let sum = 0;
  for (let i = 0; i < 20; i += 2) sum += view.getUint16(i);
  sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(10, ~((sum & 0xffff) + (sum >>> 16)) & 0xffff);
}
