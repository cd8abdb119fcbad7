/** Two devices back to back: handshake, data, routing, staging, roaming, keys that do not fit. */
import t from "tap";
import { type Endpoint, FIRST_PIECE_BYTES, Prefix, parseEndpoint, toHex } from "../../src/base/index.js";
import { Drop } from "../../src/wireguard/index.js";
import { A_TO_B, B_TO_A, endpoint, ipv4, ipv6, pair, SeededRandom, World } from "./world.js";

const INITIATION = 1;
const RESPONSE = 2;
const TRANSPORT = 4;

interface Sealed {
  sealed: number;
  bytes: Uint8Array;
  tx: number;
}

t.test("the first packet waits for the handshake and arrives; then both ways without one", async t => {
  const { world, a, b, atA, atB } = pair();
  t.equal(a.send(atA, A_TO_B), 0, "staged");
  world.advance(40);
  t.same(
    world.log.map(d => [d.from.slice(0, 9), d.type, d.bytes.length, d.at]),
    [
      ["192.0.2.1", INITIATION, 148, 0],
      ["192.0.2.2", RESPONSE, 92, 10],
      ["192.0.2.1", TRANSPORT, 16 + 112 + 16, 20],
    ],
    "the staged packet itself confirms the keys",
  );
  t.same(b.received, [{ from: atB, bytes: A_TO_B }], "padding is gone");
  t.equal(b.send(atB, B_TO_A), 16 + 208 + 16);
  t.equal(a.send(atA, A_TO_B), 16 + 112 + 16);
  world.advance(10);
  t.same(a.received, [{ from: atA, bytes: B_TO_A }]);
  t.equal(b.received.length, 2);
  t.same(a.events, ["handshake"]);
  t.same(b.events, ["endpoint 192.0.2.1:1001", "handshake"], "b learns where a is");
  t.equal(atA.rttMs, 20);
  t.equal(atA.txBytes, 148 + 144 + 144);
  t.equal(atA.rxBytes, 92 + 240);
  t.equal(atB.rxBytes, atA.txBytes);
  t.equal(atB.txBytes, atA.rxBytes);
});

t.test("paper §5.4.5: a responder sends no data before it was sent some", async t => {
  const { world, a, b, atA, atB } = pair();
  world.filter = d => (d.bytes[0] === TRANSPORT ? [] : [d]);
  a.send(atA, A_TO_B);
  world.advance(15);
  t.same(world.sent(b, RESPONSE), [10]);
  t.equal(b.send(atB, B_TO_A), 0, "keys are there but not confirmed");
  world.filter = d => [d];
  a.send(atA, A_TO_B);
  world.advance(20);
  a.send(atA, A_TO_B);
  world.advance(20);
  t.same(a.received, [{ from: atA, bytes: B_TO_A }], "the staged packet follows the confirmation");
});

t.test("without traffic the initiator confirms with an empty packet", async t => {
  const { world, a, b, atA, atB } = pair();
  atA.initiate(world.now);
  world.advance(40);
  t.same(
    world.log.map(d => d.bytes.length),
    [148, 92, 32],
  );
  t.same(b.results.slice(-1), [0]);
  t.ok(atB.hasSession(world.now));
  t.same(a.events, ["handshake"]);
});

t.test("both initiate at once: both sessions work", async t => {
  const { world, a, b, atA, atB } = pair();
  b.device.updatePeer(a.publicKey, { endpoint: endpoint(a) }, 0);
  a.send(atA, A_TO_B);
  b.send(atB, B_TO_A);
  world.advance(100);
  t.equal(a.received.length, 1);
  t.equal(b.received.length, 1);
  for (let i = 0; i < 3; i++) {
    a.send(atA, A_TO_B);
    b.send(atB, B_TO_A);
    world.advance(20);
  }
  t.equal(a.received.length, 4);
  t.equal(b.received.length, 4);
});

t.test("padding: to 16 bytes with zeros, never past the MTU, larger packets as they are", async t => {
  const world = new World();
  const a = world.host("192.0.2.1:1001", { mtu: 1000 });
  const b = world.host("192.0.2.2:1002", { mtu: 1000 });
  const atA = a.peer(b, { endpoint: endpoint(b) });
  b.peer(a, { allowedIps: [Prefix.from("10.0.0.1/32")] });
  atA.initiate(0);
  world.advance(50);
  const sizes: [number, number][] = [
    [20, 32],
    [32, 32],
    [33, 48],
    [992, 992],
    [993, 1000],
    [1000, 1000],
    [1200, 1200],
  ];
  for (const [length, padded] of sizes) {
    t.equal(a.send(atA, ipv4("10.0.0.1", "10.0.0.2", length)), 16 + padded + 16, `${length} bytes`);
    world.advance(20);
    t.equal(b.received.at(-1)?.bytes.length, length);
  }
});

