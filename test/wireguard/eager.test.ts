/** What eager peers, retired peers and draining devices do otherwise than the paper's §6 has it. */
import t from "tap";
import { Prefix } from "../../src/base/index.js";
import { asksForAnswer } from "../../src/wireguard/questions.js";
import { A_TO_B, B_TO_A, endpoint, type Host, ipv4, pair, type World } from "./world.js";

const INITIATION = 1;

/** a is eager about b; a session is there. */
function connected(): ReturnType<typeof pair> {
  const both = pair();
  both.a.device.updatePeer(both.b.publicKey, { eager: true }, 0);
  both.a.send(both.atA, A_TO_B);
  both.world.advance(60);
  both.b.send(both.atB, B_TO_A);
  both.world.advance(940);
  return both;
}

function gaps(world: World, host: Host, since: number): number[] {
  const times = [since, ...world.sent(host, INITIATION, since)];
  return times.slice(1).map((at, i) => at - (times[i] as number));
}

t.test("silence is noticed after 1 s, retries come each second, then each 5 s", async t => {
  const { world, a, b, atA } = connected();
  const since = world.now;
  world.filter = d => (d.from === b.address ? [] : [d]);
  a.send(atA, A_TO_B);
  world.advance(20_000);
  const seen = gaps(world, a, since);
  t.equal(seen.length, 8, seen.join());
  t.ok(
    seen.slice(0, 6).every(gap => gap >= 1_000 && gap <= 1_333),
    seen.join(),
  );
  t.ok(
    seen.slice(6).every(gap => gap >= 5_000 && gap <= 5_333),
    seen.join(),
  );
  world.filter = d => [d];
  world.advance(6_000);
  t.equal(a.events.at(-1), "restored", "what was sent meanwhile is lost, and the owner is told");
});

t.test("the side that is called after silence knows as well that what it sent is lost", async t => {
  const { world, a, b, atA, atB } = connected();
  world.filter = () => [];
  b.send(atB, B_TO_A);
  world.advance(1_500);
  world.filter = d => [d];
  a.device.networkChanged(world.now);
  world.advance(100);
  t.same([a.events.at(-1), b.events.at(-1)], ["restored", "restored"]);
  while (world.now < 250_000) {
    b.send(atB, B_TO_A);
    world.advance(100);
    a.send(atA, A_TO_B);
    world.advance(400);
  }
  t.same([a.events.at(-1), b.events.at(-1)], ["handshake", "handshake"], "a renewal in time is none of this");
});

t.test("a peer that starts anew and calls at once has lost what was open", async t => {
  const { world, a, b } = connected();
  const other = world.host(b.address);
  other.device.setPrivateKey(b.device.privateKey);
  const again = other.peer(a, { allowedIps: [Prefix.from("10.0.0.1/32")], endpoint: endpoint(a) });
  b.address = "192.0.2.99:9";
  again.initiate(world.now);
  world.advance(100);
  t.equal(a.events.at(-1), "restored");
});

t.test("a replica that has never heard of the session takes it over", async t => {
  const { world, a, b, atA } = connected();
  const other = world.host(b.address);
  other.device.setPrivateKey(b.device.privateKey);
  other.peer(a, { allowedIps: [Prefix.from("10.0.0.1/32")] });
  b.address = "192.0.2.99:9";
  const since = world.now;
  a.send(atA, A_TO_B);
  world.advance(1_500);
  t.equal(a.events.at(-1), "restored", `after ${gaps(world, a, since)} ms`);
  a.send(atA, A_TO_B);
  world.advance(50);
  t.equal(other.received.length, 1);
});

t.test("a peer that is there but has nothing to say is asked ever less often", async t => {
  const { world, a, atA } = connected();
  const since = world.now;
  while (world.now < since + 120_000) {
    a.send(atA, A_TO_B);
    world.advance(100);
  }
  const seen = gaps(world, a, since);
  t.ok(seen.length <= 12, seen.join());
  t.ok(
    seen.slice(0, 3).every((gap, i) => gap <= 2 ** i * 1_000 + 450),
    seen.join(),
  );
});

t.test("a long round trip is no silence", async t => {
  const { world, a, atA } = pair();
  world.delayMs = 700;
  a.device.lookup(atA.publicKey);
  a.device.updatePeer(atA.publicKey, { eager: true }, 0);
  a.send(atA, A_TO_B);
  // The first handshake knows of no round trip: its repetitions are in vain until the pace is the paper's.
  world.advance(20_000);
  t.ok(atA.hasSession(world.now));
  const since = world.now;
  const at = world.hosts[1] as Host;
  while (world.now < since + 30_000) {
    a.send(atA, A_TO_B);
    at.send(at.device.peers().next().value as never, B_TO_A);
    world.advance(1_000);
  }
  t.same(gaps(world, a, since), []);
});

