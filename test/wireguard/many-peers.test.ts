/**
 * One device with thousands of peers, of which every tenth is active: everybody gets a session and is heard, and
 * memory and work per packet do not depend on how many there are. `npm run peers` takes 10,000 and prints figures.
 */
import t from "tap";
import {
  Address,
  Arena,
  ENDPOINT_BYTES,
  type Endpoint,
  Prefix,
  parseEndpoint,
  writeEndpoint,
} from "../../src/base/index.js";
import { createCrypto } from "../../src/crypto/index.js";
import { Device } from "../../src/wireguard/index.js";
import { ipv4, SeededRandom } from "./world.js";

const PEERS = Number(process.env.CZCTL_PEERS ?? 1000);
const ACTIVE = PEERS / 10;
const ROUNDS = 20;
const PACKET_BYTES = 1400;
/** Between two handshakes: the gate takes 500 a second. */
const STEP_MS = 5;
const BUFFER_BYTES = 4096;
/** What a configured peer, and a session on top, may take. */
const PEER_BYTES = 16_384;
const SESSION_BYTES = 16_384;

const address = (i: number): Address => Address.from("10.0.0.0").plus(i);

class End {
  readonly device: Device;
  readonly buffer: number;
  readonly out: Uint8Array[] = [];
  private readonly arena: Arena;
  private readonly source: number;

  constructor(random: SeededRandom) {
    const arena = new Arena(1 << 20);
    this.arena = arena;
    const privateKey = new Uint8Array(32);
    random.fill(privateKey);
    this.device = new Device({
      arena,
      crypto: createCrypto(arena).suite,
      random,
      privateKey,
      wallClock: () => 1_767_225_600_000 + now,
      output: { send: (_to, offset, length) => this.out.push(arena.u8.slice(offset, offset + length)) },
      events: {
        onHandshake: () => {},
        onHandshakeTimeout: () => {},
        onQuiet: () => false,
        onPeerEndpoint: () => {},
      },
    });
    this.buffer = arena.reserve(BUFFER_BYTES) + 64;
    this.source = arena.reserve(ENDPOINT_BYTES);
  }

  /** What became of it, and the milliseconds that it took. */
  receive(datagram: Uint8Array, from: Endpoint): [number, number] {
    this.arena.u8.set(datagram, this.buffer);
    writeEndpoint(this.arena.u8, this.source, from);
    const start = performance.now();
    const { length } = datagram;
    this.device.receive(this.buffer, length, length, this.source, now);
    const result = this.device.next();
    return [result, performance.now() - start];
  }

  seal(packet: Uint8Array): Uint8Array {
    const offset = this.buffer + 16;
    this.arena.u8.set(packet, offset);
    const peer = this.device.route(offset, packet.length);
    if (peer === null) throw new Error("nobody's");
    const total = this.device.seal(peer, offset, packet.length, now);
    this.device.runSeals();
    return this.arena.u8.slice(this.buffer, this.buffer + total);
  }

  /** Nanoseconds to find the peer of a destination among all. */
  routeNanoseconds(destinations: number): number {
    const offset = this.buffer + 16;
    const packet = ipv4("10.255.0.1", "10.0.0.0", 40);
    this.arena.u8.set(packet, offset);
    const lookups = 200_000;
    const start = performance.now();
    for (let i = 0; i < lookups; i++) {
      this.arena.view.setUint32(offset + 16, 0x0a00_0000 + ((Math.imul(i, 7919) >>> 8) % destinations));
      this.device.route(offset, packet.length);
    }
    return ((performance.now() - start) / lookups) * 1e6;
  }
}

let now = 1000;

function usedBytes(): number {
  globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1] ?? 0;

