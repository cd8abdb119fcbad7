/**
 * TCP headers and options (RFC 9293 §3.1–3.2): accessors over a DataView, and writers.
 *
 * Sequence numbers are read as *signed* 32-bit integers: those are what V8 keeps unboxed, and the arithmetic
 * modulo 2^32 (`netstack/tcp/seq.ts`) is the same.
 */
export const TCP_HEADER_BYTES = 20;
export const TCP_MAX_OPTION_BYTES = 40;

export const TCP_FIN = 0x01;
export const TCP_SYN = 0x02;
export const TCP_RST = 0x04;
export const TCP_PSH = 0x08;
export const TCP_ACK = 0x10;
export const TCP_URG = 0x20;
export const TCP_ECE = 0x40;
export const TCP_CWR = 0x80;

const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_MSS = 2;
const OPTION_WINDOW_SCALE = 3;
const OPTION_SACK_PERMITTED = 4;
const OPTION_SACK = 5;
const OPTION_TIMESTAMPS = 8;
const OPTION_ALTERNATE_CHECKSUM = 14;
const REDUNDANT_CHECKSUM_AVOIDANCE = 3;

/** NOP, NOP, kind 8, length 10: the first word of the layout that RFC 7323 Appendix A recommends. */
const TIMESTAMP_WORD = 0x0101080a;
export const TCP_TIMESTAMP_BYTES = 12;

export function tcpSourcePort(view: DataView, offset: number): number {
  return view.getUint16(offset);
}

export function tcpDestinationPort(view: DataView, offset: number): number {
  return view.getUint16(offset + 2);
}

export function tcpSequence(view: DataView, offset: number): number {
  return view.getInt32(offset + 4);
}

export function tcpAcknowledgment(view: DataView, offset: number): number {
  return view.getInt32(offset + 8);
}

/** Header length in bytes, options included. */
export function tcpHeaderBytes(view: DataView, offset: number): number {
  return (view.getUint8(offset + 12) >>> 4) << 2;
}

export function tcpFlags(view: DataView, offset: number): number {
  return view.getUint8(offset + 13);
}

/** As it stands: not scaled. */
export function tcpWindow(view: DataView, offset: number): number {
  return view.getUint16(offset + 14);
}

/** The fixed 20 bytes with a zero checksum and urgent pointer. */
export function writeTcp(
  view: DataView,
  offset: number,
  ports: number,
  sequence: number,
  acknowledgment: number,
  headerBytes: number,
  flags: number,
  window: number,
): void {
  view.setInt32(offset, ports);
  view.setInt32(offset + 4, sequence);
  view.setInt32(offset + 8, acknowledgment);
  view.setInt32(offset + 12, (headerBytes << 26) | (flags << 16) | window);
  view.setInt32(offset + 16, 0);
}

/** What one segment's options said. One instance is filled again for every segment. */
export class TcpOptions {
  /** 0 when absent. */
  mss = 0;
  /** -1 when absent. */
  windowScale = -1;
  sackPermitted = false;
  /** RFC 1146, checksum number 3: the sender can do without checksums. */
  checksumRedundant = false;
  hasTimestamps = false;
  tsValue = 0;
  tsEcho = 0;
  /** Pairs (left, right) of signed sequence numbers; RFC 2018 allows four. */
  readonly sack: Int32Array = new Int32Array(8);
  sackCount = 0;

