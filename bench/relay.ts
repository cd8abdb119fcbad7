/**
 * A path with delay, loss and a bottleneck, for UDP: this kernel has no netem. One program between both ends of a
 * tunnel, one core for several hundred Mbit/s.
 *
 * ```
 *   laptop ⇄ LISTEN:PORT │ loss → bottleneck with a queue → delay │ TARGET:PORT ⇄ agent     (each way the same)
 * ```
 *
 *     node relay.js LISTEN TARGET DELAY_MS LOSS_PERCENT RATE_MBIT QUEUE_MS SEED
 *
 * Which datagrams are lost follows from SEED and their count alone, so that every contender meets the same path.
 * What finds more than QUEUE_MS of the bottleneck's time in the queue is dropped, as at the tail of a router's.
 */
import { Arena, ENDPOINT_BYTES, type Endpoint, parseEndpoint, writeEndpoint } from "../src/base/index.js";
import { EPOLLIN, monotonicMs, Poller, UdpSocket } from "../src/linux/index.js";
import { Prng } from "../test/netstack/sim/prng.js";

const RECEIVE_BYTES = 65_536;
const SLOT_BYTES = 2048;
/** 200 ms at 400 Mbit/s. */
const SLOTS = 8192;

const [listenText = "", targetText = "", ...numbers] = process.argv.slice(2);
const [delayMs = 0, lossPercent = 0, rateMbit = 100, queueMs = 50, seed = 1] = numbers.map(Number);
const listen = endpoint(listenText);
const target = endpoint(targetText);

const arena = new Arena(64 << 20);
const poller = new Poller(arena);
const receiveBuffer = arena.reserve(RECEIVE_BYTES);

function endpoint(text: string): Endpoint {
  const parsed = parseEndpoint(text);
  if (parsed === null) throw new Error(`not HOST:PORT: ${text}`);
  return parsed;
}

/** One way: from one socket into the other. */
class Way {
  /** Where the datagrams go; for the way back, where the last one came from. */
  readonly to: number = arena.reserve(ENDPOINT_BYTES);
  readonly from: number = arena.reserve(ENDPOINT_BYTES);
  known = false;
  private readonly input: UdpSocket;
  private readonly output: UdpSocket;
  private readonly random: Prng;
  private readonly slots: number = arena.reserve(SLOTS * SLOT_BYTES);
  private readonly lengths: Int32Array = new Int32Array(SLOTS);
  private readonly dueAt: Float64Array = new Float64Array(SLOTS);
  private head = 0;
  private count = 0;
  /** When the bottleneck has sent everything that is in its queue. */
  private freeAt = 0;

  constructor(input: UdpSocket, output: UdpSocket, seedOfWay: number) {
    this.input = input;
    this.output = output;
    this.random = new Prng(seedOfWay);
  }

  take(now: number): void {
    for (;;) {
      const total = this.input.receive(receiveBuffer, RECEIVE_BYTES, this.from);
      if (total <= 0) return;
      const { segmentBytes } = this.input;
      for (let done = 0; done < total; done += segmentBytes) {
        this.enqueue(receiveBuffer + done, Math.min(segmentBytes, total - done), now);
      }
    }
  }

  private enqueue(offset: number, length: number, now: number): void {
    if (this.random.chance(lossPercent / 100)) return;
    const start = Math.max(now, this.freeAt);
    if (start - now > queueMs || this.count === SLOTS || length > SLOT_BYTES) return;
    // What IPv4 and UDP add counts, too.
    this.freeAt = start + ((length + 28) * 8) / (rateMbit * 1000);
    const slot = (this.head + this.count++) % SLOTS;
    arena.u8.copyWithin(this.slots + slot * SLOT_BYTES, offset, offset + length);
    this.lengths[slot] = length;
    this.dueAt[slot] = this.freeAt + delayMs;
  }

  deliver(now: number): void {
    while (this.count > 0 && this.nextAt <= now) {
      const length = this.lengths[this.head] as number;
      if (this.known) this.output.send(this.slots + this.head * SLOT_BYTES, length, length, this.to);
      this.head = (this.head + 1) % SLOTS;
      this.count--;
    }
  }

  get nextAt(): number {
    return this.count === 0 ? Number.POSITIVE_INFINITY : (this.dueAt[this.head] as number);
  }
}

const near = UdpSocket.bind(arena, listen);
const far = UdpSocket.bind(arena, { port: listen.port + 1 });
const there = new Way(near, far, seed);
const back = new Way(far, near, seed + 1);
writeEndpoint(arena.u8, there.to, target);
there.known = true;
poller.add(near.fd, EPOLLIN);
poller.add(far.fd, EPOLLIN);
await new Promise<void>(resolve => process.stdout.write("ready\n", () => resolve()));

for (;;) {
  poller.wait(Math.max(0, Math.min(there.nextAt, back.nextAt) - monotonicMs()));
  const now = monotonicMs();
  there.take(now);
  if (!back.known) {
    arena.u8.copyWithin(back.to, there.from, there.from + ENDPOINT_BYTES);
    back.known = arena.u8[back.to] !== 0;
  }
  back.take(now);
  there.deliver(now);
  back.deliver(now);
}
