/**
 * D-Bus messages as bytes, both ways: as much of the D-Bus Specification 0.43 ("Type System", "Message
 * Protocol") as a client of systemd-resolved meets. Everything but doubles, dictionaries and file descriptors.
 *
 * What a peer sends is checked before it is used; what is malformed throws RangeError, and the connection ends.
 */

/** A struct and an array are arrays, a variant is `[signature, value]`. */
export type DbusValue = string | number | boolean | readonly DbusValue[];

export const MESSAGE_TYPES = { METHOD_CALL: 1, METHOD_RETURN: 2, ERROR: 3, SIGNAL: 4 } as const;
/** Calling nobody who does not run already: a call must not start a service that the user has off. */
export const NO_AUTO_START = 2;

const FIELDS = {
  path: [1, "o"],
  interface: [2, "s"],
  member: [3, "s"],
  errorName: [4, "s"],
  replySerial: [5, "u"],
  destination: [6, "s"],
  sender: [7, "s"],
  signature: [8, "g"],
} as const;
type Field = keyof typeof FIELDS;

export interface DbusMessage extends Partial<Record<Exclude<Field, "replySerial">, string>> {
  type: number;
  flags: number;
  serial: number;
  replySerial?: number;
  /** Of the types in `signature`. */
  body: readonly DbusValue[];
}

/** The specification's limit is 128 MiB; what we are sent has some hundred bytes. */
const MESSAGE_MAX_BYTES = 1 << 20;
const FIXED_BYTES = 16;
const HEADER_SIGNATURE = "yyyyuua(yv)";
const LITTLE_ENDIAN = "l".charCodeAt(0);
const BIG_ENDIAN = "B".charCodeAt(0);
const VERSION = 1;
const ALIGNMENTS: Readonly<Record<string, number>> = { y: 1, g: 1, v: 1, "(": 8 };
const DEPTH_MAX = 16;

export function encodeMessage(message: DbusMessage): Buffer {
  const body = marshal(message.signature ?? "", message.body);
  const fields = Object.entries(FIELDS)
    .filter(([name]) => message[name as Field] !== undefined)
    .map(([name, [code, type]]): DbusValue => [code, [type, message[name as Field] as string | number]]);
  const { type, flags, serial } = message;
  const header = marshal(HEADER_SIGNATURE, [
    LITTLE_ENDIAN,
    type,
    flags,
    VERSION,
    body.length,
    serial,
    fields,
  ]);
  return Buffer.concat([header, Buffer.alloc(padding(header.length, 8)), body]);
}

/**
 * The first message in `bytes` and its length; null when it is not whole yet. Throws RangeError.
 * @param wanted whether the body is of interest, by all else of a message; otherwise it stays empty, and may hold
 *   anything
 */
export function decodeMessage(
  bytes: Buffer,
  wanted: (message: DbusMessage) => boolean = () => true,
): { message: DbusMessage; length: number } | null {
  if (bytes.length < FIXED_BYTES) return null;
  if (bytes[0] !== LITTLE_ENDIAN && bytes[0] !== BIG_ENDIAN) throw new RangeError("neither byte order");
  const little = bytes[0] === LITTLE_ENDIAN;
  const word = (at: number): number => (little ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));
  const fieldsEnd = FIXED_BYTES + word(12);
  const bodyAt = fieldsEnd + padding(fieldsEnd, 8);
  const length = bodyAt + word(4);
  if (bytes[3] !== VERSION || length > MESSAGE_MAX_BYTES) throw new RangeError("not a message of D-Bus");
  if (bytes.length < length) return null;
  const header = new Reader(bytes.subarray(0, fieldsEnd), little).readAll(HEADER_SIGNATURE);
  const message: DbusMessage = {
    type: header[1] as number,
    flags: header[2] as number,
    serial: header[5] as number,
    body: [],
  };
  for (const [code, variant] of header[6] as [number, [string, DbusValue]][]) {
    const field = Object.entries(FIELDS).find(([, [known]]) => known === code);
    if (field === undefined) continue;
    const [name, [, type]] = field;
    if (variant[0] !== type) throw new RangeError(`header field ${name} is of type ${variant[0]}`);
    Object.assign(message, { [name]: variant[1] });
  }
  if (wanted(message)) {
    message.body = new Reader(bytes.subarray(bodyAt, length), little).readAll(message.signature ?? "");
  }
  return { message, length };
}

/** Values of the types of `signature`, from an aligned place on. */
export function marshal(signature: string, values: readonly DbusValue[]): Buffer {
  const writer = new Writer();
  const types = splitTypes(signature);
  if (types.length !== values.length) throw new RangeError(`${values.length} values for "${signature}"`);
  types.forEach((type, i) => {
    writer.write(type, values[i] as DbusValue);
  });
  return writer.bytes;
}

function padding(at: number, alignment: number): number {
  return -at & (alignment - 1);
}

function alignmentOf(type: string): number {
  return ALIGNMENTS[type[0] as string] ?? 4;
}

