/**
 * Packets by hand, from the RFCs' figures and without any code of `src/`: what checks the stack must not share
 * its mistakes. Slow and plain; sequence numbers are unsigned here.
 */
export const TCP = 6;
export const UDP = 17;
export const ICMP4 = 1;
export const ICMP6 = 58;
const FLAG_LETTERS = "FSRPAUEC";

export interface TcpFields {
  sourcePort: number;
  destinationPort: number;
  seq: number;
  ack: number;
  /** Letters of FIN, SYN, RST, PSH, ACK, URG, ECE, CWR. */
  flags: string;
  window: number;
  options: Buffer;
  payload: Buffer;
}

export interface IpFields {
  source: Buffer;
  destination: Buffer;
  protocol: number;
  ttl?: number;
  /** ECN codepoint (RFC 3168 §5). */
  ecn?: number;
  id?: number;
  /** Of a fragment: in bytes, and whether more follow. */
  fragment?: { offset: number; more: boolean };
  ipOptions?: Buffer;
}

export interface Received {
  source: Buffer;
  destination: Buffer;
  protocol: number;
  ttl: number;
  ecn: number;
  /** What follows the IP header. */
  body: Buffer;
  tcp: TcpFields | null;
  /** Every checksum that the packet carries is right, or is left to the kernel (virtio-net). */
  checksumOk: boolean;
}

