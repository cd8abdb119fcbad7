/**
 * One stack under attack: the link that it hangs on, the user of its connections, and what must hold after every
 * packet, whatever the packet was. Everything that happens to it is an `Op`, so that what went wrong can be
 * written down and done again.
 */
import { Address, Arena, BlockPool, NEVER, Ring } from "../../../src/base/index.js";
import {
  type Link,
  Stack,
  type StackHandler,
  type StackOptions,
  type TcpConnection,
  type UdpFlow,
} from "../../../src/netstack/index.js";
import { MAX_RTO_MS, MIN_MSS } from "../../../src/netstack/tcp/constants.js";
import { seqLt } from "../../../src/netstack/tcp/seq.js";
import { auditStack } from "../sim/books.js";
import { Prng } from "../sim/prng.js";

/** Plain values, as ops are. */
export interface Setup {
  seed: number;
  family: 4 | 6;
  maxGsoBytes: number;
  congested: boolean;
  congestion: StackOptions["congestion"];
  ringBytes: number;
  /** The connection has rings. */
  attached: boolean;
  /** Of connections and flows: as many as a session may fill. */
  tight: boolean;
}

export type Op =
  /** A packet: `bytes` in hexadecimal, then zeros; `trusted` as in `Stack.process`. */
  | { op: "packet"; bytes: string; length: number; trusted: boolean }
  | { op: "dispatch" }
  | { op: "step"; ms: number }
  | { op: "connect" }
  | { op: "write"; bytes: number }
  | { op: "read" }
  | { op: "finish" }
  | { op: "abort" }
  | { op: "block"; on: boolean }
  | { op: "mtu"; mtu: number };

export const PEER_PORT = 40_000;
export const STACK_PORT = 80;
const POOL_BYTES = 32 << 20;
const PACKET_BYTES = 65_536;
const GUARD_BYTES = 64;
const GUARD = 0xa5;
/** Packets that one op may make the stack send: a ring's bytes in the smallest segments, and some. */
const MAX_OUTPUT = 4000;
/** Timers that may fire in one step. */
const MAX_WAKES = 20_000;
/** Small, so that limits are reached. */
function limitsOf(setup: Setup): Pick<StackOptions, "maxTcpConnections" | "maxTimeWait" | "maxUdpFlows"> {
  return setup.tight
    ? { maxTcpConnections: 3, maxTimeWait: 2, maxUdpFlows: 2 }
    : { maxTcpConnections: 40, maxTimeWait: 8, maxUdpFlows: 40 };
}

/** Memory that one target after the other uses. */
export class Ground {
  readonly arena: Arena = new Arena(POOL_BYTES + (1 << 20));
  readonly pool: BlockPool;
  /** Where packets are put together. */
  readonly in: number;
  /** Where a packet is kept while its fragments are made. */
  readonly copy: number;
  readonly out: number;

  constructor() {
    this.pool = new BlockPool(this.arena.reserve(POOL_BYTES), POOL_BYTES);
    this.in = this.guarded();
    this.copy = this.guarded();
    this.out = this.guarded();
  }

  /** Each stack reserves a little of the arena for good; after many the ground is spent. */
  get spent(): boolean {
    return this.pool.usedBytes > 0 || this.arena.available < PACKET_BYTES;
  }

  private guarded(): number {
    const at = this.arena.reserve(PACKET_BYTES + 2 * GUARD_BYTES) + GUARD_BYTES;
    this.arena.u8.fill(GUARD, at - GUARD_BYTES, at);
    this.arena.u8.fill(GUARD, at + PACKET_BYTES, at + PACKET_BYTES + GUARD_BYTES);
    return at;
  }

  /** Nobody wrote beside a packet. */
  checkGuards(): void {
    for (const at of [this.in, this.copy, this.out]) {
      for (let i = 0; i < GUARD_BYTES; i++) {
        if (this.arena.u8[at - 1 - i] !== GUARD || this.arena.u8[at + PACKET_BYTES + i] !== GUARD) {
          throw new Error("something was written beside a packet");
        }
      }
    }
  }
}

export class Target implements Link, StackHandler {
  mtu = 1500;
  readonly maxGsoBytes: number;
  readonly checksum = "full";
  readonly congested: boolean;
  readonly setup: Setup;
  readonly ground: Ground;
  readonly stack: Stack;
  readonly local: Address;
  readonly remote: Address;
  now = 10_000;
  /** The connection that the packets aim at, once there is one. */
  connection: TcpConnection | null = null;
  readonly receiveRing: Ring;
  readonly sendRing: Ring;
  /** Where ops are written down, or null. */
  log: Op[] | null = null;
  private blocked = false;
  private output = 0;
  private una = 0;
  private rcvNxt = 0;
  private edge = 0;

