/**
 * Devices in memory under a virtual clock: the in-memory twin of sockets and an event loop.
 *
 * Every datagram takes `delayMs`; `filter` may drop, change or copy it. Packets, times and random numbers
 * are the same in each run.
 */
import {
  Address,
  Arena,
  type CryptoSuite,
  ENDPOINT_BYTES,
  type Endpoint,
  formatEndpoint,
  hasLocalAddress,
  LOCAL_ADDRESS_AT,
  Prefix,
  parseEndpoint,
  type Random,
  readEndpoint,
  writeEndpoint,
} from "../../src/base/index.js";
import { createPlainCrypto } from "../../src/crypto/index.js";
import {
  Device,
  type DeviceOptions,
  dropReasonName,
  type Peer,
  type PeerConfig,
} from "../../src/wireguard/index.js";

/** Thu Jan 01 2026: wall clock at virtual time 0. */
export const WALL_EPOCH_MS = 1_767_225_600_000;
const BUFFER_BYTES = 1 << 17;

/** xorshift32: not secret, the same each time. */
export class SeededRandom implements Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed | 1;
  }

  uint32(): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return Math.imul(x, 0x9e3779b1) >>> 0;
  }

  fill(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.uint32() >>> 24;
  }
}

type CreateSuite = (arena: Arena) => CryptoSuite;

export interface Datagram {
  from: string;
  to: string;
  bytes: Uint8Array;
}

export class Host {
  readonly world: World;
  readonly arena: Arena = new Arena(1 << 20);
  readonly crypto: CryptoSuite;
  readonly random: SeededRandom;
  readonly device: Device;
  address: string;
  /** Further addresses with the same port. */
  readonly aliases: Set<string> = new Set<string>();
  wallOffsetMs = 0;
  /** How a quiet peer is asked; false: it is not. */
  ask: (peer: Peer) => boolean = () => false;
  /** Told of each inner packet before the next datagram is looked at. */
  onPacket: () => void = () => {};
  /** Whether packets alike are taken together, and how many were. */
  asksForAlike = true;
  alike = 0;
  /** Inner packets that came in, and from whom. */
  readonly received: { from: Peer; bytes: Uint8Array }[] = [];
  readonly events: string[] = [];
  /** What became of each datagram, drops by name. */
  readonly results: (number | string)[] = [];
  private readonly buffer: number;
  private readonly source: number;

  constructor(
    world: World,
    address: string,
    seed: number,
    options: DeviceOptions = {},
    createSuite: CreateSuite = createPlainCrypto,
  ) {
    this.world = world;
    this.address = address;
    this.random = new SeededRandom(seed);
    this.crypto = createSuite(this.arena);
    const privateKey = new Uint8Array(32);
    this.random.fill(privateKey);
    this.device = new Device({
      arena: this.arena,
      crypto: this.crypto,
      random: this.random,
      privateKey,
      wallClock: () => WALL_EPOCH_MS + this.wallOffsetMs + world.now,
      output: {
        send: (endpoint, offset, length) => this.transmit(endpoint, offset, length),
      },
      events: {
        onHandshake: (_peer, _now, restored) => this.events.push(restored ? "restored" : "handshake"),
        onHandshakeTimeout: (_peer, seconds) => this.events.push(`timeout ${seconds}`),
        onQuiet: peer => this.ask(peer),
        onPeerEndpoint: peer =>
          this.events.push(`endpoint ${formatEndpoint(readEndpoint(peer.endpoint, 0))}`),
      },
      options,
    });
    this.buffer = this.arena.reserve(BUFFER_BYTES) + 64;
    this.source = this.arena.reserve(ENDPOINT_BYTES);
  }

  get publicKey(): Uint8Array {
    return this.device.publicKey;
  }

  peer(other: Host, config: Omit<PeerConfig, "publicKey"> = {}): Peer {
    return this.device.addPeer({ publicKey: other.publicKey, ...config }, this.world.now);
  }

  /** Gives one inner packet to the device; returns what `seal` did. */
  send(peer: Peer, packet: Uint8Array): number {
    this.arena.u8.set(packet, this.buffer + 16);
    const total = this.device.seal(peer, this.buffer + 16, packet.length, this.world.now);
    this.device.runSeals();
    if (total > 0) this.transmit(peer.endpoint, this.buffer, total);
    return total;
  }

  receive(datagram: Datagram): number {
    return this.receiveTogether([datagram]);
  }

  /** Datagrams of one length from one source, the last one maybe shorter; returns what became of the last. */
  receiveTogether(datagrams: readonly [Datagram, ...Datagram[]]): number {
    const [datagram] = datagrams;
    const segmentBytes = datagram.bytes.length;
    let total = 0;
    for (const { bytes } of datagrams) {
      this.arena.u8.set(bytes, this.buffer + total);
      total += bytes.length;
    }
    const from = parseEndpoint(datagram.from) as Endpoint;
    const to = (parseEndpoint(datagram.to) ?? from).address;
    writeEndpoint(this.arena.u8, this.source, from);
    if (to.family === from.address.family) to.write(this.arena.u8, this.source + LOCAL_ADDRESS_AT);
    this.device.receive(this.buffer, total, segmentBytes, this.source, this.world.now);
    let result: number;
    do {
      result = this.device.next();
      this.results.push(result < 0 ? dropReasonName(result) : result);
      if (result <= 0) continue;
      const { received } = this.device;
      const from = received.from as Peer;
      this.take(from, received.at, result);
      const alike = this.asksForAlike ? this.device.nextAlike() : 0;
      this.alike += alike;
      const { at, stride } = this.device.received;
      for (let i = 0; i < alike && this.device.received.from === from; i++) {
        this.results.push(result);
        this.take(from, at + i * stride, result);
      }
    } while (this.device.hasNext);
    return result;
  }

