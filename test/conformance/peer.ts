/**
 * The raw peer of one scenario: sends any segment, and tells what came back in the words that the scenarios'
 * expectations are written in. Sequence numbers are relative: ours to our SYN, the target's to its SYN.
 *
 * Whether the target stays silent is not a question of time: after the segment in question the peer sends two
 * pings, one after the other's reply. What answers the segment at once has then been sent. Only delayed ACKs
 * take time; for these the peer waits a little and asks again.
 */
import {
  buildIcmp,
  buildIp,
  buildTcp,
  buildUdp,
  findOption,
  ICMP4,
  ICMP6,
  type IpFields,
  mss,
  type Received,
  sackPermitted,
  scale,
  TCP,
  type TcpFields,
  timestamps,
  UDP,
} from "./packet.js";
import type { Tap } from "./tap.js";

/** For what must come: long, so that a busy machine does not fail a scenario. */
const PATIENCE_MS = 8_000;
/** Longer than any delayed ACK (Linux and ours: 40 ms). */
const DELAYED_ACK_MS = 80;

export interface Send {
  flags?: string;
  /** Relative; by default the next of the stream. */
  seq?: number;
  ack?: number;
  window?: number;
  data?: string | Buffer;
  options?: Buffer;
  /** Last changes to the finished segment or IP packet. */
  breakTcp?: (segment: Buffer) => void;
  breakIp?: (packet: Buffer) => void;
  ip?: Partial<IpFields>;
}

export interface OpenOptions {
  mss?: number | null;
  scale?: number | null;
  sack?: boolean;
  timestamps?: boolean;
  window?: number;
  /** More options of the SYN. */
  extra?: Buffer;
}

/** A segment of the target, sequence numbers relative. */
export interface Seen {
  fields: TcpFields;
  seq: number;
  ack: number;
  flags: string;
  length: number;
  window: number;
  payload: string;
  /** ECN codepoint of its IP header. */
  ecn: number;
  checksumOk: boolean;
}

export class Peer {
  readonly v6: boolean;
  readonly address: Buffer;
  readonly target: Buffer;
  port = 40_000;
  serverPort = 0;
  /** Absolute initial sequence numbers. */
  iss = 1_000_000;
  irs = 0;
  /** Relative: what we send next, what we expect next. */
  next = 1;
  got = 1;
  window = 65_535;
  useTimestamps = false;
  tsValue = 10_000;
  /** The target's shift and last TSval. */
  targetScale = 0;
  tsEcho = 0;
  /** Every segment that came, in order, and those that nobody has looked at yet. */
  readonly all: Seen[] = [];
  inbox: Seen[] = [];
  /** ICMP errors and UDP, likewise. */
  others: Received[] = [];
  private pongs = 0;
  private pings = 0;
  private readonly tap: Tap;
  private wake: () => void = () => {};

  constructor(tap: Tap, address: Buffer, target: Buffer) {
    this.tap = tap;
    this.address = address;
    this.target = target;
    this.v6 = address.length === 16;
    tap.listen(address, packet => this.take(packet));
  }

  // ---- out ----

  private ip(protocol: number, more: Partial<IpFields> = {}): IpFields {
    return { source: this.address, destination: this.target, protocol, ...more };
  }

  sendRaw(packet: Buffer): void {
    this.tap.wire.send(packet);
  }

  /** One segment; the stream's place does not move. */
  send(what: Send = {}): void {
    const ip = this.ip(TCP, what.ip);
    this.sendIp(ip, this.segment(what), what.breakIp);
  }

  segment(what: Send): Buffer {
    const flags = what.flags ?? "A";
    const own =
      what.options ?? (this.useTimestamps ? timestamps(this.tsValue, this.tsEcho) : Buffer.alloc(0));
    const segment = buildTcp(this.ip(TCP, what.ip), {
      sourcePort: this.port,
      destinationPort: this.serverPort,
      seq: this.iss + (what.seq ?? this.next),
      ack: flags.includes("A") ? this.irs + (what.ack ?? this.got) : 0,
      flags,
      window: what.window ?? this.window,
      options: own,
      payload: Buffer.from(what.data ?? ""),
    });
    what.breakTcp?.(segment);
    return segment;
  }