/** From a to b: a segment with flags and `payload` bytes, or an ICMP message of a type. */
function tcp(flags: number, payload: number): Uint8Array {
  const packet = ipv4("10.0.0.1", "10.0.0.2", 40 + payload, 0);
  packet[9] = 6;
  packet[32] = 5 << 4;
  packet[33] = flags;
  return packet;
}

function icmp(type: number): Uint8Array {
  const packet = ipv4("10.0.0.1", "10.0.0.2", 64, 0);
  packet[9] = 1;
  packet[20] = type;
  return packet;
}

const [FIN, SYN, RST, ACK] = [1, 2, 4, 16];

t.test("RFC 9293 §3.8.6.3, RFC 1122 §3.2.2: which packets ask for an answer", async t => {
  const asks = (packet: Uint8Array): boolean => asksForAnswer(new DataView(packet.buffer), 0, packet.length);
  const fragment = tcp(ACK, 0);
  fragment[7] = 1;
  const v6 = new Uint8Array(60);
  v6[0] = 0x60;
  v6[6] = 6;
  v6[52] = 5 << 4;
  v6[53] = ACK;
  for (const packet of [
    tcp(ACK, 1),
    tcp(SYN, 0),
    tcp(FIN | ACK, 0),
    icmp(8),
    A_TO_B,
    fragment,
    new Uint8Array(3),
  ])
    t.ok(asks(packet), packet.subarray(0, 40).join());
  for (const packet of [tcp(ACK, 0), tcp(RST, 0), icmp(0), icmp(3), v6])
    t.notOk(asks(packet), packet.subarray(0, 40).join());
});

t.test(
  "an acknowledgement that stays the last packet costs no handshake: the peer is asked, once",
  async t => {
    const { world, a, b, atA, atB } = connected();
    let asked = 0;
    a.ask = peer => {
      asked++;
      return a.send(peer, icmp(8)) > 0;
    };
    const since = world.now;
    // What an idle laptop has: now and then something comes, and is acknowledged.
    for (let i = 0; i < 10; i++) {
      b.send(atB, B_TO_A);
      world.advance(50);
      a.send(atA, tcp(ACK, 0));
      world.advance(1_400);
      b.send(atB, B_TO_A);
      world.advance(7_550);
    }
    t.same(gaps(world, a, since), []);
    t.equal(asked, 10);
  },
);

t.test("a peer that died after it was acknowledged is missed all the same", async t => {
  const { world, a, b, atA } = connected();
  a.ask = peer => a.send(peer, icmp(8)) > 0;
  world.filter = d => (d.from === b.address ? [] : [d]);
  const since = world.now;
  a.send(atA, tcp(ACK, 0));
  world.advance(3_000);
  const [first = Number.NaN] = gaps(world, a, since);
  t.ok(first >= 2_000 && first <= 2_333, `after ${first} ms`);
});

t.test("retired: what is open goes on, nothing new is started, and silence is told", async t => {
  const { world, a, b, atA, atB } = connected();
  a.device.updatePeer(b.publicKey, { persistentKeepaliveSeconds: 25 }, world.now);
  world.advance(100);
  atA.retire();
  const since = world.now;
  for (let i = 0; i < 150; i++) {
    a.send(atA, A_TO_B);
    b.send(atB, B_TO_A);
    world.advance(1_000);
  }
  t.equal(b.received.length, 151);
  t.same(gaps(world, a, since), []);
  t.notOk(atA.silent);
  world.filter = () => [];
  a.send(atA, A_TO_B);
  world.advance(16_000);
  t.ok(atA.silent);
  t.same(gaps(world, a, since), []);
});

t.test("draining: a session is renewed where it is, and from elsewhere nobody is answered", async t => {
  const { world, a, b, atA } = connected();
  b.device.drain();
  const newcomer = world.host("192.0.2.77:7");
  newcomer.device.setPrivateKey(a.device.privateKey);
  const elsewhere = newcomer.peer(b, { endpoint: endpoint(b) });
  elsewhere.initiate(world.now);
  world.advance(50);
  t.equal(b.results.at(-1), "draining");
  t.notOk(elsewhere.hasSession(world.now));
  world.advance(10_000);
  atA.initiate(world.now);
  world.advance(50);
  t.equal(a.events.filter(event => event === "handshake").length, 2, "renewed");
});