t.test("packets alike are sealed as one by one; where they need padding, none is", async t => {
  const random = new SeededRandom(9);
  for (let round = 0; round < 60; round++) {
    // Two worlds with the same keys.
    const [one, other] = [0, 1].map(() => {
      const ends = pair();
      ends.a.send(ends.atA, A_TO_B);
      ends.world.advance(40);
      return ends;
    }) as [ReturnType<typeof pair>, ReturnType<typeof pair>];
    const length = round % 3 === 0 ? 1420 : 64 + 4 * (random.uint32() % 300);
    const [count, stride] = [1 + (random.uint32() % 40), 16 + length + 16];
    const packets = Array.from({ length: count }, (_, i) => ipv4("10.0.0.1", "10.0.0.2", length, i));
    const spaceBytes = count * stride + 64;
    const [first, second] = [one, other].map(({ a, atA }, which) => {
      const { arena, device, world } = a;
      const at = arena.reserve(spaceBytes + 64) + 64;
      for (const [i, packet] of packets.entries()) arena.u8.set(packet, at + i * stride);
      const before = atA.txBytes;
      let sealed = count;
      if (which === 0) for (let i = 0; i < count; i++) device.seal(atA, at + i * stride, length, world.now);
      else
        sealed = device.sealAlike(atA, count, at, stride, length, at + FIRST_PIECE_BYTES, stride, world.now);
      device.runSeals();
      return { sealed, bytes: arena.u8.slice(at - 16, at + count * stride), tx: atA.txBytes - before };
    }) as [Sealed, Sealed];
    if (length % 16 !== 0 && length !== 1420) {
      t.equal(second.sealed, 0, `${length} bytes`);
      t.equal(second.tx, 0);
    } else {
      t.same(second, first, `${count} of ${length} bytes`);
    }
  }
});

t.test("packets alike without a session are not sealed", async t => {
  const { a, atA } = pair();
  const at = a.arena.reserve(4096) + 64;
  t.equal(a.device.sealAlike(atA, 3, at, 96, 64, at + FIRST_PIECE_BYTES, 96, 0), 0);
  t.equal(atA.txBytes, 0);
});

t.test("staging: 64 packets or 128 KiB, the oldest go", async t => {
  const { world, a, b, atA } = pair();
  for (let i = 0; i < 70; i++) a.send(atA, ipv4("10.0.0.1", "10.0.0.2", 100, i));
  world.advance(100);
  t.same(
    b.received.map(packet => packet.bytes[50]),
    Array.from({ length: 64 }, (_, i) => i + 6),
  );
  t.equal(a.device.counters.stagedDropped, 6);
  const other = pair();
  for (let i = 0; i < 50; i++) other.a.send(other.atA, ipv4("10.0.0.1", "10.0.0.2", 3000, i));
  other.world.advance(100);
  t.equal(other.b.received.length, Math.floor((128 * 1024) / 3000));
});

t.test("a packet for a peer without an endpoint goes once the endpoint is known", async t => {
  const world = new World();
  const a = world.host("192.0.2.1:1001");
  const b = world.host("192.0.2.2:1002");
  const atA = a.peer(b);
  b.peer(a, { allowedIps: [Prefix.from("0.0.0.0/0")] });
  t.equal(a.send(atA, A_TO_B), 0);
  world.advance(1000);
  t.equal(world.log.length, 0);
  a.device.updatePeer(b.publicKey, { endpoint: endpoint(b) }, world.now);
  world.advance(100);
  t.equal(b.received.length, 1);
});

