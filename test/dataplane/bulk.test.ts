/**
 * Two stacks behind two tunnels, with real sessions, over memory that loses, repeats, swaps and forges datagrams within
 * their batches: what is read is what was written, whichever way it came (docs/decisions/0027).
 */
import t from "tap";
import {
  Address,
  Arena,
  BlockPool,
  type CryptoSuite,
  type Endpoint,
  Prefix,
  Ring,
} from "../../src/base/index.js";
import { createFastCrypto, createPlainCrypto } from "../../src/crypto/index.js";
import type { Context } from "../../src/dataplane/context.js";
import { Tunnel } from "../../src/dataplane/tunnel.js";
import { EPOLLIN } from "../../src/linux/index.js";
import { Stack, type TcpConnection } from "../../src/netstack/index.js";
import { Device } from "../../src/wireguard/index.js";
import { Prng } from "../netstack/sim/prng.js";
import { SeededRandom } from "../wireguard/world.js";
import { type Batch, MemoryBind } from "./memory-bind.js";

const A: Endpoint = { address: Address.from("192.0.2.1"), port: 1001 };
const B: Endpoint = { address: Address.from("192.0.2.2"), port: 1002 };
const INNER = { 4: ["10.0.0.1", "10.0.0.2"], 6: ["fd00::1", "fd00::2"] } as const;
const MTU = 1420;
const SCRATCH_BYTES = 65_536;

class End {
  readonly tunnel: Tunnel;
  readonly stack: Stack;
  readonly device: Device;
  /** Connections that came in. */
  readonly accepted: TcpConnection[] = [];
  readonly closed: string[] = [];
  private readonly bind: MemoryBind;
  private readonly loop = { now: 0, add: () => 0, modify: () => {} };

  constructor(
    arena: Arena,
    pool: BlockPool,
    bind: MemoryBind,
    crypto: CryptoSuite,
    seed: number,
    ring: () => Ring,
  ) {
    const random = new SeededRandom(seed);
    const context = { arena, loop: this.loop, scratchDatagram: arena.reserve(SCRATCH_BYTES) };
    this.bind = bind;
    this.tunnel = new Tunnel(context as unknown as Context, bind);
    const privateKey = new Uint8Array(32);
    random.fill(privateKey);
    this.device = new Device({
      arena,
      crypto,
      random,
      privateKey,
      wallClock: () => 1_767_225_600_000 + this.loop.now,
      output: this.tunnel,
      events: {
        onHandshake: () => {},
        onHandshakeTimeout: () => {},
        onQuiet: () => false,
        onPeerEndpoint: () => {},
      },
    });
    this.stack = new Stack({
      arena,
      pool,
      random,
      handler: {
        onTcpSyn: connection => {
          connection.attach(ring(), ring());
          connection.user = this.user;
          connection.accept();
          this.accepted.push(connection);
        },
        onUdpFlow: () => {},
        onEcho: () => "ignore",
      },
    });
    this.tunnel.join(this.device, this.stack);
  }

  readonly user = {
    onTcpConnected: () => {},
    onTcpClosed: (why: string) => this.closed.push(why),
  };

  /** Whether there was anything to do. */
  turn(now: number): boolean {
    this.loop.now = now;
    const ready = this.bind.isReadable;
    if (ready) this.tunnel.onReady(EPOLLIN, now);
    this.device.poll(now);
    this.stack.poll(now);
    this.stack.dispatch(now);
    this.device.runSeals();
    this.tunnel.flush(now);
    return ready;
  }
}

/** A batch as a bad network passes it on. */
function mangle({ bytes, segmentBytes }: Batch, random: Prng, everyNth: number): Batch {
  const datagrams: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += segmentBytes)
    datagrams.push(bytes.slice(at, Math.min(bytes.length, at + segmentBytes)));
  const full = datagrams.filter(({ length }) => length === segmentBytes).length;
  if (full > 4 && random.between(1, everyNth) === 1) {
    const [i, j] = [random.between(0, full - 1), random.between(0, full - 1)];
    const [one, other] = [datagrams[i] as Uint8Array, datagrams[j] as Uint8Array];
    const kind = random.between(0, 3);
    const bit = random.between(0, 8 * segmentBytes - 1);
    if (kind === 0) datagrams.splice(i, 1);
    else if (kind === 1) datagrams.splice(i, 1, other);
    else if (kind === 2) [datagrams[i], datagrams[j]] = [other, one];
    else one[bit >> 3] = (one[bit >> 3] as number) ^ (1 << (bit & 7));
  }
  return { bytes: Buffer.concat(datagrams), segmentBytes };
}

