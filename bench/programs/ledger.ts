/**
 * What each step costs per inner packet of 1420 bytes, one step at a time, in one process: prints JSON, medians of
 * processor time in nanoseconds. Buffers are as large as in use, so that copies meet the caches that they meet there.
 */
import { Address, BlockPool, ENDPOINT_BYTES, Ring, writeEndpoint } from "../../src/base/index.js";
import { createCrypto } from "../../src/crypto/index.js";
import { FirstPieces } from "../../src/dataplane/first-pieces.js";
import { createArena, UdpSocket } from "../../src/linux/index.js";
import { useNativeStrided } from "../../src/machine/index.js";
import { type Link, Stack, type StackHandler } from "../../src/netstack/index.js";
import { sumBytes } from "../../src/wire/index.js";
import { ALIKE_BYTES } from "../../src/wireguard/index.js";
import { median } from "../results.js";

const MTU = 1420;
const DATAGRAM_BYTES = 16 + MTU + 16;
const RUN_DATAGRAMS = 44;
const SLOTS = 64;
const SLOT_BYTES = 2048;
const ROUNDS = 25;

const poolBytes = 32 << 20;
const arena = createArena(poolBytes + (8 << 20));
useNativeStrided(arena);
const pool = new BlockPool(arena.reserve(poolBytes), poolBytes);
const base = arena.reserve(64 + SLOTS * SLOT_BYTES + 64) + 64;

/** Nanoseconds of this process per unit of work: the median of rounds of about 4 ms, after one to warm up. */
function measure(work: () => number): number {
  const rounds: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const [before, start] = [process.cpuUsage(), performance.now()];
    let units = 0;
    while (performance.now() - start < (round === 0 ? 200 : 4)) units += work();
    const { user, system } = process.cpuUsage(before);
    if (round > 0) rounds.push(((user + system) * 1000) / units);
  }
  return median(rounds);
}

/** Of batches as large as a system call takes and gives them. */
function aead(): { seal: number; open: number } {
  const { suite } = createCrypto(arena);
  const key = suite.createAeadKey(new Uint8Array(32).fill(7));
  const at = (i: number): number => base + i * DATAGRAM_BYTES;
  const sealAll = (): number => {
    for (let i = 0; i < RUN_DATAGRAMS; i++) key.seal(at(i), MTU, i);
    suite.runSeals();
    return RUN_DATAGRAMS;
  };
  const seal = measure(sealAll);
  arena.u8.fill(0, base, base + RUN_DATAGRAMS * DATAGRAM_BYTES);
  sealAll();
  const sealed = arena.u8.slice(base, base + RUN_DATAGRAMS * DATAGRAM_BYTES);
  const open = measure(() => {
    for (let i = 0; i < RUN_DATAGRAMS; i++) key.open(at(i), MTU, i);
    suite.runOpens();
    for (let i = 0; i < RUN_DATAGRAMS; i++) if (suite.opened(i) === -1) throw new Error("does not open");
    // Where packets are opened in place.
    if (suite.opened(0) === base) arena.u8.set(sealed, base);
    return RUN_DATAGRAMS;
  });
  return { seal, open };
}

/** What each end of the tunnel is spared per packet. */
function checksum(): number {
  let sum = 0;
  const ns = measure(() => {
    for (let i = 0; i < SLOTS; i++) sum += sumBytes(arena, base + i * SLOT_BYTES, MTU);
    return SLOTS;
  });
  if (Number.isNaN(sum)) throw new Error("no sum");
  return ns;
}

function udp(): { send: number; receive: number } {
  const loopback = Address.from("127.0.0.1");
  const [from, to] = [0, 1].map(() => UdpSocket.bind(arena, { port: 0, address: loopback })) as [
    UdpSocket,
    UdpSocket,
  ];
  const endpoint = arena.reserve(ENDPOINT_BYTES);
  const source = arena.reserve(ENDPOINT_BYTES);
  const buffer = arena.reserve(65_536);
  writeEndpoint(arena.u8, endpoint, { address: loopback, port: to.port });
  const bytes = RUN_DATAGRAMS * DATAGRAM_BYTES;
  const spent = { send: [] as number[], receive: [] as number[] };
  for (let round = 0; round < ROUNDS * 8; round++) {
    const start = performance.now();
    for (let i = 0; i < 8; i++) from.send(buffer, bytes, DATAGRAM_BYTES, endpoint);
    const middle = performance.now();
    let taken = 0;
    for (let got = to.receive(buffer, 65_536, source); got > 0; got = to.receive(buffer, 65_536, source))
      taken += got;
    const end = performance.now();
    if (taken !== 8 * bytes) continue;
    spent.send.push(((middle - start) * 1e6) / (8 * RUN_DATAGRAMS));
    spent.receive.push(((end - middle) * 1e6) / (8 * RUN_DATAGRAMS));
  }
  from.close();
  to.close();
  return { send: median(spent.send), receive: median(spent.receive) };
}