t.test("cryptokey routing: inner source checked, inner packet checked, destination routed", async t => {
  const { world, a, b, atA } = pair();
  const other = world.host("192.0.2.3:1003");
  const atBOther = b.peer(other, {
    endpoint: endpoint(other),
    allowedIps: [Prefix.from("10.0.0.3/32"), Prefix.from("fd00::3/128")],
  });
  a.send(atA, A_TO_B);
  world.advance(50);
  const deliver = (packet: Uint8Array): number | string => {
    a.send(atA, packet);
    world.advance(20);
    return b.results.at(-1) as number | string;
  };
  t.equal(deliver(ipv4("10.0.0.3", "10.0.0.2", 60)), "notAllowed", "another peer's address");
  t.equal(deliver(ipv4("10.0.0.9", "10.0.0.2", 60)), "notAllowed", "nobody's address");
  t.equal(deliver(ipv6("fd00::3", "fd00::2", 80)), "notAllowed");
  t.equal(deliver(new Uint8Array(40)), "malformed", "no IP version");
  t.equal(deliver(A_TO_B.subarray(0, 60)), "malformed", "longer by its header than it is");
  t.equal(deliver(ipv4("10.0.0.1", "10.0.0.2", 60).fill(0, 2, 4)), "malformed", "shorter than its header");
  t.equal(deliver(ipv4("10.0.0.1", "10.0.0.2", 60)), 60);
  b.arena.u8.set(ipv6("fd00::1", "fd00::3", 80), 4096 * 20);
  t.equal(b.device.route(4096 * 20, 80), atBOther);
  b.arena.u8.set(ipv4("10.0.0.2", "10.9.0.3", 80), 4096 * 20);
  t.equal(b.device.route(4096 * 20, 80), null);
  b.device.updatePeer(
    a.publicKey,
    { allowedIps: [Prefix.from("10.0.0.3/32"), Prefix.from("10.9.0.0/16")] },
    0,
  );
  t.same(
    atBOther.allowedIps.map(prefix => prefix.toString()),
    ["fd00::3/128"],
    "a prefix moves to whoever got it last",
  );
  t.equal(b.device.route(4096 * 20, 80), b.device.lookup(a.publicKey));
  t.equal(deliver(ipv4("10.0.0.1", "10.0.0.2", 60)), "notAllowed", "a prefix that was taken away");
});

t.test("paper §2.1: any authenticated packet moves the endpoint; a forged one does not", async t => {
  const { world, a, b, atA, atB } = pair();
  a.send(atA, A_TO_B);
  world.advance(50);
  const version = atB.endpointVersion;
  a.address = "[2001:db8::7]:5000";
  world.filter = d => [{ ...d, bytes: d.bytes.map((byte, i) => (i === 40 ? byte ^ 1 : byte)) }];
  a.send(atA, A_TO_B);
  world.advance(20);
  t.equal(b.results.at(-1), "unauthentic");
  t.equal(atB.endpointVersion, version);
  world.filter = d => [d];
  a.send(atA, A_TO_B);
  world.advance(20);
  t.equal(b.events.at(-1), "endpoint [2001:db8::7]:5000");
  t.equal(atB.endpointVersion, version + 1);
  b.send(atB, B_TO_A);
  world.advance(20);
  t.equal(a.received.length, 1, "the answer goes to the new place");
});

t.test("sticky source: answers leave from the address that the peer reached, until it is no use", async t => {
  const { world, a, b, atA, atB } = pair();
  const second = "192.0.2.99:1002";
  b.aliases.add(second);
  const sources = (since: number): string[] =>
    world.log.filter(d => d.to === a.address && d.at >= since).map(d => d.from);
  a.device.updatePeer(b.publicKey, { endpoint: parseEndpoint(second) as Endpoint }, world.now);
  a.send(atA, A_TO_B);
  world.advance(50);
  b.send(atB, B_TO_A);
  world.advance(50);
  t.same(sources(0), [second, second], "the handshake's response and data");

  a.device.updatePeer(b.publicKey, { endpoint: endpoint(b) }, world.now);
  a.send(atA, A_TO_B);
  world.advance(50);
  let since = world.now;
  b.send(atB, B_TO_A);
  world.advance(50);
  t.same(sources(since), [b.address], "reached at another address, it answers from that one");

  a.device.updatePeer(b.publicKey, { endpoint: parseEndpoint(second) as Endpoint }, world.now);
  a.send(atA, A_TO_B);
  world.advance(50);
  since = world.now;
  b.device.networkChanged(world.now);
  t.same(sources(since), [b.address], "after a change of routes the kernel picks");
  world.advance(50);

  a.device.updatePeer(b.publicKey, { endpoint: parseEndpoint(second) as Endpoint }, world.now);
  a.send(atA, A_TO_B);
  world.advance(20);
  since = world.now;
  world.filter = () => [];
  b.send(atB, B_TO_A);
  world.advance(16_000);
  t.same(
    sources(since).filter((from, i, all) => from !== all[i - 1]),
    [second, b.address],
    "and when nothing comes back for 15 s, with the new handshake",
  );
});

