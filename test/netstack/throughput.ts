/**
 * A micro-measurement, not a test: `node dist/test/netstack/throughput.js [seconds]`.
 *
 * Two stacks hand each other packets through the arena, without loss, delay or copying in between, so what is
 * measured is the stack: nanoseconds per full segment for sending and receiving together.
 */
import { Address, Arena, BlockPool, Ring, type RingReader, type RingWriter } from "../../src/base/index.js";
import { type Link, Stack, type StackHandler, type TcpConnection } from "../../src/netstack/index.js";
import { Prng } from "./sim/prng.js";

const PACKETS = 4096;
const PACKET_BYTES = 2048;

class DirectLink implements Link {
  readonly mtu: number;
  readonly maxGsoBytes: number;
  readonly checksum: "full" | "partial";
  readonly congested: boolean;
  sent = 0;
  bytes = 0;
  private readonly base: number;
  private readonly slotBytes: number;
  private readonly lengths: Int32Array = new Int32Array(PACKETS);
  private first = 0;
  private count = 0;

  constructor(arena: Arena, mtu: number, gso: number, checksum: "full" | "partial", congested: boolean) {
    this.mtu = mtu;
    this.maxGsoBytes = gso;
    this.checksum = checksum;
    this.congested = congested;
    this.slotBytes = gso > 0 ? 65_536 : PACKET_BYTES;
    this.base = arena.reserve((gso > 0 ? 256 : PACKETS) * this.slotBytes);
  }

  private get slots(): number {
    return this.maxGsoBytes > 0 ? 256 : PACKETS;
  }

  reserve(_bytes: number): number {
    if (this.count === this.slots) return -1;
    return this.base + ((this.first + this.count) % this.slots) * this.slotBytes + 16;
  }

  commit(bytes: number, _gsoSize: number, _headerBytes: number): void {
    this.lengths[(this.first + this.count) % this.slots] = bytes;
    this.count++;
    this.sent++;
    this.bytes += bytes;
  }

  /** Hands up to `batch` packets to the other end. */
  drain(to: Stack, link: Link, trusted: boolean, now: number, batch: number): number {
    const n = Math.min(batch, this.count);
    for (let i = 0; i < n; i++) {
      const slot = this.first;
      to.process(link, this.base + slot * this.slotBytes + 16, this.lengths[slot] as number, now, trusted);
      this.first = (slot + 1) % this.slots;
      this.count--;
    }
    return n;
  }
}

/** Always has bytes; does not write them. */
class Endless implements RingWriter {
  constructor(private_: Ring) {
    this.ring = private_;
    private_.writer = this;
  }
  private readonly ring: Ring;
  onRingSpace(): void {
    for (;;) {
      const room = this.ring.prepare(65_536);
      if (room === 0) return;
      this.ring.advance(room);
    }
  }
  onRingAborted(): void {}
}

class Drain implements RingReader {
  private readonly ring: Ring;
  constructor(ring: Ring) {
    this.ring = ring;
    ring.reader = this;
  }
  onRingData(): void {
    if (this.ring.length > 0) this.ring.consume(this.ring.length);
  }
  onRingAborted(): void {}
}

function measure(
  name: string,
  seconds: number,
  gso: number,
  checksum: "full" | "partial",
  congested: boolean,
): void {
  const poolBytes = 64 << 20;
  const arena = new Arena(poolBytes + (64 << 20));
  const pool = new BlockPool(arena.reserve(poolBytes), poolBytes);
  const mtu = 1432;
  const a = new DirectLink(arena, mtu, gso, checksum, congested);
  const b = new DirectLink(arena, mtu, gso, checksum, congested);
  const ring = () => new Ring(arena, pool, 1 << 20);
  const handler: StackHandler = {
    onTcpSyn(connection: TcpConnection): void {
      const receive = ring();
      connection.attach(receive, ring());
      new Drain(receive);
      connection.accept();
    },
    onUdpFlow(): void {},
    onEcho: () => "ignore",
  };
  const client = new Stack({ arena, pool, random: new Prng(1), handler });
  const server = new Stack({ arena, pool, random: new Prng(2), handler });
  const connection = client.connect(a, Address.from("10.0.0.1"), Address.from("10.0.0.2"), 80, 0);
  const send = ring();
  connection.attach(ring(), send);
  const source = new Endless(send);
  source.onRingSpace();
  const trusted = checksum === "partial";
  let now = 0;
  const turn = () => {
    now += 0.05;
    client.poll(now);
    client.dispatch(now);
    a.drain(server, b, trusted, now, 64);
    server.poll(now);
    server.dispatch(now);
    b.drain(client, a, trusted, now, 64);
    client.linkWritable(a);
    server.linkWritable(b);
  };
  for (let warm = 0; warm < 20_000; warm++) turn();
  const acked = connection.bytesOut;
  const start = process.cpuUsage();
  let turns = 0;
  while (elapsedNs(start) < seconds * 1e9) {
    for (let i = 0; i < 500; i++) turn();
    turns += 500;
  }
  const ns = elapsedNs(start);
  const bytes = connection.bytesOut - acked;
  const perSegment = ns / (bytes / 1380);
  console.log(
    `${name}: ${perSegment.toFixed(0)} ns per 1380 bytes, ${((bytes * 8) / ns).toFixed(1)} Gbit/s, ` +
      `${(bytes / turns / 1380).toFixed(1)} segments a turn`,
  );
}

const seconds = Number(process.argv[2] ?? 1);
measure("segments, no checksum", seconds, 0, "partial", true);
measure("segments, checksum written and verified", seconds, 0, "full", true);
measure("super-segments, no checksum, no congestion control", seconds, 65_535, "partial", false);

/** Processor time, so that other programs on the machine do not count. */
function elapsedNs(start: NodeJS.CpuUsage): number {
  return process.cpuUsage(start).user * 1000;
}
