/** What every Bind keeps to, the system's socket and the pair in memory; and two tunnels on the latter. */
import t from "tap";
import {
  Address,
  Arena,
  ENDPOINT_BYTES,
  type Endpoint,
  Prefix,
  readEndpoint,
  writeEndpoint,
} from "../../src/base/index.js";
import { createPlainCrypto } from "../../src/crypto/index.js";
import type { Bind } from "../../src/dataplane/bind.js";
import type { Context } from "../../src/dataplane/context.js";
import type { PeerLink } from "../../src/dataplane/peer-link.js";
import { Tunnel } from "../../src/dataplane/tunnel.js";
import { EAGAIN, EPOLLIN, EPOLLOUT, UdpSocket } from "../../src/linux/index.js";
import type { Stack } from "../../src/netstack/index.js";
import { Device } from "../../src/wireguard/index.js";
import { ipv4, SeededRandom } from "../wireguard/world.js";
import { MemoryBind } from "./memory-bind.js";

const BYTES = 65_536;
const A: Endpoint = { address: Address.from("192.0.2.1"), port: 1001 };
const B: Endpoint = { address: Address.from("192.0.2.2"), port: 1002 };

interface Pair {
  a: Bind;
  b: Bind;
  endpointA: Endpoint;
  endpointB: Endpoint;
  close(): void;
}

const KINDS: Record<string, (arena: Arena) => Pair> = {
  memory: arena => {
    const [a, b] = MemoryBind.pair(arena, A, B);
    return { a, b, endpointA: A, endpointB: B, close: () => {} };
  },
  UdpSocket: arena => {
    const address = Address.from("127.0.0.1");
    const [a, b] = [UdpSocket.bind(arena, { port: 0 }), UdpSocket.bind(arena, { port: 0 })];
    const close = (): void => {
      a.close();
      b.close();
    };
    return { a, b, endpointA: { address, port: a.port }, endpointB: { address, port: b.port }, close };
  },
};

for (const [kind, make] of Object.entries(KINDS)) {
  t.test(`${kind}: batches arrive whole and in order, and can be answered`, async t => {
    const arena = new Arena(1 << 20);
    const { a, b, endpointA, endpointB, close } = make(arena);
    const [out, into] = [arena.reserve(BYTES), arena.reserve(BYTES)];
    const [to, from] = [arena.reserve(ENDPOINT_BYTES), arena.reserve(ENDPOINT_BYTES)];
    for (let i = 0; i < BYTES; i++) arena.u8[out + i] = (i * 7 + (i >> 8)) & 255;
    t.equal(b.receive(into, BYTES, from), -EAGAIN, "nothing is there yet");
    writeEndpoint(arena.u8, to, endpointB);
    a.setDontFragment(false);
    for (const [length, segmentBytes] of [
      [148, 148],
      [1452, 1452],
      [1452 * 30 + 17, 1452],
    ] as const) {
      t.equal(a.send(out, length, segmentBytes, to), length);
      for (let done = 0; done < length; ) {
        const total = b.receive(into, BYTES, from);
        if (total <= 0) throw new Error(`received ${total}`);
        t.equal(b.segmentBytes, Math.min(segmentBytes, total));
        const [got, sent] = [into, out + done].map(at => arena.u8.slice(at, at + total));
        t.same(got, sent);
        done += total;
      }
      const source = readEndpoint(arena.u8, from);
      t.same([String(source.address), source.port], [String(endpointA.address), endpointA.port]);
    }
    t.equal(b.send(out, 100, 100, from), 100, "to the record that was received");
    t.equal(a.receive(into, BYTES, from), 100);
    t.equal(a.receive(into, BYTES, from), -EAGAIN);
    t.equal(a.pathExceeded, false);
    close();
  });
}

/** A tunnel on a Bind, whose stack only notes what comes out. */
function end(arena: Arena, bind: MemoryBind, seed: number) {
  const random = new SeededRandom(seed);
  const interest: number[] = [];
  const loop = { now: 0, add: () => 0, modify: (_fd: number, events: number) => interest.push(events) };
  const context = { arena, loop, scratchDatagram: arena.reserve(BYTES) } as unknown as Context;
  const tunnel = new Tunnel(context, bind);
  const privateKey = new Uint8Array(32);
  random.fill(privateKey);
  const device = new Device({
    arena,
    crypto: createPlainCrypto(arena),
    random,
    privateKey,
    wallClock: () => 1_767_225_600_000,
    output: tunnel,
    events: {
      onHandshake: () => {},
      onHandshakeTimeout: () => {},
      onQuiet: () => false,
      onPeerEndpoint: () => {},
    },
  });
  const received: Uint8Array[] = [];
  const writable: PeerLink[] = [];
  const stack = {
    process: (_link: PeerLink, offset: number, length: number) =>
      received.push(arena.u8.slice(offset, offset + length)),
    linkWritable: (link: PeerLink) => writable.push(link),
  };
  tunnel.join(device, stack as unknown as Stack);
  /** Puts a packet on the link; false when it takes none. */
  const put = (link: PeerLink, packet: Uint8Array): boolean => {
    const at = link.reserve(packet.length);
    if (at === -1) return false;
    arena.u8.set(packet, at);
    link.commit(packet.length, 0, 40);
    return true;
  };
  const turn = (): void => {
    if (bind.isReadable) tunnel.onReady(EPOLLIN, 0);
    tunnel.flush(0);
  };
  return { bind, tunnel, device, received, writable, interest, put, turn };
}

t.test("two tunnels over memory: handshake, what was staged, a batch both ways, and a full Bind", async t => {
  const arena = new Arena(8 << 20);
  const [bindA, bindB] = MemoryBind.pair(arena, A, B);
  const [a, b] = [end(arena, bindA, 11), end(arena, bindB, 13)];
  const everything = [Prefix.from("0.0.0.0/0")];
  const keyA = a.device.publicKey;
  const atA = a.device.addPeer({ publicKey: b.device.publicKey, endpoint: B, allowedIps: everything }, 0);
  const atB = b.device.addPeer({ publicKey: keyA, allowedIps: everything }, 0);
  const [toB, toA] = [a.tunnel.addPeer(atA, 1420), b.tunnel.addPeer(atB, 1420)];
  const settle = (): void => {
    for (let i = 0; i < 6; i++) for (const each of [a, b]) each.turn();
  };
  const packets = Array.from({ length: 40 }, (_, i) =>
    ipv4("10.0.0.1", "10.0.0.2", i === 39 ? 100 : 1400, i),
  );
  a.put(toB, packets[0] as Uint8Array);
  settle();
  t.same(b.received, packets.slice(0, 1), "it waited for the session");
  for (const packet of packets) a.put(toB, packet);
  for (const packet of packets) b.put(toA, packet);
  settle();
  t.same(b.received.slice(1), packets);
  t.same(a.received, packets);

  bindB.capacity = 0;
  a.put(toB, packets[0] as Uint8Array);
  a.turn();
  t.equal(a.interest.at(-1), EPOLLIN | EPOLLOUT, "it asks to be told");
  t.equal(a.put(toB, packets[1] as Uint8Array), false);
  bindB.capacity = 10;
  a.tunnel.onReady(EPOLLOUT, 0);
  t.same(a.writable, [toB]);
  settle();
  t.same(b.received.slice(41), packets.slice(0, 1), "nothing was lost");
});