  sendIp(ip: IpFields, body: Buffer, breakIp?: (packet: Buffer) => void): void {
    const packet = buildIp(ip, body);
    breakIp?.(packet);
    this.sendRaw(packet);
  }

  /** The pieces of a packet, each `bytes` long but the last, in the given order. */
  sendFragments(
    protocol: number,
    body: Buffer,
    pieces: readonly [from: number, to: number][],
    id: number = 77,
  ): void {
    for (const [from, to] of pieces) {
      const fragment = { offset: from, more: to < body.length };
      this.sendIp(this.ip(protocol, { id, fragment }), body.subarray(from, to));
    }
  }

  /** In-order bytes; the stream moves on. */
  write(data: string | Buffer, flags = "PA"): void {
    this.send({ flags, data });
    this.next += Buffer.from(data).length + (flags.includes("F") ? 1 : 0);
  }

  fin(): void {
    this.write("", "FA");
  }

  udp(destinationPort: number, payload: string | Buffer, breakIt?: (datagram: Buffer) => void): void {
    const ip = this.ip(UDP);
    const datagram = buildUdp(ip, this.port, destinationPort, Buffer.from(payload));
    breakIt?.(datagram);
    this.sendIp(ip, datagram);
  }

  icmp(type: number, code: number, rest: number, payload: Buffer, breakIt?: (message: Buffer) => void): void {
    const ip = this.ip(this.v6 ? ICMP6 : ICMP4);
    const message = buildIcmp(ip, type, code, rest, payload);
    breakIt?.(message);
    this.sendIp(ip, message);
  }

  // ---- in ----

  private take(packet: Received): void {
    const isPong = packet.body[0] === (this.v6 ? 129 : 0) && packet.body.readUInt16BE(4) === 0xfe0c;
    if (packet.tcp !== null) {
      const seen = this.relative(packet);
      this.all.push(seen);
      this.inbox.push(seen);
    } else if (packet.protocol === (this.v6 ? ICMP6 : ICMP4) && isPong) this.pongs++;
    else if (!(this.v6 && packet.body[0]! >= 133 && packet.body[0]! <= 137)) this.others.push(packet);
    this.wake();
  }

  private relative(packet: Received): Seen {
    const fields = packet.tcp as TcpFields;
    if (fields.flags.includes("S") && fields.destinationPort === this.port) this.takeSyn(fields);
    const stamp = findOption(fields.options, 8);
    if (stamp !== null) this.tsEcho = stamp.readUInt32BE(0);
    return {
      fields,
      seq: (fields.seq - this.irs) | 0,
      ack: fields.flags.includes("A") ? (fields.ack - this.iss) | 0 : 0,
      flags: fields.flags.replace("P", ""),
      length: fields.payload.length,
      window: fields.window << (fields.flags.includes("S") ? 0 : this.targetScale),
      payload: fields.payload.toString("latin1"),
      ecn: packet.ecn,
      checksumOk: packet.checksumOk,
    };
  }

  private takeSyn(syn: TcpFields): void {
    this.irs = syn.seq;
    this.targetScale = findOption(syn.options, 3)?.[0] ?? 0;
  }

