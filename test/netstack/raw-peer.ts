/**
 * A scripted peer for one stack: it builds packets byte by byte, records what the stack sends, and moves a
 * virtual clock. Sequence numbers in tests are relative: `peer.iss` and `peer.irs` are the two origins.
 */
import { Address, Arena, BlockPool, Ring } from "../../src/base/index.js";
import {
  type ChecksumMode,
  type Link,
  type PathObserver,
  Stack,
  type StackHandler,
  type StackOptions,
  type TcpCloseReason,
  type TcpConnection,
  type UdpFlow,
  type Unreachable,
} from "../../src/netstack/index.js";
import {
  finishSum,
  PROTOCOL_ICMP4,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  setIpv4Ect,
  setIpv6Ect,
  sumAddress,
  sumBytes,
  sumPseudoHeader,
  TCP_ACK,
  TCP_CWR,
  TCP_ECE,
  TCP_FIN,
  TCP_HEADER_BYTES,
  TCP_PSH,
  TCP_RST,
  TCP_SYN,
  TcpOptions,
  writeIpv4,
  writeIpv6,
  writeTcp,
} from "../../src/wire/index.js";
import { Prng } from "./sim/prng.js";

export const PEER: Address = Address.from("192.0.2.1");
export const STACK: Address = Address.from("198.51.100.2");
export const PEER_V6: Address = Address.from("2001:db8::1");
export const STACK_V6: Address = Address.from("2001:db8:1::2");
export const PEER_PORT = 40_000;
export const STACK_PORT = 80;
/** The option by which two ends agree to leave checksums out (RFC 1146). */
export const REDUNDANT: readonly number[] = [1, 14, 3, 3];

const FLAG_NAMES: readonly [string, number][] = [
  ["S", TCP_SYN],
  ["F", TCP_FIN],
  ["R", TCP_RST],
  ["P", TCP_PSH],
  [".", TCP_ACK],
  ["E", TCP_ECE],
  ["W", TCP_CWR],
];

/** A TCP segment that the stack sent. */
export interface Sent {
  /** As tcpdump writes them: "S.", ".", "P.", "R". */
  flags: string;
  /** Relative to the stack's ISS once it is known. */
  seq: number;
  /** Relative to the peer's ISS; 0 without ACK. */
  ack: number;
  window: number;
  data: Uint8Array;
  mss: number;
  windowScale: number;
  sackPermitted: boolean;
  timestamps: [number, number] | null;
  /** Relative to the peer's ISS. */
  sack: [number, number][];
  gsoSize: number;
  /** ECN codepoint of the IP header. */
  ecn: number;
}

export interface SegmentSpec {
  flags: string;
  seq?: number;
  ack?: number;
  window?: number;
  data?: Uint8Array | string;
  /** Raw option bytes, a multiple of four. */
  options?: number[];
  timestamps?: [number, number];
  /** Blocks relative to the stack's ISS. */
  sack?: [number, number][];
  badChecksum?: boolean;
  /** A router has marked it: congestion experienced. */
  marked?: boolean;
}

export interface PeerOptions {
  mtu?: number;
  congested?: boolean;
  maxGsoBytes?: number;
  checksum?: ChecksumMode;
  /** Text may stay in the ring until the link takes it. */
  gathers?: boolean;
  /** Segments alike that the link takes at once. Default all. */
  mostAlike?: number;
  family?: 4 | 6;
  stack?: Partial<StackOptions>;
  ringBytes?: number;
}

export interface EstablishOptions {
  sack?: boolean;
  scale?: number;
  timestamps?: boolean;
  mss?: number;
  window?: number;
  /** Time between SYN-ACK and ACK. */
  rttMs?: number;
}

/** The segment whose headers end at `end` has left with `textBytes` bytes: the next one's sequence number. */
export function goOn(arena: Arena, end: number, textBytes: number): void {
  const at = end - TCP_HEADER_BYTES + 4;
  arena.view.setInt32(at, arena.view.getInt32(at) + textBytes);
}