t.test("pre-shared keys: equal ones work, unequal ones fail at the response", async t => {
  const key = new Uint8Array(32).fill(5);
  const { world, a, b, atA } = pair({ presharedKey: key });
  a.send(atA, A_TO_B);
  world.advance(50);
  t.equal(b.received.length, 1);

  const wrong = pair();
  wrong.b.device.updatePeer(wrong.a.publicKey, { presharedKey: key }, 0);
  wrong.a.send(wrong.atA, A_TO_B);
  wrong.world.advance(50);
  t.equal(wrong.a.results.at(-1), "unauthentic");
  t.notOk(wrong.atA.hasSession(wrong.world.now));
});

t.test("wrong keys: unknown initiator, wrong responder, our own key, a low-order key", async t => {
  const { world, a, b } = pair();
  const stranger = world.host("192.0.2.9:1009");
  const atStranger = stranger.peer(b, { endpoint: endpoint(b) });
  stranger.send(atStranger, A_TO_B);
  world.advance(50);
  t.equal(b.results.at(-1), "unknownPeer");
  const mistaken = stranger.peer(a, { endpoint: endpoint(b) });
  stranger.send(mistaken, A_TO_B);
  world.advance(50);
  t.equal(b.results.at(-1), "badMac1", "made for another key than b's");
  t.throws(() => a.device.addPeer({ publicKey: a.publicKey }, 0), RangeError);
  t.throws(() => a.device.addPeer({ publicKey: b.publicKey }, 0), RangeError);
  const zero = a.device.addPeer({ publicKey: new Uint8Array(32), endpoint: endpoint(b) }, 0);
  const before = world.log.length;
  a.send(zero, A_TO_B);
  world.advance(50);
  t.equal(world.log.length, before, "nothing is sent to a key that is none");
});

t.test("replays: datagram, initiation, response; and datagrams out of order within the window", async t => {
  const { world, a, b, atA } = pair();
  a.send(atA, A_TO_B);
  world.advance(50);
  const [initiation, response, data] = world.log;
  t.equal(b.receive(data as never), Drop.replayed);
  t.equal(b.receive(initiation as never), Drop.replayed);
  t.equal(a.receive(response as never), Drop.unauthentic);
  t.equal(b.device.counters["dropped.replayed"], 2);
  world.filter = () => [];
  const from = world.log.length;
  for (let i = 0; i < 9000; i++) a.send(atA, ipv4("10.0.0.1", "10.0.0.2", 20));
  const sent = world.log.slice(from);
  t.equal(b.receive(sent[8999] as never), 20);
  t.equal(b.receive(sent[8999 - 8128] as never), 20, "RFC 6479: 8128 behind is in the window");
  t.equal(b.receive(sent[8999 - 8129] as never), Drop.replayed, "8129 is not");
  t.equal(b.receive(sent[8999 - 8128] as never), Drop.replayed);
  t.equal(b.receive(sent[5000] as never), 20);
});

t.test("malformed datagrams: every type with every wrong length, unknown types and indices", async t => {
  const { world, a, b, atA } = pair();
  a.send(atA, A_TO_B);
  world.advance(50);
  const source = { from: "192.0.2.1:1001", to: b.address };
  const datagram = (length: number, type: number): Uint8Array => {
    const bytes = new Uint8Array(length);
    if (length > 0) bytes[0] = type;
    return bytes;
  };
  const right: Record<number, number> = { 1: 148, 2: 92, 3: 64 };
  for (let type = 0; type < 6; type++) {
    for (let length = 0; length < 200; length++) {
      const result = b.receive({ ...source, bytes: datagram(length, type) });
      if (type === 4 && length >= 32) {
        if (result !== Drop.unknownIndex) t.fail(`type ${type}, ${length} bytes: ${result}`);
      } else if (length === right[type]) {
        if (result !== (type === 3 ? Drop.unknownIndex : Drop.badMac1)) t.fail(`type ${type}: ${result}`);
      } else if (result !== Drop.malformed && result !== Drop.unknownType) {
        t.fail(`type ${type}, ${length} bytes: ${result}`);
      }
    }
  }
  const reserved = (world.log[2] as { bytes: Uint8Array }).bytes.slice();
  reserved[2] = 1;
  t.equal(b.receive({ ...source, bytes: reserved }), Drop.unknownType, "the reserved bytes are zero");
});

