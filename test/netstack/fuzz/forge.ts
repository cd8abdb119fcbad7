/**
 * Makes packets that are almost right: built with the structure of each protocol around the numbers of a live
 * connection, then bent in a few places, then given checksums that hold, so that they get past the first test
 * of every parser. Options, extension headers and fragments come in all of these.
 */
import type { Arena } from "../../../src/base/index.js";
import { finishSum, foldSum, sumBytes, writeIpv4, writeIpv6, writeTcp } from "../../../src/wire/index.js";
import type { Prng } from "../sim/prng.js";
import { PEER_PORT, STACK_PORT, type Target } from "./target.js";

const TCP = 6;
const UDP = 17;
const ICMP4 = 1;
const ICMP6 = 58;
const FIN = 0x01;
const SYN = 0x02;
const RST = 0x04;
const PSH = 0x08;
const ACK = 0x10;
/** What keeps a connection going is likelier than what ends it. */
const FLAGS: readonly number[] = [
  ...new Array<number>(12).fill(ACK),
  ...new Array<number>(12).fill(PSH | ACK),
  FIN | ACK,
  SYN | ACK,
  RST,
  SYN,
  0,
  FIN,
  SYN | FIN,
  FIN | RST,
  0xff,
];
const INTERESTING: readonly number[] = [
  0, 1, 4, 5, 6, 8, 15, 16, 0x3f, 0x40, 0x45, 0x60, 0x7f, 0x80, 0xfe, 0xff,
];
const MTUS: readonly number[] = [0, 47, 68, 576, 1279, 1280, 1400, 1500, 9000, 65_535];
const EXTENSIONS: readonly number[] = [0, 43, 44, 51, 60, 59, 135];

export class Forge {
  /** Of the packet that was made last; it lies at the ground's `in`. */
  length = 0;
  private readonly arena: Arena;
  private readonly view: DataView;
  private readonly at: number;
  private readonly copy: number;
  private readonly random: Prng;
  private readonly target: Target;
  /** Where the transport header of the packet in the making starts. */
  private transport = 0;

  constructor(target: Target, random: Prng) {
    this.target = target;
    this.arena = target.ground.arena;
    this.view = this.arena.view;
    this.at = target.ground.in;
    this.copy = target.ground.copy;
    this.random = random;
  }

  /** A packet of any kind, bent or not. */
  make(): void {
    const { random } = this;
    const kind = random.between(0, 99);
    if (kind < 78) this.makeSegment();
    else if (kind < 84) this.makeSyn();
    else if (kind < 90) this.makeDatagram();
    else if (kind < 95) this.makeIcmpError();
    else if (kind < 97) this.makeEcho();
    else this.makeNoise();
    if (random.chance(0.4)) this.bend();
    if (random.chance(0.85)) this.mend();
    if (random.chance(0.04)) this.length = random.between(0, this.length);
  }

  // ---- TCP ----

  private makeSegment(): void {
    const { random, target, view } = this;
    const c = target.connection;
    const flags = (FLAGS[random.between(0, FLAGS.length - 1)] as number) | (random.chance(0.05) ? 0x40 : 0);
    const payload = random.chance(0.5)
      ? 0
      : random.chance(0.9)
        ? random.between(1, 1448)
        : random.between(1, 20_000);
    const at = this.begin(TCP);
    const options = at + 20;
    let end = options;
    if (c?.rcv.timestamps ? random.chance(0.85) : random.chance(0.1)) {
      view.setUint32(end, 0x0101080a);
      view.setInt32(end + 4, this.near(c === null ? 0 : c.rcv.tsRecent, 50, 1_000_000));
      const clock = Math.floor(target.now) + (c === null ? 0 : c.template.timestampOffset);
      view.setInt32(end + 8, this.near(clock, 200, 100_000));
      end += 12;
    }
    if (random.chance(0.25)) end = this.writeSack(end);
    if (random.chance(0.05)) end = this.writeNoise(end, options + 40);
    const seq = this.near(c === null ? 0 : c.rcv.nxt, 3000, 70_000);
    const ack = random.chance(0.5) ? (c?.snd.nxt ?? 0) : this.near(c?.snd.una ?? 0, 3000, 70_000);
    const window = random.chance(0.1) ? 0 : random.between(0, 0xffff);
    const ports = random.chance(0.98)
      ? (PEER_PORT << 16) | (c?.localPort ?? STACK_PORT)
      : (random.between(PEER_PORT - 5, PEER_PORT + 20) << 16) | STACK_PORT;
    writeTcp(view, at, ports, seq, ack, end - at, flags, window);
    this.finish(end + payload);
  }

