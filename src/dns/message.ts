/**
 * One DNS message in, one out: header and EDNS rules, the size limit, and the codec (dns-packet) around the
 * zone's answers. The question goes back byte for byte, so its case and any odd octets survive (RFC 4343;
 * resolvers that mix case on purpose check it).
 *
 * Specifications: RFC 1035 §4, RFC 6891, RFC 9619 (exactly one question). Each owner that is the question's name points
 * to it (RFC 1035 §4.1.4), and no other name is compressed. So many records of a headless service fit, and the letter
 * case of a question stands in one place of its answer, where the data plane puts that of whoever asks next
 * (`dataplane/dns-answers.ts`). What does not fit is truncated and asked again over TCP.
 */
import { decode, encode, type OptAnswer, type Question } from "dns-packet";
import type { Zone } from "./zone.js";
import { answer, type DnsRecord, type ZoneAnswer } from "./zone-answers.js";

/** Longer questions are refused: a name, a type and EDNS options need far less. */
export const MESSAGE_MAX_BYTES = 4096;
const HEADER_BYTES = 12;
const OPT_BYTES = 11;
/** Type and class, after the name. */
const QUESTION_TAIL_BYTES = 4;
/** RFC 1035 §4.1.4: to the name of the question, which stands right behind the header. */
const QUESTION_POINTER: Buffer = Buffer.from([0xc0, HEADER_BYTES]);
/** RFC 1035 §4.2.1: the limit over UDP without EDNS. */
const UDP_PLAIN_BYTES = 512;
/** Largest answer over UDP: fits a packet of any IPv6 path (the DNS Flag Day 2020 value). */
const UDP_MAX_BYTES = 1232;
const TCP_MAX_BYTES = 65_535;

const QR = 0x8000;
const AA = 0x0400;
const TC = 0x0200;
const RD = 0x0100;
const CD = 0x0010;
const RCODES = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  BADVERS: 16,
} as const;

/**
 * The response to `query`, or null when it deserves none (not even a header, or itself a response).
 * @param zone null before there is one
 */
export function respond(zone: Zone | null, query: Buffer, transport: "udp" | "tcp"): Buffer | null {
  if (query.length < HEADER_BYTES || (query.readUInt16BE(2) & QR) !== 0) return null;
  const opcode = (query.readUInt16BE(2) >>> 11) & 15;
  if (opcode !== 0) return headerOnly(query, RCODES.NOTIMP);
  const parsed = parseQuery(query);
  if (parsed === null) return headerOnly(query, RCODES.FORMERR);

  const { question, questionBytes, opt } = parsed;
  const limit = transport === "tcp" ? TCP_MAX_BYTES : udpLimit(opt);
  const space = limit - HEADER_BYTES - questionBytes.length - (opt === null ? 0 : OPT_BYTES);
  if (opt !== null && opt.ednsVersion !== 0) {
    return assemble(query, questionBytes, pack(REFUSED, space, questionBytes), RCODES.BADVERS, true);
  }
  const result =
    zone === null
      ? SERVFAIL
      : isOurs(question, questionBytes)
        ? answer(zone, question.name, question.type)
        : REFUSED;
  return assemble(
    query,
    questionBytes,
    pack(result, space, questionBytes),
    RCODES[result.rcode],
    opt !== null,
  );
}

const NOTHING = { answers: [], authority: [], additional: [] };
const SERVFAIL: ZoneAnswer = { rcode: "SERVFAIL", ...NOTHING };
const REFUSED: ZoneAnswer = { rcode: "REFUSED", ...NOTHING };

interface Query {
  question: Question;
  questionBytes: Buffer;
  opt: OptAnswer | null;
}

/** Null for what is a format error. The counts are judged before the codec sees the message. */
function parseQuery(query: Buffer): Query | null {
  const additionals = query.readUInt16BE(10);
  if (query.length > MESSAGE_MAX_BYTES || query.readUInt16BE(4) !== 1) return null;
  if (query.readUInt16BE(6) !== 0 || query.readUInt16BE(8) !== 0 || additionals > 2) return null;
  const end = questionEnd(query);
  if (end === -1) return null;
  try {
    const message = decode(query);
    const question = message.questions?.[0];
    const opts = (message.additionals ?? []).filter((record): record is OptAnswer => record.type === "OPT");
    // RFC 6891 §6.1.1: one OPT, owned by the root.
    if (question === undefined || opts.length > 1 || (opts[0] !== undefined && opts[0].name !== "."))
      return null;
    return { question, questionBytes: query.subarray(HEADER_BYTES, end), opt: opts[0] ?? null };
  } catch {
    return null;
  }
}