/** Byte `position` of the stream. */
const byteAt = (position: number): number => (position ^ (position >> 8) ^ (position >> 16)) & 255;

for (const [name, create] of [
  ["fast", createFastCrypto],
  ["plain", createPlainCrypto],
] as const) {
  for (const family of [4, 6] as const) {
    for (const everyNth of [2, 40, 1000]) {
      t.test(`${name}, IPv${family}, a mishap in every ${everyNth}th batch`, async t => {
        const random = Prng.numbered(family + everyNth);
        const poolBytes = 16 << 20;
        const arena = new Arena(poolBytes + (8 << 20));
        const pool = new BlockPool(arena.reserve(poolBytes), poolBytes);
        const ring = (): Ring => new Ring(arena, pool, 512 << 10);
        const binds = MemoryBind.pair(arena, A, B);
        const crypto = create(arena);
        const [a, b] = binds.map((bind, i) => new End(arena, pool, bind, crypto, 11 + 2 * i, ring)) as [
          End,
          End,
        ];
        const everything = [Prefix.from("0.0.0.0/0"), Prefix.from("::/0")];
        const { publicKey } = a.device;
        const atA = a.device.addPeer(
          { publicKey: b.device.publicKey, endpoint: B, allowedIps: everything },
          0,
        );
        const atB = b.device.addPeer({ publicKey, allowedIps: everything }, 0);
        const link = a.tunnel.addPeer(atA, MTU);
        b.tunnel.addPeer(atB, MTU);
        const [local, remote] = INNER[family].map(text => Address.from(text)) as [Address, Address];
        const flows = [0, 1].map(() => {
          const [receive, send] = [ring(), ring()];
          const connection = a.stack.connect(link, local, remote, 80, 0);
          connection.attach(receive, send);
          connection.user = a.user;
          return { send, written: 0, read: 0 };
        });
        const scratch = arena.reserve(SCRATCH_BYTES);
        binds[0].mangle = batch => mangle(batch, random, everyNth);
        const total = name === "fast" ? 12 << 20 : 3 << 20;
        let now = 0;
        let wrong = -1;
        for (let turn = 0; turn < 200_000 && flows.some(({ read }) => read < total); turn++) {
          for (const flow of flows) {
            // Much of the time one of them speaks.
            const most = random.between(0, 7) < 3 ? 0 : random.between(1, SCRATCH_BYTES);
            const bytes = Math.min(most, total - flow.written, flow.send.space);
            for (let i = 0; i < bytes; i++) arena.u8[scratch + i] = byteAt(flow.written + i);
            if (bytes > 0 && flow.send.write(scratch, bytes)) flow.written += bytes;
          }
          const moved = [a.turn(now), b.turn(now)];
          for (const [i, { receive }] of b.accepted.entries()) {
            const flow = flows.find((_, which) => which === i);
            if (flow === undefined || receive === null) continue;
            if (receive.length === 0 || random.between(0, 3) === 0) continue;
            const bytes = Math.min(random.between(1, receive.length), SCRATCH_BYTES);
            receive.copyOut(receive.head, scratch, bytes);
            for (let at = 0; at < bytes; at++)
              if (arena.u8[scratch + at] !== byteAt(flow.read + at) && wrong < 0) wrong = flow.read + at;
            receive.consume(bytes);
            flow.read += bytes;
          }
          now += moved.includes(true) ? 0.05 : 5;
        }
        t.equal(wrong, -1, "every byte is right");
        t.same(
          flows.map(({ read }) => read),
          [total, total],
        );
        t.same([...a.closed, ...b.closed], []);
        // Where much is lost, what comes is seldom what was expected.
        const { packetsIn, tcpPredicted } = b.stack.counters;
        const least = { 2: 100, 40: 3, 1000: 2 }[everyNth] ?? 1;
        t.ok(tcpPredicted > packetsIn / least, `${tcpPredicted} of ${packetsIn} took the short way`);
      });
    }
  }
}