  constructor(ground: Ground, setup: Setup) {
    const { arena, pool } = ground;
    this.ground = ground;
    this.setup = setup;
    this.maxGsoBytes = setup.maxGsoBytes;
    this.congested = setup.congested;
    this.local = Address.from(setup.family === 4 ? "198.51.100.2" : "2001:db8:1::2");
    this.remote = Address.from(setup.family === 4 ? "192.0.2.1" : "2001:db8::1");
    const options: Partial<StackOptions> = {
      ...limitsOf(setup),
      maxHalfOpen: 4,
      maxReassemblies: 6,
      congestion: setup.congestion,
    };
    this.stack = new Stack({ arena, pool, random: new Prng(setup.seed), handler: this, options });
    this.receiveRing = new Ring(arena, pool, setup.ringBytes);
    this.sendRing = new Ring(arena, pool, setup.ringBytes);
  }

  // ---- Link and StackHandler ----

  reserve(bytes: number): number {
    if (bytes > PACKET_BYTES) throw new RangeError(`a packet of ${bytes} bytes`);
    return this.blocked ? -1 : this.ground.out;
  }

  commit(bytes: number, gsoSize: number): void {
    if (++this.output > MAX_OUTPUT) throw new Error("it sends without end");
    const { view } = this.ground.arena;
    const at = this.ground.out;
    const version = view.getUint8(at) >> 4;
    const length = version === 4 ? view.getUint16(at + 2) : view.getUint16(at + 4) + 40;
    if ((version !== 4 && version !== 6) || length !== bytes) throw new Error("it sent a bad IP header");
    if (gsoSize === 0 && bytes > this.mtu) throw new Error(`it sent ${bytes} bytes on a link of ${this.mtu}`);
  }

  /** By port, not by a generator, so that the same packet is answered alike when others are left out. */
  onTcpSyn(connection: TcpConnection): void {
    if (this.connection === null && connection.remotePort === PEER_PORT) {
      this.take(connection);
      connection.accept();
      return;
    }
    const decision = connection.remotePort % 5;
    if (decision === 0) connection.refuse();
    else if (decision === 1) connection.unreachable("prohibited");
    else if (decision === 2) connection.accept();
    else if (decision === 3) {
      const { arena, pool } = this.ground;
      connection.attach(new Ring(arena, pool, 8192), new Ring(arena, pool, 8192));
      connection.accept();
    }
  }

  onUdpFlow(flow: UdpFlow): void {
    if (flow.remotePort % 3 === 0) flow.refuse("port");
    else if (flow.remotePort % 3 === 1) flow.receiver = this;
  }

  onUdpData(offset: number, length: number): void {
    if (offset < 0 || length < 0 || offset + length > this.ground.arena.size) throw new Error("bad datagram");
  }

  onUdpUnreachable(): void {}

  onUdpClosed(): void {}

  onEcho(_link: Link, _source: Address, destination: Address): "reply" | "ignore" | "host" {
    return (["reply", "ignore", "host"] as const)[destination.w3 % 3] as "reply";
  }

  private take(connection: TcpConnection): void {
    this.connection = connection;
    if (this.setup.attached) connection.attach(this.receiveRing, this.sendRing);
    this.una = connection.snd.una;
    this.rcvNxt = connection.rcv.nxt;
    this.edge = connection.rcv.edge;
  }

  // ---- ops ----

  apply(op: Op): void {
    switch (op.op) {
      case "packet": {
        const bytes = Buffer.from(op.bytes, "hex");
        const { arena, in: at } = this.ground;
        arena.u8.set(bytes, at);
        arena.u8.fill(0, at + bytes.length, at + op.length);
        return this.packet(op.length, op.trusted);
      }
      case "dispatch":
        return this.dispatch();
      case "step":
        return this.step(op.ms);
      case "connect":
        return this.connect();
      case "write":
        return this.write(op.bytes);
      case "read":
        return this.read();
      case "finish":
        return this.finish();
      case "abort":
        return this.abort();
      case "block":
        return this.block(op.on);
      case "mtu":
        return this.setMtu(op.mtu);
    }
  }

  /** The first `length` bytes of the ground's packet. */
  packet(length: number, trusted: boolean): void {
    const { arena, in: at } = this.ground;
    if (this.log !== null) {
      const bytes = Buffer.from(arena.u8.subarray(at, at + length)).toString("hex");
      this.log.push({ op: "packet", bytes: bytes.replace(/(00)+$/, ""), length, trusted });
    }
    this.output = 0;
    this.stack.process(this, at, length, this.now, trusted);
  }

  dispatch(): void {
    this.log?.push({ op: "dispatch" });
    this.output = 0;
    this.stack.dispatch(this.now);
  }