/**
 * Packets wait in the arena until the other stack is given them. Their text stays in the ring, as in the tunnel, where it
 * is sealed from: that `collect` copies it is nobody's time.
 */
class Wire implements Link {
  readonly mtu = MTU;
  readonly maxGsoBytes = 0;
  readonly checksum = "redundant";
  readonly congested = true;
  count = 0;
  readonly lengths = new Int32Array(SLOTS);
  private readonly texts = new Int32Array(SLOTS);
  private readonly textBytes = new Int32Array(SLOTS);
  private readonly start = arena.reserve(SLOTS * SLOT_BYTES);
  private readonly firstPieces = new FirstPieces(arena);

  reserve(): number {
    return this.count === SLOTS ? -1 : this.start + this.count * SLOT_BYTES;
  }

  commit(bytes: number): void {
    this.textBytes[this.count] = 0;
    this.lengths[this.count++] = bytes;
  }

  commitGathered(headerBytes: number, text: number, textBytes: number, count: number): number {
    const taken = Math.min(count, SLOTS - this.count);
    this.firstPieces.begin(this.start + this.count * SLOT_BYTES, headerBytes, text);
    this.firstPieces.repeat(
      this.start + (this.count + 1) * SLOT_BYTES,
      SLOT_BYTES,
      taken - 1,
      text + textBytes,
      textBytes,
    );
    for (let i = 0; i < taken; i++) {
      this.texts[this.count] = text + i * textBytes;
      this.textBytes[this.count] = textBytes;
      this.lengths[this.count++] = headerBytes + textBytes;
    }
    return taken;
  }

  collect(): void {
    for (let i = 0; i < this.count; i++) {
      const [text, bytes] = [this.texts[i] as number, this.textBytes[i] as number];
      const end = this.start + i * SLOT_BYTES + (this.lengths[i] as number);
      arena.u8.copyWithin(end - bytes, text, text + bytes);
    }
  }

  deliver(to: Stack, link: Link, now: number): number {
    const { count, lengths } = this;
    for (let i = 0; i < count; ) {
      const length = lengths[i] as number;
      let alike = 1;
      while (i + alike < count && lengths[i + alike] === length) alike++;
      i += to.processAlike(link, this.start + i * SLOT_BYTES, length, SLOT_BYTES, alike, ALIKE_BYTES, now);
    }
    this.count = 0;
    return count;
  }
}

/** Two stacks joined directly: nanoseconds per full segment for the sending and the receiving one. */
function stacks(): { send: number; receive: number } {
  let drained: Ring | null = null;
  const ring = (): Ring => new Ring(arena, pool, 1 << 20);
  const handler: StackHandler = {
    onTcpSyn(connection) {
      drained = ring();
      connection.attach(drained, ring());
      connection.accept();
    },
    onUdpFlow() {},
    onEcho: () => "ignore",
  };
  let seed = 1;
  const random = { uint32: () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0), fill: () => {} };
  const [client, server] = [0, 1].map(() => new Stack({ arena, pool, random, handler })) as [Stack, Stack];
  const [up, down] = [new Wire(), new Wire()];
  const send = ring();
  client.connect(up, Address.from("10.0.0.1"), Address.from("10.0.0.2"), 80, 0).attach(ring(), send);
  const spent = { send: [] as number[], receive: [] as number[] };
  let now = 0;
  for (let turn = 0; turn < 40_000; turn++) {
    now += 0.05;
    // The splice's other end fills and drains; its copies are its own.
    for (let room = send.prepare(262_144); room > 0; room = send.prepare(262_144)) send.advance(room);
    const start = performance.now();
    client.linkWritable(up);
    client.poll(now);
    client.dispatch(now);
    const sent = performance.now();
    up.collect();
    const middle = performance.now();
    const segments = up.deliver(server, down, now);
    const left = drained as Ring | null;
    if (left !== null && left.length > 0) left.consume(left.length);
    server.linkWritable(down);
    server.poll(now);
    server.dispatch(now);
    const end = performance.now();
    down.deliver(client, up, now);
    if (turn < 20_000 || segments < SLOTS / 2) continue;
    spent.send.push(((sent - start + performance.now() - end) * 1e6) / segments);
    spent.receive.push(((end - middle) * 1e6) / segments);
  }
  return { send: median(spent.send), receive: median(spent.receive) };
}

const { seal, open } = aead();
const datagrams = udp();
const segments = stacks();
console.log(
  JSON.stringify({
    seal: seal,
    open: open,
    checksum: checksum(),
    "stack send": segments.send,
    "stack receive": segments.receive,
    "UDP send": datagrams.send,
    "UDP receive": datagrams.receive,
  }),
);