  /**
   * Reads the options between the fixed header at `offset` and `headerBytes`. A malformed option ends the
   * reading, what was read before it stands (RFC 9293 §3.2 asks for robustness, MUST-7).
   */
  parse(view: DataView, offset: number, headerBytes: number): void {
    this.mss = 0;
    this.windowScale = -1;
    this.sackPermitted = false;
    this.checksumRedundant = false;
    this.hasTimestamps = false;
    this.sackCount = 0;
    let at = offset + TCP_HEADER_BYTES;
    const end = offset + headerBytes;
    if (headerBytes === TCP_HEADER_BYTES + TCP_TIMESTAMP_BYTES && view.getInt32(at) === TIMESTAMP_WORD) {
      this.setTimestamps(view, at + 4);
      return;
    }
    while (at < end) {
      const kind = view.getUint8(at);
      if (kind === OPTION_END) return;
      if (kind === OPTION_NOP) {
        at++;
        continue;
      }
      const length = at + 1 < end ? view.getUint8(at + 1) : 0;
      if (length < 2 || at + length > end) return;
      this.parseOption(view, at, kind, length);
      at += length;
    }
  }

  private parseOption(view: DataView, at: number, kind: number, length: number): void {
    switch (kind) {
      case OPTION_MSS:
        if (length === 4) this.mss = view.getUint16(at + 2);
        break;
      case OPTION_WINDOW_SCALE:
        // RFC 7323 §2.3: a shift above 14 counts as 14.
        if (length === 3) this.windowScale = Math.min(view.getUint8(at + 2), 14);
        break;
      case OPTION_SACK_PERMITTED:
        if (length === 2) this.sackPermitted = true;
        break;
      case OPTION_ALTERNATE_CHECKSUM:
        if (length === 3) this.checksumRedundant = view.getUint8(at + 2) === REDUNDANT_CHECKSUM_AVOIDANCE;
        break;
      case OPTION_SACK:
        this.parseSack(view, at, length);
        break;
      case OPTION_TIMESTAMPS:
        if (length === 10) this.setTimestamps(view, at + 2);
        break;
    }
  }

  private setTimestamps(view: DataView, at: number): void {
    this.hasTimestamps = true;
    this.tsValue = view.getInt32(at);
    this.tsEcho = view.getInt32(at + 4);
  }

  private parseSack(view: DataView, at: number, length: number): void {
    if ((length - 2) % 8 !== 0) return;
    const count = Math.min((length - 2) >> 3, 4);
    for (let i = 0; i < count << 1; i++) this.sack[i] = view.getInt32(at + 2 + (i << 2));
    this.sackCount = count;
  }
}

// ---- option writers: each returns the bytes written, always a multiple of 4 ----

export function writeTimestamps(view: DataView, at: number, value: number, echo: number): number {
  view.setInt32(at, TIMESTAMP_WORD);
  view.setInt32(at + 4, value);
  view.setInt32(at + 8, echo);
  return TCP_TIMESTAMP_BYTES;
}

export function writeMss(view: DataView, at: number, mss: number): number {
  view.setInt32(at, (OPTION_MSS << 24) | (4 << 16) | mss);
  return 4;
}

export function writeWindowScale(view: DataView, at: number, shift: number): number {
  view.setInt32(at, (OPTION_NOP << 24) | (OPTION_WINDOW_SCALE << 16) | (3 << 8) | shift);
  return 4;
}

export function writeSackPermitted(view: DataView, at: number): number {
  view.setInt32(at, (OPTION_NOP << 24) | (OPTION_NOP << 16) | (OPTION_SACK_PERMITTED << 8) | 2);
  return 4;
}

/** RFC 1146: in a SYN alone. */
export function writeChecksumRedundant(view: DataView, at: number): number {
  const option = (OPTION_ALTERNATE_CHECKSUM << 16) | (3 << 8) | REDUNDANT_CHECKSUM_AVOIDANCE;
  view.setInt32(at, (OPTION_NOP << 24) | option);
  return 4;
}

/** `blocks` holds `count` pairs. */
export function writeSack(view: DataView, at: number, blocks: Int32Array, count: number): number {
  view.setInt32(at, (OPTION_NOP << 24) | (OPTION_NOP << 16) | (OPTION_SACK << 8) | (2 + (count << 3)));
  for (let i = 0; i < count << 1; i++) view.setInt32(at + 4 + (i << 2), blocks[i] as number);
  return 4 + (count << 3);
}