export function onesSum(bytes: Buffer, initial = 0): number {
  let sum = initial;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

function pseudoHeader(ip: IpFields, length: number): Buffer {
  const tail = Buffer.alloc(8);
  tail.writeUInt32BE(length, 0);
  tail.writeUInt32BE(ip.protocol, 4);
  return Buffer.concat([ip.source, ip.destination, tail]);
}

/** Fills in the checksum at `at` of a transport packet; `pseudo` as TCP, UDP and ICMPv6 have it. */
export function withChecksum(ip: IpFields, body: Buffer, at: number, pseudo = true): Buffer {
  body.writeUInt16BE(0, at);
  const initial = pseudo ? onesSum(pseudoHeader(ip, body.length)) : 0;
  body.writeUInt16BE(~onesSum(body, initial) & 0xffff, at);
  return body;
}

export function flagBits(letters: string): number {
  return [...letters].reduce((bits, letter) => bits | (1 << FLAG_LETTERS.indexOf(letter)), 0);
}

export function buildTcp(ip: IpFields, tcp: TcpFields): Buffer {
  const options = Buffer.concat([tcp.options, Buffer.alloc(-tcp.options.length & 3)]);
  const header = Buffer.alloc(20);
  header.writeUInt16BE(tcp.sourcePort, 0);
  header.writeUInt16BE(tcp.destinationPort, 2);
  header.writeUInt32BE(tcp.seq >>> 0, 4);
  header.writeUInt32BE(tcp.ack >>> 0, 8);
  header[12] = ((20 + options.length) >> 2) << 4;
  header[13] = flagBits(tcp.flags);
  header.writeUInt16BE(tcp.window, 14);
  return withChecksum(ip, Buffer.concat([header, options, tcp.payload]), 16);
}

export function buildUdp(ip: IpFields, sourcePort: number, destinationPort: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt16BE(sourcePort, 0);
  header.writeUInt16BE(destinationPort, 2);
  header.writeUInt16BE(8 + payload.length, 4);
  return withChecksum(ip, Buffer.concat([header, payload]), 6);
}

/** @param rest the header's second word */
export function buildIcmp(ip: IpFields, type: number, code: number, rest: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(8);
  header[0] = type;
  header[1] = code;
  header.writeUInt32BE(rest >>> 0, 4);
  return withChecksum(ip, Buffer.concat([header, payload]), 2, ip.protocol === ICMP6);
}

export function buildIp(ip: IpFields, body: Buffer): Buffer {
  return ip.source.length === 4 ? buildIpv4(ip, body) : buildIpv6(ip, body);
}

function buildIpv4(ip: IpFields, body: Buffer): Buffer {
  const options = ip.ipOptions ?? Buffer.alloc(0);
  const header = Buffer.concat([Buffer.alloc(20), options]);
  header[0] = 0x40 | (header.length >> 2);
  header[1] = ip.ecn ?? 0;
  header.writeUInt16BE(header.length + body.length, 2);
  header.writeUInt16BE(ip.id ?? 0, 4);
  const { fragment } = ip;
  header.writeUInt16BE(
    fragment === undefined ? 0x4000 : (fragment.more ? 0x2000 : 0) | (fragment.offset >> 3),
    6,
  );
  header[8] = ip.ttl ?? 64;
  header[9] = ip.protocol;
  ip.source.copy(header, 12);
  ip.destination.copy(header, 16);
  header.writeUInt16BE(~onesSum(header) & 0xffff, 10);
  return Buffer.concat([header, body]);
}

function buildIpv6(ip: IpFields, body: Buffer): Buffer {
  const { fragment } = ip;
  const extension = Buffer.alloc(fragment === undefined ? 0 : 8);
  if (fragment !== undefined) {
    extension[0] = ip.protocol;
    extension.writeUInt16BE(fragment.offset | (fragment.more ? 1 : 0), 2);
    extension.writeUInt32BE(ip.id ?? 0, 4);
  }
  const header = Buffer.alloc(40);
  header[0] = 0x60;
  header[1] = (ip.ecn ?? 0) << 4;
  header.writeUInt16BE(extension.length + body.length, 4);
  header[6] = fragment === undefined ? ip.protocol : 44;
  header[7] = ip.ttl ?? 64;
  ip.source.copy(header, 8);
  ip.destination.copy(header, 24);
  return Buffer.concat([header, extension, body]);
}

/** A whole packet from the target, or null for what is none that we understand. */
export function parse(packet: Buffer, checksumTrusted: boolean): Received | null {
  const isV4 = packet[0]! >> 4 === 4;
  const headerBytes = isV4 ? (packet[0]! & 15) * 4 : 40;
  if (packet.length < headerBytes) return null;
  const [from, size] = isV4 ? [12, 4] : [8, 16];
  const source = packet.subarray(from, from + size);
  const destination = packet.subarray(from + size, from + 2 * size);
  const protocol = packet[isV4 ? 9 : 6]!;
  const body = packet.subarray(headerBytes);
  const isFragment = isV4 && (packet.readUInt16BE(6) & 0x3fff) !== 0;
  const initial =
    protocol === ICMP4 ? 0 : onesSum(pseudoHeader({ source, destination, protocol }, body.length));
  const headerOk = !isV4 || onesSum(packet.subarray(0, headerBytes)) === 0xffff;
  const bodyOk = checksumTrusted || isFragment || onesSum(body, initial) === 0xffff;
  return {
    source,
    destination,
    protocol,
    ttl: packet[isV4 ? 8 : 7]!,
    ecn: (isV4 ? packet[1]! : packet[1]! >> 4) & 3,
    body,
    tcp: protocol === TCP && !isFragment ? parseTcp(body) : null,
    checksumOk: headerOk && bodyOk,
  };
}

function parseTcp(body: Buffer): TcpFields {
  const headerBytes = (body[12]! >> 4) * 4;
  return {
    sourcePort: body.readUInt16BE(0),
    destinationPort: body.readUInt16BE(2),
    seq: body.readUInt32BE(4),
    ack: body.readUInt32BE(8),
    flags: [...FLAG_LETTERS].filter((_, bit) => (body[13]! >> bit) & 1).join(""),
    window: body.readUInt16BE(14),
    options: body.subarray(20, headerBytes),
    payload: body.subarray(headerBytes),
  };
}

// ---- TCP options ----

export const mss = (value: number): Buffer => Buffer.from([2, 4, value >> 8, value & 0xff]);
export const scale = (shift: number): Buffer => Buffer.from([1, 3, 3, shift]);
export const sackPermitted = (): Buffer => Buffer.from([1, 1, 4, 2]);

export function timestamps(value: number, echo: number): Buffer {
  const option = Buffer.from([1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0]);
  option.writeUInt32BE(value >>> 0, 4);
  option.writeUInt32BE(echo >>> 0, 8);
  return option;
}

export function sack(...edges: number[]): Buffer {
  const option = Buffer.alloc(4 + 4 * edges.length, 1);
  option[2] = 5;
  option[3] = 2 + 4 * edges.length;
  for (const [i, edge] of edges.entries()) option.writeUInt32BE(edge >>> 0, 4 + 4 * i);
  return option;
}

/** Content of the first option of this kind, or null. */
export function findOption(options: Buffer, kind: number): Buffer | null {
  for (let at = 0; at < options.length && options[at] !== 0; ) {
    if (options[at] === 1) {
      at++;
      continue;
    }
    const length = options[at + 1] ?? 0;
    if (length < 2) return null;
    if (options[at] === kind) return options.subarray(at + 2, at + length);
    at += length;
  }
  return null;
}
