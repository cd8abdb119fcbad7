import t from "tap";
import type { UdpFlow, Unreachable } from "../../src/netstack/index.js";
import { PEER, pattern, RawPeer, STACK } from "./raw-peer.js";

/** Takes every flow and records what it is told. */
class Receiver {
  flow: UdpFlow | null = null;
  got: Uint8Array[] = [];
  unreachable: Unreachable[] = [];
  closed = 0;
  private readonly peer: RawPeer;

  constructor(peer: RawPeer) {
    this.peer = peer;
    peer.onFlow = flow => this.take(flow);
  }

  take(flow: UdpFlow): void {
    this.flow = flow;
    flow.receiver = this;
  }

  onUdpData(offset: number, length: number): void {
    this.got.push(this.peer.arena.u8.slice(offset, offset + length));
  }

  onUdpUnreachable(why: Unreachable): void {
    this.unreachable.push(why);
  }

  onUdpClosed(): void {
    this.closed++;
  }
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (value: string) => new TextEncoder().encode(value);

/** Sends `data` on a flow. */
function sendOn(peer: RawPeer, flow: UdpFlow, data: Uint8Array): boolean {
  const at = peer.arena.reserve(data.length + 8);
  peer.arena.u8.set(data, at);
  return flow.send(at, data.length, peer.now);
}

for (const family of [4, 6] as const) {
  t.test(`RFC 768: the first datagram makes a flow, both ways, IPv${family}`, async t => {
    const peer = new RawPeer({ family });
    const receiver = new Receiver(peer);
    peer.inject(peer.udp(bytes("question")));
    t.same(receiver.got.map(text), ["question"], "given at once");
    t.equal(receiver.flow?.localPort, 53);
    t.ok(receiver.flow?.remote.equals(peer.peerAddress));
    peer.inject(peer.udp(bytes("again")));
    t.equal(peer.stack.udpFlows().length, 1);
    sendOn(peer, receiver.flow as UdpFlow, bytes("answer"));
    const sent = peer.packets.at(-1) as Uint8Array;
    const header = family === 4 ? 20 : 40;
    t.equal(text(sent.slice(header + 8)), "answer");
    t.same([receiver.flow?.bytesIn, receiver.flow?.bytesOut], [13, 6]);
    // The other end takes it: its checksum is right.
    const back = new RawPeer({ family });
    const other = new Receiver(back);
    back.inject(sent);
    t.same(other.got.map(text), ["answer"]);
  });

  t.test(`refuse sends ICMP that quotes the datagram, IPv${family}`, async t => {
    const peer = new RawPeer({ family });
    peer.onFlow = flow => flow.refuse("port");
    const datagram = peer.udp(bytes("question"));
    peer.inject(datagram);
    const [icmp] = peer.packets as [Uint8Array];
    const header = family === 4 ? 20 : 40;
    t.same([...icmp.slice(header, header + 2)], family === 4 ? [3, 3] : [1, 4]);
    t.same(icmp.slice(header + 8 + header, header + 8 + header + 6), datagram.slice(header, header + 6));
    t.equal(peer.stack.udpFlows().length, 0);
  });
}

t.test("a flow that the handler does not take is dropped silently, each time anew", async t => {
  const peer = new RawPeer();
  let asked = 0;
  peer.onFlow = () => asked++;
  peer.inject(peer.udp(bytes("a")));
  peer.inject(peer.udp(bytes("b")));
  t.equal(asked, 2);
  t.equal(peer.packets.length, 0);
});

t.test("idle flows are closed, busy ones are not", async t => {
  const peer = new RawPeer({ stack: { udpIdleMs: 10_000 } });
  const receiver = new Receiver(peer);
  peer.inject(peer.udp(bytes("a")));
  peer.step(9000);
  peer.inject(peer.udp(bytes("b")));
  peer.step(9000);
  t.equal(receiver.closed, 0);
  peer.step(1001);
  t.equal(receiver.closed, 1);
  t.equal(peer.stack.udpFlows().length, 0);
  t.equal(peer.stack.pollAt(), Number.POSITIVE_INFINITY);
  t.notOk(sendOn(peer, receiver.flow as UdpFlow, bytes("late")));
});

t.test("checksums: bad is dropped, absent is fine over IPv4 only (RFC 8200 §8.1)", async t => {
  for (const family of [4, 6] as const) {
    const peer = new RawPeer({ family });
    const receiver = new Receiver(peer);
    const packet = peer.udp(bytes("hello"));
    const at = packet.length - 13 + 6;
    packet[at] = (packet[at] as number) ^ 0x55;
    peer.inject(packet);
    t.equal(peer.stack.counters.udpBadChecksum, 1);
    packet[at] = 0;
    packet[at + 1] = 0;
    peer.inject(packet);
    t.equal(receiver.got.length, family === 4 ? 1 : 0);
  }
});

t.test("lengths that cannot be are dropped", async t => {
  const peer = new RawPeer();
  new Receiver(peer);
  for (const length of [0, 7, 14]) {
    const packet = peer.udp(bytes("hello"));
    packet[20 + 5] = length;
    peer.inject(packet, true);
  }
  t.equal(peer.stack.counters.udpBad, 3);
});

t.test("openUdp starts a flow; an ICMP error about it is told", async t => {
  const peer = new RawPeer();
  const receiver = new Receiver(peer);
  const flow = peer.stack.openUdp(peer, STACK, PEER, 53, peer.now);
  receiver.take(flow);
  sendOn(peer, flow, bytes("question"));
  const [sent] = peer.packets as [Uint8Array];
  const icmp = new Uint8Array(8 + 28);
  icmp.set([3, 3]);
  icmp.set(sent.slice(0, 28), 8);
  peer.inject(peer.ip(1, icmp, 2));
  t.same(receiver.unreachable, ["port"]);
});

t.test("past maxUdpFlows new flows are dropped and counted", async t => {
  const peer = new RawPeer({ stack: { maxUdpFlows: 2 } });
  new Receiver(peer);
  for (const port of [1, 2, 3]) peer.inject(peer.udp(bytes("x"), port));
  t.equal(peer.stack.udpFlows().length, 2);
  t.equal(peer.stack.counters.udpFlowLimit, 1);
});

t.test("one link may have its share of the flows only, and gets it back", async t => {
  const peer = new RawPeer({ stack: { maxUdpFlows: 8, linkShare: 0.25 } });
  new Receiver(peer);
  for (const port of [1, 2, 3]) peer.inject(peer.udp(bytes("x"), port));
  t.equal(peer.stack.udpFlows().length, 2);
  t.equal(peer.stack.counters.udpFlowLimit, 1);
  peer.stack.udpFlows()[0]?.refuse("port");
  peer.inject(peer.udp(bytes("x"), 3));
  t.equal(peer.stack.udpFlows().length, 2);
});

t.test("closeLink closes flows and tells them", async t => {
  const peer = new RawPeer();
  const receiver = new Receiver(peer);
  peer.inject(peer.udp(bytes("x")));
  peer.stack.closeLink(peer);
  t.equal(receiver.closed, 1);
  t.equal(peer.stack.udpFlows().length, 0);
});

t.test("partial checksums: the pseudo-header sum and the header length are handed over", async t => {
  const peer = new RawPeer({ checksum: "partial" });
  const receiver = new Receiver(peer);
  peer.inject(peer.udp(bytes("x")));
  sendOn(peer, receiver.flow as UdpFlow, pattern(100));
  const sent = peer.packets.at(-1) as Uint8Array;
  const field = ((sent[26] as number) << 8) | (sent[27] as number);
  let sum = 17 + 108;
  for (let i = 12; i < 20; i += 2) sum += ((sent[i] as number) << 8) | (sent[i + 1] as number);
  t.equal(field, (sum & 0xffff) + (sum >>> 16));
});
