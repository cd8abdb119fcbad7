/**
 * IP addresses and prefixes of both families as small immutable values.
 *
 * An address is four 32-bit words; IPv4 is held in its IPv4-mapped form (::ffff:a.b.c.d), so one set of
 * comparisons serves both. Text follows RFC 4291 §2.2 on the way in and RFC 5952 on the way out.
 */
export type AddressFamily = 4 | 6;

const V4_MAPPED = 0xffff;

export class Address {
  readonly family: AddressFamily;
  /** Most significant word first, each an unsigned 32-bit integer. IPv4: 0, 0, 0xffff, the address. */
  readonly w0: number;
  readonly w1: number;
  readonly w2: number;
  readonly w3: number;

  constructor(family: AddressFamily, w0: number, w1: number, w2: number, w3: number) {
    this.family = family;
    this.w0 = w0 >>> 0;
    this.w1 = w1 >>> 0;
    this.w2 = w2 >>> 0;
    this.w3 = w3 >>> 0;
  }

  /** @param value the address as an unsigned 32-bit integer */
  static v4(value: number): Address {
    return new Address(4, 0, 0, V4_MAPPED, value);
  }

  /** The address, or null when `text` is not one. */
  static parse(text: string): Address | null {
    return text.includes(":") ? parseV6(text) : parseV4(text);
  }

  /** As `parse`; throws RangeError. For constants and for text that was checked before. */
  static from(text: string): Address {
    const address = Address.parse(text);
    if (address === null) throw new RangeError(`not an IP address: ${text}`);
    return address;
  }

  /** Reads 4 or 16 bytes in network order. */
  static read(bytes: Uint8Array, offset: number, family: AddressFamily): Address {
    if (family === 4) return Address.v4(readU32(bytes, offset));
    return new Address(
      6,
      readU32(bytes, offset),
      readU32(bytes, offset + 4),
      readU32(bytes, offset + 8),
      readU32(bytes, offset + 12),
    );
  }

  /** Writes 4 or 16 bytes in network order; returns how many. */
  write(bytes: Uint8Array, offset: number): number {
    if (this.family === 4) {
      writeU32(bytes, offset, this.w3);
      return 4;
    }
    writeU32(bytes, offset, this.w0);
    writeU32(bytes, offset + 4, this.w1);
    writeU32(bytes, offset + 8, this.w2);
    writeU32(bytes, offset + 12, this.w3);
    return 16;
  }

  /** Bits of an address of this family: 32 or 128. */
  get bits(): number {
    return this.family === 4 ? 32 : 128;
  }

  /** The same for equal addresses, as a key of a Map; of IPv4 a number: to write text for each lookup would cost more than it. */
  get key(): number | string {
    return this.family === 4 ? this.w3 : this.toString();
  }

  equals(other: Address): boolean {
    return (
      this.family === other.family &&
      this.w3 === other.w3 &&
      this.w2 === other.w2 &&
      this.w1 === other.w1 &&
      this.w0 === other.w0
    );
  }

  /** The address `count` further on, wrapping within its last 32 bits. */
  plus(count: number): Address {
    return new Address(this.family, this.w0, this.w1, this.w2, this.w3 + count);
  }

  get isUnspecified(): boolean {
    return this.w3 === 0 && this.w1 === 0 && this.w0 === 0 && (this.family === 4 || this.w2 === 0);
  }

  get isLoopback(): boolean {
    return this.family === 4
      ? this.w3 >>> 24 === 127
      : this.w0 === 0 && this.w1 === 0 && this.w2 === 0 && this.w3 === 1;
  }

  get isMulticast(): boolean {
    return this.family === 4 ? this.w3 >>> 28 === 14 : this.w0 >>> 24 === 0xff;
  }

  toString(): string {
    return this.family === 4 ? formatV4(this.w3) : formatV6([this.w0, this.w1, this.w2, this.w3]);
  }

  toJSON(): string {
    return this.toString();
  }
}

/** A network: an address whose bits past `bits` are zero. */
export class Prefix {
  readonly address: Address;
  readonly bits: number;

  constructor(address: Address, bits: number) {
    if (!Number.isInteger(bits) || bits < 0 || bits > address.bits) {
      throw new RangeError(`prefix length ${bits} does not fit ${address}`);
    }
    this.address = mask(address, bits);
    this.bits = bits;
  }