  step(ms: number): void {
    this.log?.push({ op: "step", ms });
    const end = this.now + ms;
    for (let wakes = 0; ; wakes++) {
      if (wakes > MAX_WAKES) throw new Error("its timers fire without end");
      const next = this.stack.pollAt();
      if (Number.isNaN(next)) throw new Error("a timer at no time");
      if (next > end) break;
      this.now = Math.max(this.now, next);
      this.stack.poll(this.now);
      this.output = 0;
      this.stack.dispatch(this.now);
    }
    this.now = end;
    this.stack.dispatch(this.now);
  }

  connect(): void {
    this.log?.push({ op: "connect" });
    this.take(this.stack.connect(this, this.local, this.remote, PEER_PORT, this.now));
  }

  write(bytes: number): void {
    this.log?.push({ op: "write", bytes });
    const ring = this.sendRing;
    if (ring.aborted || ring.finished) return;
    const room = ring.prepare(bytes);
    if (room > 0) ring.advance(room);
  }

  read(): void {
    this.log?.push({ op: "read" });
    if (this.receiveRing.length > 0) this.receiveRing.consume(this.receiveRing.length);
  }

  finish(): void {
    this.log?.push({ op: "finish" });
    this.sendRing.finish();
  }

  abort(): void {
    this.log?.push({ op: "abort" });
    this.connection?.abort();
  }

  block(on: boolean): void {
    this.log?.push({ op: "block", on });
    this.blocked = on;
    if (!on) this.stack.linkWritable(this);
  }

  setMtu(mtu: number): void {
    this.log?.push({ op: "mtu", mtu });
    this.mtu = mtu;
  }

  // ---- what must hold ----

  /** After every packet. */
  check(): void {
    const c = this.connection;
    if (c === null || c.state === "CLOSED") return;
    const { snd, rcv } = c;
    if (seqLt(snd.una, this.una)) throw new Error("SND.UNA went back");
    if (rcv.irs !== 0 && this.rcvNxt !== 0 && seqLt(rcv.nxt, this.rcvNxt))
      throw new Error("RCV.NXT went back");
    if (this.rcvNxt !== 0 && seqLt(rcv.edge, this.edge)) throw new Error("the offered window went back");
    if (seqLt(snd.nxt, snd.una)) throw new Error("SND.NXT is before SND.UNA");
    if (snd.wnd < 0 || snd.wnd > 0xffff << 14) throw new Error(`a window of ${snd.wnd}`);
    if (snd.mss < MIN_MSS || snd.mss > PACKET_BYTES) throw new Error(`segments of ${snd.mss}`);
    if (!snd.resting && (!(snd.congestion.cwnd >= 0) || !(snd.congestion.pacingRate > 0))) {
      throw new Error(`cwnd ${snd.congestion.cwnd}, pacing ${snd.congestion.pacingRate}`);
    }
    if (!(snd.rtt.rto > 0 && snd.rtt.rto <= MAX_RTO_MS) || !(snd.rtt.srtt >= 0)) {
      throw new Error(`RTO ${snd.rtt.rto}, SRTT ${snd.rtt.srtt}`);
    }
    this.una = snd.una;
    this.rcvNxt = rcv.nxt;
    this.edge = rcv.edge;
  }

  /** Now and then: it costs more. */
  audit(): void {
    const { stack, ground } = this;
    const wrong = this.blocked ? null : auditStack(stack, this.now);
    if (wrong !== null) throw new Error(wrong);
    const { maxTcpConnections, maxTimeWait, maxUdpFlows } = limitsOf(this.setup);
    if (stack.connections().length > maxTcpConnections) throw new Error("too many connections");
    if (stack.timeWaitCount > maxTimeWait) throw new Error("too many in TIME-WAIT");
    if (stack.udpFlows().length > maxUdpFlows) throw new Error("too many UDP flows");
    for (const ring of [this.receiveRing, this.sendRing]) {
      if (ring.length < 0 || ring.length > Math.max(ring.limit, ring.heldBytes))
        throw new Error("a ring overflows");
    }
    ground.checkGuards();
  }

  /** The link goes away: nothing may be left of anything. */
  end(): void {
    const { stack, ground } = this;
    this.blocked = false;
    stack.closeLink(this);
    this.log = null;
    this.step(3_600_000);
    if (stack.connections().length > 0) throw new Error("a connection is left");
    if (stack.timeWaitCount > 0) throw new Error("a TIME-WAIT is left");
    if (stack.udpFlows().length > 0) throw new Error("a UDP flow is left");
    if (stack.pollAt() !== NEVER) throw new Error("a timer is left");
    this.receiveRing.dispose();
    this.sendRing.dispose();
    if (ground.pool.usedBytes !== 0) throw new Error(`${ground.pool.usedBytes} bytes are left`);
  }
}