  private makeSyn(): void {
    const { random, view } = this;
    const at = this.begin(TCP);
    const end = this.writeSynOptions(at + 20);
    const ports = (random.between(PEER_PORT - 10, PEER_PORT + 30) << 16) | STACK_PORT;
    const flags = random.chance(0.9) ? SYN : SYN | 0xc0;
    writeTcp(view, at, ports, random.uint32() | 0, 0, end - at, flags, random.between(0, 0xffff));
    this.finish(end + (random.chance(0.1) ? random.between(0, 500) : 0));
  }

  /** The SYN or SYN-ACK that makes the connection under attack. */
  makeHandshake(flags: number, seq: number, ack: number, localPort: number): void {
    const { random, view } = this;
    const at = this.begin(TCP, true);
    const end = this.writeSynOptions(at + 20);
    writeTcp(
      view,
      at,
      (PEER_PORT << 16) | localPort,
      seq,
      ack,
      end - at,
      flags,
      random.between(1000, 0xffff),
    );
    this.finish(end);
    this.mend();
  }

  /** A segment of a good peer, with a timestamp where they are agreed. */
  makePlain(
    flags: number,
    seq: number,
    ack: number,
    localPort: number,
    remotePort: number,
    payload: number,
    window?: number,
  ): void {
    const { random, view, target } = this;
    const at = this.begin(TCP, true);
    const c = target.connection;
    let end = at + 20;
    if (c?.rcv.timestamps) {
      view.setUint32(end, 0x0101080a);
      view.setInt32(end + 4, c.rcv.tsRecent + 1);
      view.setInt32(end + 8, Math.floor(target.now) + c.template.timestampOffset);
      end += 12;
    }
    const field = window ?? random.between(1000, 0xffff);
    writeTcp(view, at, (remotePort << 16) | localPort, seq | 0, ack | 0, end - at, flags, field);
    this.finish(end + payload);
    this.mend();
  }

  private writeSynOptions(from: number): number {
    const { random, view } = this;
    let at = from;
    if (random.chance(0.9)) {
      view.setUint16(at, 0x0204);
      view.setUint16(at + 2, random.chance(0.8) ? 1460 : random.between(0, 0xffff));
      at += 4;
    }
    if (random.chance(0.7)) {
      view.setUint32(at, 0x01030300 | (random.chance(0.9) ? random.between(0, 14) : 255));
      at += 4;
    }
    if (random.chance(0.7)) {
      view.setUint32(at, 0x01010402);
      at += 4;
    }
    if (random.chance(0.5)) {
      view.setUint32(at, 0x0101080a);
      view.setUint32(at + 4, random.uint32());
      view.setUint32(at + 8, 0);
      at += 12;
    }
    return random.chance(0.05) ? this.writeNoise(at, from + 40) : at;
  }

  private writeSack(from: number): number {
    const { random, view, target } = this;
    const c = target.connection;
    const count = random.between(1, 3);
    view.setUint16(from, 0x0101);
    view.setUint8(from + 2, 5);
    view.setUint8(from + 3, random.chance(0.95) ? 2 + 8 * count : random.between(0, 40));
    for (let i = 0; i < count; i++) {
      const left = this.near(c?.snd.una ?? 0, 12_000, 100_000);
      view.setInt32(from + 4 + 8 * i, left);
      view.setInt32(from + 8 + 8 * i, left + random.between(-100, 6000));
    }
    return from + 4 + 8 * count;
  }

  /** Words of options that nobody knows, cut short or not. */
  private writeNoise(from: number, limit: number): number {
    const { random, view } = this;
    let at = from;
    while (at + 4 <= limit && random.chance(0.7)) {
      view.setUint32(at, random.chance(0.5) ? random.uint32() : random.between(0, 40) << 24);
      at += 4;
    }
    return at;
  }

  /** Mostly `number` itself or close to it, sometimes far, sometimes half of the circle away. */
  private near(number: number, close: number, far: number): number {
    const { random } = this;
    const where = random.between(0, 19);
    if (where < 8) return number;
    if (where < 15) return (number + random.between(-close >> 2, close)) | 0;
    if (where < 17) return (number + random.between(-1, 1)) | 0;
    if (where < 19) return (number + random.between(-far, far)) | 0;
    return random.chance(0.5) ? (number + 0x7fffffff + random.between(0, 2)) | 0 : random.uint32() | 0;
  }

  // ---- UDP and ICMP ----

  private makeDatagram(): void {
    const { random, view } = this;
    const at = this.begin(UDP);
    const payload = random.between(0, 600);
    view.setUint16(at, random.between(5000, 5030));
    view.setUint16(at + 2, 53);
    view.setUint16(at + 4, random.chance(0.95) ? 8 + payload : random.between(0, 0xffff));
    view.setUint16(at + 6, 0);
    this.finish(at + 8 + payload);
  }