/** "ia(iay)" → "i", "a(iay)". Throws RangeError for what is no signature. */
function splitTypes(signature: string): string[] {
  const types: string[] = [];
  for (let at = 0; at < signature.length; ) {
    const end = typeEnd(signature, at, 0);
    types.push(signature.slice(at, end));
    at = end;
  }
  return types;
}

function typeEnd(signature: string, at: number, depth: number): number {
  const code = signature[at];
  if (depth > DEPTH_MAX || code === undefined) throw new RangeError(`not a signature: "${signature}"`);
  if (code === "a") return typeEnd(signature, at + 1, depth + 1);
  if (code !== "(") {
    if (!"ybiusogv".includes(code)) throw new RangeError(`a type that we do not know: "${code}"`);
    return at + 1;
  }
  // An empty struct would take no bytes, and an array of those no end.
  if (signature[at + 1] === ")") throw new RangeError(`not a signature: "${signature}"`);
  let inner = at + 1;
  while (signature[inner] !== ")") inner = typeEnd(signature, inner, depth + 1);
  return inner + 1;
}

class Writer {
  #bytes: number[] = [];

  get bytes(): Buffer {
    return Buffer.from(this.#bytes);
  }

  write(type: string, value: DbusValue): void {
    this.#align(alignmentOf(type));
    const code = type[0];
    if (code === "y") this.#bytes.push(value as number);
    else if (code === "b" || code === "i" || code === "u") this.#word(Number(value));
    else if (code === "s" || code === "o") this.#text(value as string, 4);
    else if (code === "g") this.#text(value as string, 1);
    else if (code === "v") {
      const [signature, inner] = value as [string, DbusValue];
      this.write("g", signature);
      this.write(signature, inner);
    } else if (code === "(") {
      splitTypes(type.slice(1, -1)).forEach((inner, i) => {
        this.write(inner, (value as readonly DbusValue[])[i] as DbusValue);
      });
    } else this.#array(type.slice(1), value as readonly DbusValue[]);
  }

  /** The length counts from the first element on, behind its padding. */
  #array(type: string, values: readonly DbusValue[]): void {
    const lengthAt = this.#bytes.length;
    this.#word(0);
    this.#align(alignmentOf(type));
    const start = this.#bytes.length;
    for (const value of values) this.write(type, value);
    const length = this.#bytes.length - start;
    for (let i = 0; i < 4; i++) this.#bytes[lengthAt + i] = (length >>> (8 * i)) & 255;
  }

  #text(text: string, lengthBytes: 1 | 4): void {
    const bytes = Buffer.from(text);
    if (lengthBytes === 4) this.#word(bytes.length);
    else this.#bytes.push(bytes.length);
    this.#bytes.push(...bytes, 0);
  }

  #word(value: number): void {
    for (let i = 0; i < 4; i++) this.#bytes.push((value >>> (8 * i)) & 255);
  }

  #align(alignment: number): void {
    for (let i = padding(this.#bytes.length, alignment); i > 0; i--) this.#bytes.push(0);
  }
}

/** Each access is checked against the end: Buffer's own methods throw RangeError. */
class Reader {
  #bytes: Buffer;
  #little: boolean;
  #at = 0;

  constructor(bytes: Buffer, little: boolean) {
    this.#bytes = bytes;
    this.#little = little;
  }

  readAll(signature: string): DbusValue[] {
    return splitTypes(signature).map(type => this.#read(type, 0));
  }

  #read(type: string, depth: number): DbusValue {
    if (depth > DEPTH_MAX) throw new RangeError("nested too deeply");
    this.#at += padding(this.#at, alignmentOf(type));
    const code = type[0];
    if (code === "y") return this.#bytes.readUInt8(this.#at++);
    if (code === "u") return this.#word();
    if (code === "i") return this.#word() | 0;
    if (code === "b") return this.#word() !== 0;
    if (code === "s" || code === "o") return this.#text(this.#word());
    if (code === "g") return this.#text(this.#bytes.readUInt8(this.#at++));
    if (code === "v") {
      const signature = this.#text(this.#bytes.readUInt8(this.#at++));
      const types = splitTypes(signature);
      if (types.length !== 1) throw new RangeError(`a variant of "${signature}"`);
      return [signature, this.#read(signature, depth + 1)];
    }
    if (code === "(") return splitTypes(type.slice(1, -1)).map(inner => this.#read(inner, depth + 1));
    return this.#array(type.slice(1), depth);
  }

  #array(type: string, depth: number): DbusValue[] {
    const length = this.#word();
    this.#at += padding(this.#at, alignmentOf(type));
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new RangeError("an array behind the end");
    const values: DbusValue[] = [];
    while (this.#at < end) values.push(this.#read(type, depth + 1));
    return values;
  }

  #word(): number {
    const value = this.#little ? this.#bytes.readUInt32LE(this.#at) : this.#bytes.readUInt32BE(this.#at);
    this.#at += 4;
    return value;
  }

  #text(length: number): string {
    const end = this.#at + length;
    if (this.#bytes.readUInt8(end) !== 0) throw new RangeError("a string without its end");
    const text = this.#bytes.toString("utf8", this.#at, end);
    this.#at = end + 1;
    return text;
  }
}