  /** Until `test` gives something; null when the time is over. */
  async until<T>(test: () => T | undefined, ms: number): Promise<T | null> {
    const deadline = performance.now() + ms;
    for (;;) {
      const found = test();
      if (found !== undefined) return found;
      const left = deadline - performance.now();
      if (left <= 0) return null;
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, left);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  async sleep(ms: number): Promise<void> {
    await new Promise(resolve => setTimeout(resolve, ms));
  }

  /** The next segment for which `test` holds, those before it passed over. Throws when none comes. */
  async expect(
    what: string,
    test: (seen: Seen) => boolean = () => true,
    ms: number = PATIENCE_MS,
  ): Promise<Seen> {
    const found = await this.until(() => {
      const index = this.inbox.findIndex(test);
      if (index === -1) return undefined;
      return this.inbox.splice(0, index + 1)[index];
    }, ms);
    if (found === null) throw new Error(`no ${what}; seen: ${this.all.map(tell).join(", ") || "nothing"}`);
    return found;
  }

  /** The target has dealt with everything that was sent to it so far. */
  async fence(): Promise<void> {
    for (let i = 0; i < 2; i++) {
      const wanted = ++this.pings;
      this.icmp(this.v6 ? 128 : 8, 0, (0xfe0c << 16) | wanted, Buffer.from("fence"));
      if ((await this.until(() => (this.pongs >= wanted ? true : undefined), PATIENCE_MS)) === null) {
        throw new Error("the target answers no ping");
      }
    }
  }

  /** What answers the last segment: the first that came, or "silence". */
  async reply(): Promise<string> {
    await this.fence();
    const fresh = (): Seen | undefined => this.inbox.find(seen => !this.isRepeated(seen));
    if (fresh() === undefined) {
      await this.sleep(DELAYED_ACK_MS);
      await this.fence();
    }
    const first = fresh();
    this.inbox = [];
    return first === undefined ? "silence" : tell(first);
  }

  /** What is unacknowledged comes again on a busy machine, whatever the scenario is about. */
  private isRepeated(seen: Seen): boolean {
    if (seen.length === 0 && !/[SF]/.test(seen.flags)) return false;
    const key = (one: Seen): string => `${one.fields.seq} ${one.flags} ${one.length} ${one.ack}`;
    return this.all.find(one => key(one) === key(seen)) !== seen;
  }

  /** Everything that has come and comes at once, in order. */
  async replies(): Promise<string> {
    await this.fence();
    await this.sleep(DELAYED_ACK_MS);
    await this.fence();
    return this.inbox.splice(0).map(tell).join("; ") || "silence";
  }

  forget(): void {
    this.inbox = [];
    this.others = [];
  }

  // ---- whole exchanges ----

  syn(port: number, options: OpenOptions = {}): void {
    this.serverPort = port;
    this.next = 1;
    this.useTimestamps = options.timestamps === true;
    this.window = options.window ?? 65_535;
    const parts: Buffer[] = [];
    if (options.mss !== null) parts.push(mss(options.mss ?? 1460));
    if (options.sack === true) parts.push(sackPermitted());
    if (options.timestamps === true) parts.push(timestamps(this.tsValue, 0));
    if (typeof options.scale === "number") parts.push(scale(options.scale));
    if (options.extra !== undefined) parts.push(options.extra);
    this.send({ flags: "S", seq: 0, options: Buffer.concat(parts) });
  }

  /** The three-way handshake; the segment that the target answered with. */
  async open(port: number, options: OpenOptions = {}): Promise<Seen> {
    this.syn(port, options);
    const answer = await this.expect("SYN-ACK", seen => seen.flags === "SA");
    if (typeof options.scale !== "number") this.targetScale = 0;
    this.got = 1;
    this.send();
    await this.fence();
    return answer;
  }

  /** Takes `bytes` in-order bytes, acknowledging each segment unless told otherwise. */
  async receive(bytes: number, acknowledge = true): Promise<void> {
    const end = this.got + bytes;
    while (this.got < end) {
      const seen = await this.expect(`data from ${this.got}`, one => one.length > 0 && one.seq === this.got);
      this.got += seen.length + (seen.flags.includes("F") ? 1 : 0);
      if (acknowledge) this.send();
    }
  }

  /** The target's SYN to our port, for what it opens itself; `port` becomes ours. */
  async dialled(via: number, dialPort: number): Promise<Seen> {
    await this.open(via);
    const isOurs = (seen: Seen): boolean =>
      /^S[EC]*$/.test(seen.flags) && seen.fields.destinationPort === dialPort;
    // It may have come before the answer to our own SYN.
    const syn = await this.until(() => this.all.find(isOurs), PATIENCE_MS);
    if (syn === null) throw new Error("the target opens no connection");
    this.inbox = [];
    this.takeSyn(syn.fields);
    this.port = dialPort;
    this.serverPort = syn.fields.sourcePort;
    this.iss = 5_000_000;
    this.got = 1;
    this.next = 0;
    return syn;
  }
}

/** "SA 0 ack 1", "A 1+5 ack 1", "R 1": flags (without PSH), sequence number, payload, acknowledgment. */
export function tell(seen: Seen): string {
  const length = seen.length > 0 ? `+${seen.length}` : "";
  const ack = seen.flags.includes("A") ? ` ack ${seen.ack}` : "";
  return `${seen.flags} ${seen.seq}${length}${ack}${seen.checksumOk ? "" : " BAD CHECKSUM"}`;
}