/** A server with `peers` configured and `active` of them connected and sending. */
function run(peers: number, active: number) {
  const random = new SeededRandom(7);
  const server = new End(random);
  // One device plays all clients, one after the other.
  const client = new End(random);
  const keys = Array.from({ length: active }, () => {
    const key = new Uint8Array(32);
    random.fill(key);
    return key;
  });
  const publicKeys = keys.map(key => {
    client.device.setPrivateKey(key);
    return client.device.publicKey.slice();
  });
  while (publicKeys.length < peers) {
    const key = new Uint8Array(32);
    random.fill(key);
    publicKeys.push(key);
  }
  const empty = usedBytes();
  const configuring = performance.now();
  for (const [i, publicKey] of publicKeys.entries()) {
    server.device.addPeer({ publicKey, allowedIps: [Prefix.host(address(i))] }, now);
  }
  const configureMs = performance.now() - configuring;
  const configured = usedBytes();
  const toServer = client.device.addPeer(
    {
      publicKey: server.device.publicKey,
      endpoint: parseEndpoint("192.0.2.1:51820") as Endpoint,
      allowedIps: [Prefix.from("0.0.0.0/0")],
    },
    now,
  );
  const handshakes: number[] = [];
  const stored: { from: Endpoint; datagrams: Uint8Array[] }[] = [];
  for (const [i, key] of keys.entries()) {
    now += STEP_MS;
    const from = { address: Address.from("198.18.0.0").plus(i), port: 1024 + (i % 60_000) };
    client.device.setPrivateKey(key);
    toServer.allowInitiation();
    toServer.initiate(now);
    const [result, ms] = server.receive(client.out.pop() as Uint8Array, from);
    if (result !== 0) throw new Error(`initiation ${i}: ${result}`);
    handshakes.push(ms);
    client.receive(server.out.pop() as Uint8Array, from);
    const packet = ipv4(String(address(i)), "10.255.0.1", PACKET_BYTES);
    const datagrams = Array.from({ length: ROUNDS + 1 }, () => client.seal(packet));
    stored.push({ from, datagrams });
    server.receive(datagrams.pop() as Uint8Array, from);
  }
  const datagramBytes = stored.reduce(
    (sum, { datagrams }) => sum + datagrams.length * (datagrams[0]?.byteLength ?? 0),
    0,
  );
  const connected = usedBytes() - datagramBytes;
  const packets: number[] = [];
  let opened = 0;
  for (let round = 0; round < ROUNDS; round++) {
    for (const { from, datagrams } of stored) {
      const [result, ms] = server.receive(datagrams[ROUNDS - 1 - round] as Uint8Array, from);
      if (result === PACKET_BYTES) opened++;
      packets.push(ms);
    }
  }
  return {
    configureMs,
    peerBytes: (configured - empty) / peers,
    sessionBytes: (connected - configured) / active,
    handshakeMs: median(handshakes),
    packetUs: median(packets) * 1000,
    routeNs: server.routeNanoseconds(peers),
    opened,
    server,
  };
}

t.test(`${PEERS} peers, ${ACTIVE} of them active`, async t => {
  run(20, 20);
  const few = run(10, 10);
  const many = run(PEERS, ACTIVE);
  t.equal(many.opened, ACTIVE * ROUNDS, "every packet of every active peer is opened");
  t.equal(many.server.device.counters.handshakes, ACTIVE);
  t.equal(many.server.device.indexes.size, ACTIVE);
  const row = (name: string, small: number, large: number, unit: string): void =>
    t.comment(`${name.padEnd(34)} ${small.toFixed(2).padStart(10)} ${large.toFixed(2).padStart(10)} ${unit}`);
  t.comment(`${"peers".padEnd(34)} ${"10".padStart(10)} ${String(PEERS).padStart(10)}`);
  row("an initiation answered, median", few.handshakeMs, many.handshakeMs, "ms");
  row(`a packet of ${PACKET_BYTES} opened, median`, few.packetUs, many.packetUs, "µs");
  row("allowed-IPs lookup", few.routeNs, many.routeNs, "ns");
  t.comment(`configured in ${many.configureMs.toFixed(0)} ms`);
  if (globalThis.gc === undefined) return;
  t.comment(
    `memory: ${many.peerBytes.toFixed(0)} B a configured peer, ${many.sessionBytes.toFixed(0)} B a session`,
  );
  t.ok(many.peerBytes < PEER_BYTES && many.sessionBytes < SESSION_BYTES);
  now += 600_000;
  many.server.device.poll(now);
  t.equal(many.server.device.indexes.size, 0, "and nothing of it stays when they are gone");
});