/** Where the question ends; -1 when it is cut off or its name is compressed, which nothing could point to. */
function questionEnd(query: Buffer): number {
  let at = HEADER_BYTES;
  for (;;) {
    const length = query[at];
    if (length === undefined || length > 63) return -1;
    at += 1 + length;
    if (length === 0) break;
  }
  return at + 4 <= query.length ? at + 4 : -1;
}

/** Class IN, and a name that text can hold: a dot or a foreign octet within a label is not of ours. */
function isOurs(question: Question, questionBytes: Buffer): boolean {
  if (question.class !== "IN") return false;
  const labels = question.name === "." ? [] : question.name.split(".");
  let at = 0;
  for (const label of labels) {
    if (questionBytes[at] !== label.length || !/^[\x21-\x7e]+$/.test(label)) return false;
    at += 1 + label.length;
  }
  return questionBytes[at] === 0;
}

function udpLimit(opt: OptAnswer | null): number {
  if (opt === null) return UDP_PLAIN_BYTES;
  return Math.min(Math.max(opt.udpPayloadSize, UDP_PLAIN_BYTES), UDP_MAX_BYTES);
}

interface Packed {
  bytes: Buffer;
  counts: [answers: number, authorities: number, additionals: number];
  truncated: boolean;
}

/** RFC 2181 §9: additional records are left out silently, answers with TC. */
function pack(result: ZoneAnswer, space: number, question: Buffer): Packed {
  const name = letters(question.subarray(0, -QUESTION_TAIL_BYTES));
  const answers = take(result.answers, space, name);
  const complete = answers.length === result.answers.length;
  let left = space - sizeOf(answers);
  const authority = complete ? take(result.authority, left, name) : [];
  left -= sizeOf(authority);
  const additional = complete ? take(result.additional, left, name) : [];
  return {
    bytes: Buffer.concat([...answers, ...authority, ...additional]),
    counts: [answers.length, authority.length, additional.length],
    truncated: !complete,
  };
}

/** As many records as there is space for. */
function take(records: readonly DnsRecord[], space: number, name: string): Buffer[] {
  const taken: Buffer[] = [];
  let left = space;
  for (const record of records) {
    const plain = encode({ answers: [record] }).subarray(HEADER_BYTES);
    const asked = letters(plain.subarray(0, name.length)) === name;
    const bytes = asked ? Buffer.concat([QUESTION_POINTER, plain.subarray(name.length)]) : plain;
    left -= bytes.length;
    if (left < 0) break;
    taken.push(bytes);
  }
  return taken;
}

/** A name in its encoded form without regard to case (RFC 4343 §3): no other than ASCII letters have one, see `isOurs`. */
function letters(name: Buffer): string {
  return name.toString("latin1").toLowerCase();
}

function sizeOf(buffers: readonly Buffer[]): number {
  return buffers.reduce((total, { length }) => total + length, 0);
}

/** Nothing in the records points elsewhere than to the question, so the pieces are simply put together. */
function assemble(query: Buffer, question: Buffer, packed: Packed, rcode: number, edns: boolean): Buffer {
  const asked = query.readUInt16BE(2) & (RD | CD);
  const authoritative = rcode === RCODES.NOERROR || rcode === RCODES.NXDOMAIN ? AA : 0;
  const header = Buffer.alloc(HEADER_BYTES);
  query.copy(header, 0, 0, 2);
  header.writeUInt16BE(QR | authoritative | (packed.truncated ? TC : 0) | asked | (rcode & 15), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(packed.counts[0], 6);
  header.writeUInt16BE(packed.counts[1], 8);
  header.writeUInt16BE(packed.counts[2] + (edns ? 1 : 0), 10);
  return Buffer.concat(
    edns ? [header, question, packed.bytes, optRecord(rcode)] : [header, question, packed.bytes],
  );
}

/** RFC 6891 §6.1.2: root, type 41, our UDP size, the upper bits of the rcode, version 0, no flags, no options. */
function optRecord(rcode: number): Buffer {
  const opt = Buffer.alloc(OPT_BYTES);
  opt.writeUInt16BE(41, 1);
  opt.writeUInt16BE(UDP_MAX_BYTES, 3);
  opt[5] = rcode >>> 4;
  return opt;
}

function headerOnly(query: Buffer, rcode: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  query.copy(header, 0, 0, 2);
  header.writeUInt16BE(QR | (query.readUInt16BE(2) & (0x7800 | RD)) | rcode, 2);
  return header;
}