t.test("removePeer ends everything at once; the peer's packets are unknown then", async t => {
  const { world, a, b, atA, atB } = pair();
  a.send(atA, A_TO_B);
  world.advance(50);
  t.ok(b.device.removePeer(a.publicKey));
  t.notOk(b.device.removePeer(a.publicKey));
  a.send(atA, A_TO_B);
  world.advance(20);
  t.equal(b.results.at(-1), "unknownIndex");
  t.equal(b.device.indexes.size, 0);
  t.equal(b.device.pollAt(), Number.POSITIVE_INFINITY);
  t.equal(b.device.lookup(a.publicKey), null);
  t.equal(b.send(atB, B_TO_A), 0, "a stale reference sends nothing");
  t.ok(atB.handshake.getPresharedKey().every(byte => byte === 0));
});

t.test("setPrivateKey: sessions end, the peer learns the new key and goes on", async t => {
  const { world, a, b, atA } = pair();
  a.send(atA, A_TO_B);
  world.advance(50);
  const old = toHex(b.publicKey);
  b.device.setPrivateKey(new Uint8Array(32).fill(9));
  t.not(toHex(b.publicKey), old);
  a.send(atA, A_TO_B);
  world.advance(20);
  t.equal(b.results.at(-1), "unknownIndex");
  a.device.removePeer(atA.publicKey);
  const again = a.peer(b, { endpoint: endpoint(b) });
  a.send(again, A_TO_B);
  world.advance(6000);
  t.equal(b.received.length, 2);
  t.ok(b.device.removePeer(a.publicKey));
  b.device.addPeer({ publicKey: a.publicKey }, 0);
  b.device.setPrivateKey(a.device.privateKey);
  t.equal(b.device.lookup(a.publicKey), null, "a peer with our own key is removed");
});

t.test("networkChanged: peers with a session shake hands at once, others stay silent", async t => {
  const { world, a, b, atA, atB } = pair();
  const idle = world.host("192.0.2.4:1004");
  a.peer(idle, { endpoint: endpoint(idle) });
  a.send(atA, A_TO_B);
  world.advance(50);
  a.address = "192.0.2.77:7777";
  const since = world.now;
  a.device.networkChanged(world.now);
  world.advance(50);
  t.same(world.sent(a, INITIATION, since), [since], "although the last one is only 50 ms old");
  t.equal(world.log.filter(d => d.to === idle.address).length, 0);
  b.send(atB, B_TO_A);
  world.advance(20);
  t.equal(a.received.length, 1);
});

t.test("handshake timeouts are told after 5 s and then each minute", async t => {
  const { world, a, atA } = pair();
  world.filter = () => [];
  for (let i = 0; i < 140; i++) {
    a.send(atA, A_TO_B);
    world.advance(1000);
  }
  t.same(
    a.events.map(event => event.split(" ")[0]),
    ["timeout", "timeout", "timeout"],
  );
  const seconds = a.events.map(event => Number(event.split(" ")[1]));
  t.ok((seconds[0] as number) <= 10 && Math.abs((seconds[1] as number) - 66) <= 6, seconds.join());
});

t.test("IPv6 endpoints, and many peers under load of each other", async t => {
  const world = new World();
  const hub = world.host("[2001:db8::1]:51820", { worker: { id: 5, bits: 4 } });
  const spokes = Array.from({ length: 40 }, (_, i) =>
    world.host(`[2001:db8::${(i + 2).toString(16)}]:51820`),
  );
  for (const [i, spoke] of spokes.entries()) {
    hub.peer(spoke, { allowedIps: [Prefix.from(`10.1.0.${i}/32`)] });
    const atSpoke = spoke.peer(hub, {
      endpoint: parseEndpoint(hub.address) as never,
      allowedIps: [Prefix.from("0.0.0.0/0")],
    });
    spoke.send(atSpoke, ipv4(`10.1.0.${i}`, "10.2.0.0", 100));
  }
  world.advance(100);
  t.equal(hub.received.length, 40);
  const responses = world.log.filter(d => d.type === RESPONSE);
  t.equal(responses.length, 40);
  t.ok(
    responses.every(d => (d.bytes[7] as number) >>> 4 === 5),
    "the receiver index carries the worker",
  );
});