  /** `ADDRESS/BITS`, or `ADDRESS` for a single host; null when `text` is neither. */
  static parse(text: string): Prefix | null {
    const slash = text.indexOf("/");
    const address = Address.parse(slash === -1 ? text : text.slice(0, slash));
    if (address === null) return null;
    if (slash === -1) return new Prefix(address, address.bits);
    const length = text.slice(slash + 1);
    if (!/^(0|[1-9]\d{0,2})$/.test(length) || Number(length) > address.bits) return null;
    return new Prefix(address, Number(length));
  }

  static from(text: string): Prefix {
    const prefix = Prefix.parse(text);
    if (prefix === null) throw new RangeError(`not an IP prefix: ${text}`);
    return prefix;
  }

  static host(address: Address): Prefix {
    return new Prefix(address, address.bits);
  }

  contains(address: Address): boolean {
    return address.family === this.address.family && mask(address, this.bits).equals(this.address);
  }

  overlaps(other: Prefix): boolean {
    return this.bits <= other.bits ? this.contains(other.address) : other.contains(this.address);
  }

  equals(other: Prefix): boolean {
    return this.bits === other.bits && this.address.equals(other.address);
  }

  toString(): string {
    return `${this.address}/${this.bits}`;
  }

  toJSON(): string {
    return this.toString();
  }
}

/** The address with all bits past the first `bits` cleared. */
function mask(address: Address, bits: number): Address {
  const kept = address.family === 4 ? bits + 96 : bits;
  return new Address(
    address.family,
    address.w0 & maskWord(kept),
    address.w1 & maskWord(kept - 32),
    address.w2 & maskWord(kept - 64),
    address.w3 & maskWord(kept - 96),
  );
}

function maskWord(bits: number): number {
  return bits <= 0 ? 0 : bits >= 32 ? -1 : -1 << (32 - bits);
}

function readU32(bytes: Uint8Array, offset: number): number {
  return (
    (((bytes[offset] as number) << 24) |
      ((bytes[offset + 1] as number) << 16) |
      ((bytes[offset + 2] as number) << 8) |
      (bytes[offset + 3] as number)) >>>
    0
  );
}

function writeU32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 24;
  bytes[offset + 1] = value >>> 16;
  bytes[offset + 2] = value >>> 8;
  bytes[offset + 3] = value;
}

function parseV4(text: string): Address | null {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return null;
  let value = 0;
  for (const part of match.slice(1)) {
    if (Number(part) > 255 || (part.length > 1 && part.startsWith("0"))) return null;
    value = value * 256 + Number(part);
  }
  return Address.v4(value);
}

function parseV6(text: string): Address | null {
  let source = text;
  const dot = source.lastIndexOf(":");
  if (source.includes(".")) {
    const v4 = parseV4(source.slice(dot + 1));
    if (v4 === null) return null;
    source = `${source.slice(0, dot + 1)}${(v4.w3 >>> 16).toString(16)}:${(v4.w3 & 0xffff).toString(16)}`;
  }
  const halves = source.split("::");
  if (halves.length > 2) return null;
  const groups = halves.map(half => (half === "" ? [] : half.split(":")));
  const left = groups[0] as string[];
  const right = groups[1] ?? [];
  const given = left.length + right.length;
  if (halves.length === 2 ? given > 7 : given !== 8) return null;
  const all = [...left, ...new Array<string>(8 - given).fill("0"), ...right];
  if (!all.every(group => /^[0-9a-fA-F]{1,4}$/.test(group))) return null;
  const n = all.map(group => Number.parseInt(group, 16));
  const word = (i: number) => (n[i] as number) * 65536 + (n[i + 1] as number);
  return new Address(6, word(0), word(2), word(4), word(6));
}

function formatV4(value: number): string {
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
}

/** RFC 5952 §4: lower case, no leading zeros, the longest run of two or more zero groups shortened. */
function formatV6(words: readonly number[]): string {
  if (words[0] === 0 && words[1] === 0 && words[2] === V4_MAPPED) {
    return `::ffff:${formatV4(words[3] as number)}`;
  }
  const groups = words.flatMap(word => [word >>> 16, word & 0xffff]);
  let best = 0;
  let bestAt = -1;
  for (let at = 0; at < 8; at++) {
    let run = 0;
    while (at + run < 8 && groups[at + run] === 0) run++;
    if (run > best) {
      best = run;
      bestAt = at;
    }
    if (run > 0) at += run - 1;
  }
  const text = (part: number[]) => part.map(group => group.toString(16)).join(":");
  if (best < 2) return text(groups);
  return `${text(groups.slice(0, bestAt))}::${text(groups.slice(bestAt + best))}`;
}