  private take(from: Peer, at: number, length: number): void {
    this.received.push({ from, bytes: this.arena.u8.slice(at, at + length) });
    this.onPacket();
  }

  /** As the kernel: the address that the record names if it is ours, else the one it picks. */
  private sourceFor(endpoint: Uint8Array): string {
    if (!hasLocalAddress(endpoint, 0)) return this.address;
    const { port } = parseEndpoint(this.address) as Endpoint;
    const address = Address.read(endpoint, LOCAL_ADDRESS_AT, endpoint[0] === 6 ? 6 : 4);
    const named = formatEndpoint({ address, port });
    return this.aliases.has(named) ? named : this.address;
  }

  private transmit(endpoint: Uint8Array, offset: number, length: number): void {
    this.world.carry({
      from: this.sourceFor(endpoint),
      to: formatEndpoint(readEndpoint(endpoint, 0)),
      bytes: this.arena.u8.slice(offset, offset + length),
    });
  }
}

export class World {
  now = 0;
  delayMs = 10;
  readonly hosts: Host[] = [];
  /** Everything that was sent, with its time, whether or not it arrived. */
  readonly log: (Datagram & { at: number; type: number })[] = [];
  filter: (datagram: Datagram) => readonly Datagram[] = datagram => [datagram];
  private readonly flying: { at: number; datagram: Datagram }[] = [];

  host(address: string, options: DeviceOptions = {}, createSuite?: CreateSuite): Host {
    const host = new Host(this, address, 1001 + 2 * this.hosts.length, options, createSuite);
    this.hosts.push(host);
    return host;
  }

  carry(datagram: Datagram): void {
    this.log.push({ ...datagram, at: this.now, type: datagram.bytes[0] as number });
    for (const passed of this.filter(datagram)) {
      this.flying.push({ at: this.now + this.delayMs, datagram: passed });
    }
  }

  /** Lets `ms` pass: timers run and datagrams arrive when they are due. */
  advance(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const next = Math.min(this.flying[0]?.at ?? end, ...this.hosts.map(host => host.device.pollAt()));
      if (next > end || (next === end && this.now === end && this.flying[0]?.at !== end)) break;
      this.now = Math.max(this.now, next);
      while (this.flying[0] !== undefined && this.flying[0].at <= this.now) {
        const { datagram } = this.flying.shift() as { datagram: Datagram };
        this.hosts
          .find(host => host.address === datagram.to || host.aliases.has(datagram.to))
          ?.receive(datagram);
      }
      for (const host of this.hosts) host.device.poll(this.now);
      if (next === end) break;
    }
    this.now = end;
  }

  /** Messages of a type sent by a host since a moment. */
  sent(host: Host, type: number, since: number = 0): number[] {
    return this.log.filter(d => d.from === host.address && d.type === type && d.at >= since).map(d => d.at);
  }
}

/** Two hosts that know each other: a is 10.0.0.1, b is 10.0.0.2 inside. */
export function pair(
  config: Omit<PeerConfig, "publicKey"> = {},
  createSuite?: CreateSuite,
): {
  world: World;
  a: Host;
  b: Host;
  atA: Peer;
  atB: Peer;
} {
  const world = new World();
  const a = world.host("192.0.2.1:1001", {}, createSuite);
  const b = world.host("192.0.2.2:1002", {}, createSuite);
  const atA = a.peer(b, { endpoint: endpoint(b), allowedIps: [Prefix.from("10.0.0.2/32")], ...config });
  const atB = b.peer(a, { allowedIps: [Prefix.from("10.0.0.1/32")], ...config });
  return { world, a, b, atA, atB };
}

export function endpoint(host: Host): Endpoint {
  return parseEndpoint(host.address) as Endpoint;
}

export const A_TO_B: Uint8Array = ipv4("10.0.0.1", "10.0.0.2", 100);
export const B_TO_A: Uint8Array = ipv4("10.0.0.2", "10.0.0.1", 200);

/** An IPv4 packet as far as WireGuard looks at it. */
export function ipv4(source: string, destination: string, length: number, fill: number = 7): Uint8Array {
  const packet = new Uint8Array(length).fill(fill);
  packet[0] = 0x45;
  packet[2] = length >>> 8;
  packet[3] = length;
  Address.from(source).write(packet, 12);
  Address.from(destination).write(packet, 16);
  return packet;
}

export function ipv6(source: string, destination: string, length: number): Uint8Array {
  const packet = new Uint8Array(length).fill(9);
  packet[0] = 0x60;
  packet[4] = (length - 40) >>> 8;
  packet[5] = length - 40;
  Address.from(source).write(packet, 8);
  Address.from(destination).write(packet, 24);
  return packet;
}