  private makeEcho(): void {
    const { random, view, target } = this;
    const at = this.begin(target.setup.family === 4 ? ICMP4 : ICMP6);
    view.setUint16(at, target.setup.family === 4 ? 8 << 8 : 128 << 8);
    view.setUint32(at + 4, random.uint32());
    this.finish(at + 8 + random.between(0, 1600));
  }

  /** About a segment that the stack may have sent. */
  private makeIcmpError(): void {
    const { random, view, target } = this;
    const { family } = target.setup;
    const at = this.begin(family === 4 ? ICMP4 : ICMP6);
    const tooBig = random.chance(0.4);
    const types = family === 4 ? [3, 3, 3, 4, 5, 11, 12] : [1, 1, 2, 3, 4, 133, 137];
    const type = tooBig ? (family === 4 ? 3 : 2) : (types[random.between(0, 6)] as number);
    view.setUint8(at, type);
    view.setUint8(at + 1, tooBig ? (family === 4 ? 4 : 0) : random.between(0, 15));
    view.setUint32(at + 4, MTUS[random.between(0, MTUS.length - 1)] as number);
    const quote = at + 8;
    const protocol = random.chance(0.8) ? TCP : UDP;
    this.writeIp(quote, protocol, random.between(20, 1500), true);
    const inner = quote + (family === 4 ? 20 : 40);
    const c = target.connection;
    view.setUint16(inner, protocol === TCP ? (c?.localPort ?? STACK_PORT) : 53);
    view.setUint16(inner + 2, protocol === TCP ? PEER_PORT : random.between(5000, 5030));
    view.setInt32(inner + 4, this.near(c?.snd.una ?? 0, 3000, 100_000));
    this.finish(inner + random.between(0, 40));
  }

  private makeNoise(): void {
    const { random, view, at } = this;
    this.begin(random.between(0, 255));
    const end = at + random.between(0, 200);
    for (let i = this.transport; i < end; i += 4) view.setUint32(i, random.uint32());
    this.finish(Math.max(end, this.transport));
  }

  // ---- IP ----

  /** Room for the IP header, and what comes between it and the transport header. */
  private begin(protocol: number, plain = false): number {
    const { at, target, random, view } = this;
    this.writeIp(at, protocol, 0, false);
    // RFC 3168 §5: marked by a router, or able to be.
    if (!plain && random.chance(0.15)) {
      const ecn = random.between(0, 3);
      view.setUint8(at + 1, target.setup.family === 4 ? ecn : ecn << 4);
    }
    if (target.setup.family === 4) {
      const words = !plain && random.chance(0.03) ? random.between(1, 10) : 0;
      for (let i = 0; i < words; i++)
        view.setUint32(at + 20 + 4 * i, random.chance(0.5) ? 0x01010101 : random.uint32());
      view.setUint8(at, 0x45 + words);
      this.transport = at + 20 + 4 * words;
    } else {
      this.transport = at + 40;
      let field = at + 6;
      for (let left = !plain && random.chance(0.06) ? random.between(1, 4) : 0; left > 0; left--) {
        const kind = EXTENSIONS[random.between(0, EXTENSIONS.length - 1)] as number;
        const units = kind === 44 ? 0 : random.between(0, 2);
        view.setUint8(this.transport, view.getUint8(field));
        view.setUint8(this.transport + 1, units);
        view.setUint16(this.transport + 2, kind === 44 && random.chance(0.5) ? random.between(0, 40) : 0);
        view.setUint32(this.transport + 4, kind === 60 || kind === 0 ? 0x01020000 : random.between(0, 9));
        for (let i = 8; i < 8 + 8 * units; i += 4) view.setUint32(this.transport + i, 0);
        view.setUint8(field, kind);
        field = this.transport;
        this.transport += 8 + 8 * units;
      }
    }
    return this.transport;
  }

  /** @param back from the stack to the peer, as an error quotes it */
  private writeIp(at: number, protocol: number, bytes: number, back: boolean): void {
    const { view, target } = this;
    const from = back ? target.local : target.remote;
    const to = back ? target.remote : target.local;
    if (target.setup.family === 4) {
      writeIpv4(
        view,
        at,
        20 + bytes,
        this.random.between(0, 0xffff),
        0x4000,
        protocol,
        from.w3 | 0,
        to.w3 | 0,
      );
      return;
    }
    writeIpv6(view, at, bytes, protocol);
    view.setUint32(at + 8, from.w0);
    view.setUint32(at + 12, from.w1);
    view.setUint32(at + 16, from.w2);
    view.setUint32(at + 20, from.w3);
    view.setUint32(at + 24, to.w0);
    view.setUint32(at + 28, to.w1);
    view.setUint32(at + 32, to.w2);
    view.setUint32(at + 36, to.w3);
  }