export class RawPeer implements Link, StackHandler {
  mtu: number;
  readonly maxGsoBytes: number;
  readonly checksum: ChecksumMode;
  readonly congested: boolean;
  path?: PathObserver;
  commitGathered?: Required<Link>["commitGathered"];
  /** Packets whose text was in the ring. */
  gathered = 0;
  readonly arena: Arena = new Arena(40 << 20);
  readonly pool: BlockPool;
  readonly stack: Stack;
  now = 10_000;
  /** Whole packets, as sent, oldest first. */
  packets: Uint8Array[] = [];
  gsoSizes: number[] = [];
  blocked = false;
  iss = 0x7fff_fff0;
  irs = 0;

  connection: TcpConnection | null = null;
  receiveRing: Ring;
  sendRing: Ring;
  connected = false;
  closed: TcpCloseReason | null = null;
  readerAborted = false;
  writerAborted = false;
  /** What to do with a SYN; the default attaches rings and accepts. */
  onSyn: ((connection: TcpConnection) => void) | null = null;
  onFlow: ((flow: UdpFlow) => void) | null = null;
  echo: "reply" | Unreachable | "ignore" = "reply";
  readonly family: 4 | 6;
  private readonly out: number;
  private readonly in: number;
  private readonly scratch: number;

  constructor(options: PeerOptions = {}) {
    this.mtu = options.mtu ?? 1500;
    this.maxGsoBytes = options.maxGsoBytes ?? 0;
    this.checksum = options.checksum ?? "full";
    this.congested = options.congested ?? true;
    this.family = options.family ?? 4;
    if (options.gathers === true) {
      this.commitGathered = (headerBytes, text, textBytes, count, gsoSize) => {
        const taken = Math.min(count, options.mostAlike ?? count);
        for (let i = 0; i < taken; i++) {
          this.arena.u8.copyWithin(this.out + headerBytes, text + i * textBytes, text + (i + 1) * textBytes);
          this.commit(headerBytes + textBytes, gsoSize, headerBytes);
          goOn(this.arena, this.out + headerBytes, textBytes);
        }
        this.gathered += taken;
        return taken;
      };
    }
    const poolBytes = 32 << 20;
    this.pool = new BlockPool(this.arena.reserve(poolBytes), poolBytes);
    this.out = this.arena.reserve(65_536);
    this.in = this.arena.reserve(65_600);
    this.scratch = this.arena.reserve(1 << 20);
    const { arena, pool } = this;
    // What is told segment by segment here are windows (RFC 5681); a model's pace has tests of its own.
    const stackOptions = { congestion: "cubic", ...options.stack } as const;
    this.stack = new Stack({ arena, pool, random: new Prng(7), handler: this, options: stackOptions });
    const ringBytes = options.ringBytes ?? 65_536;
    this.receiveRing = new Ring(arena, pool, ringBytes);
    this.sendRing = new Ring(arena, pool, ringBytes);
    this.receiveRing.reader = {
      onRingData: () => {},
      onRingAborted: () => {
        this.readerAborted = true;
      },
    };
    this.sendRing.writer = {
      onRingSpace: () => {},
      onRingAborted: () => {
        this.writerAborted = true;
      },
    };
  }

  get peerAddress(): Address {
    return this.family === 4 ? PEER : PEER_V6;
  }

  get stackAddress(): Address {
    return this.family === 4 ? STACK : STACK_V6;
  }

  // ---- Link and StackHandler ----

  reserve(_bytes: number): number {
    return this.blocked ? -1 : this.out;
  }

  commit(bytes: number, gsoSize: number, _headerBytes: number): void {
    this.packets.push(this.arena.u8.slice(this.out, this.out + bytes));
    this.gsoSizes.push(gsoSize);
  }

  onTcpSyn(connection: TcpConnection): void {
    this.connection = connection;
    connection.user = this;
    if (this.onSyn !== null) {
      this.onSyn(connection);
      return;
    }
    connection.attach(this.receiveRing, this.sendRing);
    connection.accept();
  }

  onUdpFlow(flow: UdpFlow): void {
    this.onFlow?.(flow);
  }

  onEcho(): "reply" | Unreachable | "ignore" {
    return this.echo;
  }

  onTcpConnected(): void {
    this.connected = true;
  }

  onTcpClosed(why: TcpCloseReason): void {
    if (this.closed !== null) throw new Error("closed twice");
    this.closed = why;
  }

  // ---- time ----

  /** Lets `ms` go by, timer by timer. */
  step(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const next = this.stack.pollAt();
      if (next > end) break;
      this.now = Math.max(this.now, next);
      this.stack.poll(this.now);
      this.stack.dispatch(this.now);
    }
    this.now = end;
    this.dispatch();
  }

  dispatch(): void {
    this.stack.dispatch(this.now);
  }

  // ---- packets to the stack ----

  /** One raw packet. */
  inject(packet: Uint8Array, trusted = false): void {
    this.arena.u8.set(packet, this.in);
    this.stack.process(this, this.in, packet.length, this.now, trusted);
  }

  /** Packets of equal length that came together, authenticated. Of even numbers of them it is said what all begin with. */
  injectAlike(packets: readonly Uint8Array[]): void {
    const length = packets[0]?.length ?? 0;
    const differs = (packets[0] ?? []).findIndex((byte, i) => packets.some(packet => packet[i] !== byte));
    const common = packets.length % 2 === 1 ? 0 : differs === -1 ? length : differs;
    const stride = (length + 64) & ~63;
    for (const [i, packet] of packets.entries()) this.arena.u8.set(packet, this.scratch + i * stride);
    for (let i = 0; i < packets.length; ) {
      const left = packets.length - i;
      i += this.stack.processAlike(this, this.scratch + i * stride, length, stride, left, common, this.now);
    }
  }

  /** An IP packet from the peer to the stack around `payload`, whose checksum field is filled in. */
  ip(protocol: number, payload: Uint8Array, checksumAt: number): Uint8Array {
    const header = this.family === 4 ? 20 : 40;
    const packet = new Uint8Array(header + payload.length);
    const view = new DataView(packet.buffer);
    if (this.family === 4) {
      writeIpv4(view, 0, packet.length, 0, 0x4000, protocol, PEER.w3, STACK.w3);
    } else {
      writeIpv6(view, 0, payload.length, protocol);
      PEER_V6.write(packet, 8);
      STACK_V6.write(packet, 24);
    }
    packet.set(payload, header);
    if (checksumAt >= 0) {
      this.arena.u8.set(payload, this.scratch);
      const addresses = sumAddress(this.peerAddress) + sumAddress(this.stackAddress);
      const pseudo = protocol === PROTOCOL_ICMP4 ? 0 : sumPseudoHeader(addresses, protocol, payload.length);
      view.setUint16(
        header + checksumAt,
        finishSum(pseudo + sumBytes(this.arena, this.scratch, payload.length)),
      );
    }
    return packet;
  }

  /** A TCP segment; `dispatch` is left to the caller. */
  segment(spec: SegmentSpec): Uint8Array {
    const data =
      typeof spec.data === "string" ? new TextEncoder().encode(spec.data) : (spec.data ?? new Uint8Array());
    const options = [...(spec.options ?? [])];
    if (spec.timestamps !== undefined) {
      options.push(1, 1, 8, 10, ...bytes32(spec.timestamps[0]), ...bytes32(spec.timestamps[1]));
    }
    if (spec.sack !== undefined) {
      options.push(1, 1, 5, 2 + 8 * spec.sack.length);
      for (const [left, right] of spec.sack)
        options.push(...bytes32(this.irs + left), ...bytes32(this.irs + right));
    }
    const headerBytes = 20 + options.length;
    const payload = new Uint8Array(headerBytes + data.length);
    let flags = 0;
    for (const [name, bit] of FLAG_NAMES) if (spec.flags.includes(name)) flags |= bit;
    const ports = (PEER_PORT << 16) | this.stackPort;
    const ack = flags & TCP_ACK ? (this.irs + (spec.ack ?? 0)) | 0 : 0;
    const seq = (this.iss + (spec.seq ?? 0)) | 0;
    writeTcp(new DataView(payload.buffer), 0, ports, seq, ack, headerBytes, flags, spec.window ?? 65_535);
    payload.set(options, 20);
    payload.set(data, headerBytes);
    const packet = this.ip(PROTOCOL_TCP, payload, 16);
    if (spec.marked) this.mark(packet);
    if (spec.badChecksum)
      packet[packet.length - payload.length + 16] =
        1 ^ (packet[packet.length - payload.length + 16] as number);
    return packet;
  }

  /** ECT(0) and then, as a router does, CE: the same field plus one (RFC 1624). */
  private mark(packet: Uint8Array): void {
    const view = new DataView(packet.buffer);
    if (this.family === 4) {
      setIpv4Ect(view, 0);
      view.setUint8(1, 3);
      view.setUint16(10, view.getUint16(10) - 1);
    } else {
      setIpv6Ect(view, 0);
      view.setUint8(1, 3 << 4);
    }
  }

  /** Port of the stack's end: 80, or what `connect` chose. */
  stackPort: number = STACK_PORT;

  /** Sends segments in one batch, then lets the stack answer. */
  send(...specs: SegmentSpec[]): void {
    for (const spec of specs) this.inject(this.segment(spec));
    this.dispatch();
  }

  udp(data: Uint8Array, port = 53): Uint8Array {
    const payload = new Uint8Array(8 + data.length);
    const view = new DataView(payload.buffer);
    view.setUint16(0, PEER_PORT);
    view.setUint16(2, port);
    view.setUint16(4, payload.length);
    payload.set(data, 8);
    return this.ip(PROTOCOL_UDP, payload, 6);
  }

  // ---- what the stack sent ----

  /** All TCP segments sent since the last call; other packets are left out. */
  sent(): Sent[] {
    const { packets, gsoSizes } = this;
    this.packets = [];
    this.gsoSizes = [];
    return packets.flatMap((packet, i) => {
      const parsed = this.parse(packet, gsoSizes[i] as number);
      return parsed === null ? [] : [parsed];
    });
  }

  /** The one segment that was sent. */
  only(): Sent {
    const sent = this.sent();
    if (sent.length !== 1) throw new Error(`expected one segment, got ${JSON.stringify(sent.map(describe))}`);
    return sent[0] as Sent;
  }

  /** Short forms: flags, seq:end, ack. */
  lines(): string[] {
    return this.sent().map(describe);
  }

  private parse(packet: Uint8Array, gsoSize: number): Sent | null {
    const header = this.family === 4 ? 20 : 40;
    if (packet[this.family === 4 ? 9 : 6] !== PROTOCOL_TCP) return null;
    this.verifyChecksum(packet, header);
    const view = new DataView(packet.buffer);
    const bits = view.getUint8(header + 13);
    const headerBytes = (view.getUint8(header + 12) >> 4) * 4;
    if (bits & TCP_SYN) this.irs = view.getInt32(header + 4);
    const options = new TcpOptions();
    options.parse(view, header, headerBytes);
    const sack: [number, number][] = [];
    for (let i = 0; i < options.sackCount; i++) {
      sack.push([
        ((options.sack[2 * i] as number) - this.iss) | 0,
        ((options.sack[2 * i + 1] as number) - this.iss) | 0,
      ]);
    }
    return {
      flags: FLAG_NAMES.filter(([, bit]) => bits & bit)
        .map(([name]) => name)
        .join(""),
      seq: (view.getInt32(header + 4) - this.irs) | 0,
      ack: bits & TCP_ACK ? (view.getInt32(header + 8) - this.iss) | 0 : 0,
      window: view.getUint16(header + 14),
      data: packet.slice(header + headerBytes),
      mss: options.mss,
      windowScale: options.windowScale,
      sackPermitted: options.sackPermitted,
      timestamps: options.hasTimestamps ? [options.tsValue, options.tsEcho] : null,
      sack,
      gsoSize,
      ecn: this.family === 4 ? view.getUint8(1) & 3 : (view.getUint8(1) >> 4) & 3,
    };
  }

  private verifyChecksum(packet: Uint8Array, header: number): void {
    this.arena.u8.set(packet, this.scratch);
    const length = packet.length - header;
    const addresses = sumAddress(this.peerAddress) + sumAddress(this.stackAddress);
    const pseudo = sumPseudoHeader(addresses, PROTOCOL_TCP, length);
    const field = new DataView(packet.buffer).getUint16(header + 16);
    const whole = finishSum(pseudo + sumBytes(this.arena, this.scratch + header, length));
    const bare = length === (packet[header + 12] as number) >> 2 && field !== pseudo;
    if (this.checksum === "redundant" && field === 0) return;
    if (this.checksum !== "partial" || bare ? whole !== 0 : field !== pseudo)
      throw new Error("bad TCP checksum");
  }

  // ---- shortcuts ----

  /** Three-way handshake with the stack as server. SACK, timestamps and scaling as asked. */
  establish(options: EstablishOptions = {}): void {
    this.send({ flags: "S", options: synOptions(options), window: options.window ?? 65_535 });
    const reply = this.only();
    if (reply.flags !== "S.") throw new Error(`expected SYN-ACK, got ${describe(reply)}`);
    this.step(options.rttMs ?? 0);
    const timestamps: [number, number] | undefined = options.timestamps
      ? [1, reply.timestamps?.[0] ?? 0]
      : undefined;
    this.send({
      flags: ".",
      seq: 1,
      ack: 1,
      window: options.window ?? 65_535,
      ...(timestamps === undefined ? {} : { timestamps }),
    });
    this.sent();
  }

  /** Puts bytes into the send ring. */
  write(data: Uint8Array | string): void {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    this.arena.u8.set(bytes, this.scratch);
    if (!this.sendRing.write(this.scratch, bytes.length)) throw new Error("ring is full");
  }

  /** Takes all in-order bytes out of the receive ring. */
  read(): Uint8Array {
    const ring = this.receiveRing;
    const { length } = ring;
    ring.copyOut(ring.head, this.scratch, length);
    if (length > 0) ring.consume(length);
    return this.arena.u8.slice(this.scratch, this.scratch + length);
  }

  text(): string {
    return new TextDecoder().decode(this.read());
  }
}

export function synOptions(o: {
  sack?: boolean;
  scale?: number;
  timestamps?: boolean;
  mss?: number;
}): number[] {
  const options: number[] = [];
  const mss = o.mss ?? 1460;
  options.push(2, 4, mss >> 8, mss & 255);
  if (o.sack) options.push(1, 1, 4, 2);
  if (o.scale !== undefined) options.push(1, 3, 3, o.scale);
  if (o.timestamps) options.push(1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0);
  return options;
}

export function describe(sent: Sent): string {
  const end = sent.seq + sent.data.length;
  return `${sent.flags} ${sent.seq}:${end} ack ${sent.ack}`;
}

/** `length` bytes that tell their position. */
export function pattern(length: number, from = 0): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = Math.imul(i + from, 0x9e3779b1) >>> 24;
  return bytes;
}

function bytes32(value: number): number[] {
  return [(value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
}