  private finish(end: number): void {
    const { at, view, target } = this;
    this.length = end - at;
    if (target.setup.family === 4) view.setUint16(at + 2, this.length);
    else view.setUint16(at + 4, this.length - 40);
  }

  // ---- fragments ----

  /** The packet's pieces, in `pieces` calls of `emit`; some twice, some not at all, some over others. */
  fragment(emit: () => void): void {
    const { random, arena, view, at, copy, target } = this;
    const isV4 = target.setup.family === 4;
    const header = this.transport - at;
    const body = this.length - header;
    const plain = isV4 ? header === 20 : header === 40;
    if (!plain || body < 24) {
      emit();
      return;
    }
    arena.u8.copyWithin(copy, at, at + this.length);
    const id = random.between(1, 12);
    const protocol = view.getUint8(isV4 ? at + 9 : at + 6);
    const step = Math.max(8, (random.between(8, body) >> 3) << 3);
    for (let from = 0; from < body; from += step) {
      if (random.chance(0.07)) continue;
      const start = random.chance(0.95) ? from : Math.max(0, from - 8);
      const bytes = Math.min(step, body - start);
      const last = start + bytes >= body;
      const word = isV4 ? start >> 3 : start;
      const head = isV4 ? 20 : 48;
      arena.u8.copyWithin(at + head, copy + header + start, copy + header + start + bytes);
      if (isV4) {
        view.setUint16(at + 4, id);
        view.setUint16(at + 6, word | (last ? 0 : 0x2000));
        view.setUint16(at + 2, 20 + bytes);
        this.mendIpv4(20);
      } else {
        view.setUint8(at + 6, 44);
        view.setUint16(at + 4, 8 + bytes);
        view.setUint32(at + 40, protocol << 24);
        view.setUint16(at + 42, word | (last ? 0 : 1));
        view.setUint32(at + 44, id);
      }
      this.length = head + bytes;
      emit();
      if (random.chance(0.05)) emit();
    }
  }

  // ---- bending and mending ----

  private bend(): void {
    const { random, arena, at } = this;
    const reach = Math.min(this.length, 120) - 1;
    if (reach < 0) return;
    for (let n = random.between(1, 3); n > 0; n--) {
      const where = at + random.between(0, reach);
      const how = random.between(0, 2);
      const old = arena.u8[where] as number;
      if (how === 0) arena.u8[where] = old ^ (1 << random.between(0, 7));
      else if (how === 1) arena.u8[where] = INTERESTING[random.between(0, INTERESTING.length - 1)] as number;
      else arena.u8[where] = random.uint32();
    }
  }

  /** Checksums that hold for the packet as it is, as far as it can be read. */
  private mend(): void {
    const { view, at, length } = this;
    if (length < 20) return;
    const version = view.getUint8(at) >> 4;
    if (version === 4) {
      const header = (view.getUint8(at) & 15) * 4;
      if (header < 20 || header > length) return;
      this.mendTransport(view.getUint8(at + 9), header, Math.min(length, view.getUint16(at + 2)), 12, 8);
      this.mendIpv4(header);
    } else if (length >= 40) {
      let next = view.getUint8(at + 6);
      let header = 40;
      while (EXTENSIONS.includes(next) && header + 8 <= length) {
        next = view.getUint8(at + header);
        header += 8 + 8 * view.getUint8(at + header + 1);
      }
      this.mendTransport(next, header, Math.min(length, 40 + view.getUint16(at + 4)), 8, 32);
    }
  }

  private mendIpv4(header: number): void {
    const { view, at, arena } = this;
    view.setUint16(at + 10, 0);
    view.setUint16(at + 10, finishSum(sumBytes(arena, at, header)));
  }

  private mendTransport(protocol: number, header: number, end: number, from: number, bytes: number): void {
    const { view, at, arena } = this;
    const field =
      protocol === TCP ? 16 : protocol === UDP ? 6 : protocol === ICMP4 || protocol === ICMP6 ? 2 : -1;
    if (field === -1 || header + field + 2 > end) return;
    const pseudo =
      protocol === ICMP4 ? 0 : foldSum(sumBytes(arena, at + from, bytes) + protocol + end - header);
    view.setUint16(at + header + field, 0);
    view.setUint16(at + header + field, finishSum(pseudo + sumBytes(arena, at + header, end - header)));
  }
}
