import t from "tap";
import { Arena } from "../../src/base/index.js";
import { DnsAnswers, QUESTION_MAX_BYTES } from "../../src/dataplane/dns-answers.js";
import { respond } from "../../src/dns/message.js";
import { cookie, edns, FUZZ_PACKETS, FUZZ_SEED, Packets, query } from "../dns/packets.js";
import { makeZone, SERVICES } from "../dns/world.js";

const NAME = "frontend.shop.svc.cluster.local";
const zone = makeZone();

/** The answers in an arena of their own, with buffers in and out. */
function makeAnswers() {
  const arena = new Arena(4 << 20);
  const at = arena.reserve(65_536);
  const answers = new DnsAnswers(arena);
  const find = (question: Buffer): Buffer | null => {
    arena.u8.set(question, at);
    const found = answers.find(at, question.length);
    return found === -1 ? null : Buffer.from(arena.u8.slice(found, found + answers.length));
  };
  const keep = (question: Buffer, answer: Buffer): void => {
    arena.u8.set(question, at);
    arena.u8.set(answer, at + 32_768);
    answers.keep(at, question.length, at + 32_768, answer.length);
  };
  return { answers, find, keep };
}

/** Another id, letters in other case, and if there is a cookie another one. */
function asAnotherAsks(question: Buffer, packets: Packets): Buffer {
  const copy = withId(question, packets.random(0x10000));
  const end = copy.indexOf(0, 12);
  for (let i = 12; i < end; i++) {
    if (/[a-z]/i.test(String.fromCharCode(copy[i]!)) && packets.random(2) === 0) copy[i]! ^= 0x20;
  }
  if (copy.subarray(-12, -8).toString("hex") === "000a0008") copy[copy.length - 1 - packets.random(8)]! ^= 1;
  return copy;
}

const withId = (question: Buffer, id: number): Buffer => {
  const copy = Buffer.from(question);
  copy.writeUInt16BE(id, 0);
  return copy;
};

t.test("RFC 1035 §4.1.1: the same question under another id gets the same answer under that id", async t => {
  const { answers, find, keep } = makeAnswers();
  const question = query(NAME);
  t.equal(find(question), null, "nothing before it was answered");
  keep(question, respond(zone, question, "udp")!);
  for (const id of [0x1234, 0, 1, 0xffff]) {
    const again = withId(question, id);
    t.strictSame(find(again), respond(zone, again, "udp"), `id ${id}`);
  }
  answers.clear();
  t.equal(find(question), null, "nothing after a change");
});

t.test("RFC 6891: flags, type and EDNS are part of the question", async t => {
  const { find, keep } = makeAnswers();
  const flagged = (flags: number) => query(NAME, { flags });
  const typed = (type: "AAAA" | "SRV") => query(NAME, { questions: [{ name: NAME, type, class: "IN" }] });
  const dnssecOk = Buffer.from(query(NAME, edns(1232)));
  dnssecOk[dnssecOk.length - 4] = 0x80;
  const questions = {
    plain: query(NAME),
    "no recursion": flagged(0),
    "checking disabled": flagged(0x0110),
    "an octet more": Buffer.concat([query(NAME), Buffer.from([0])]),
    "EDNS 512": query(NAME, edns(512)),
    "EDNS 1232": query(NAME, edns(1232)),
    "a cookie": query(NAME, cookie(Buffer.alloc(8))),
    "a server's cookie too": query(NAME, cookie(Buffer.alloc(16))),
    "DNSSEC OK": dnssecOk,
    AAAA: typed("AAAA"),
    SRV: typed("SRV"),
  };
  for (const [what, question] of Object.entries(questions)) {
    t.equal(find(question), null, `${what} was not asked yet`);
    keep(question, respond(zone, question, "udp")!);
  }
  for (const [what, question] of Object.entries(questions)) {
    t.strictSame(find(question), respond(zone, question, "udp"), what);
  }
});

t.test(
  "RFC 4343 §4: whoever mixes letter case gets the answer of all others, and his own letters back",
  async t => {
    const endpoints = Array.from({ length: 12 }, (_, i) => ({ address: `10.2.0.${i}`, ready: true }));
    const crowd = makeZone({}, [...SERVICES, { ...SERVICES[2]!, name: "crowd", endpoints }]);
    const names = [
      NAME,
      "crowd.shop.svc.cluster.local",
      "missing.cluster.local",
      "frontend.shop",
      "dns-version.cluster.local",
    ];
    for (const type of ["A", "AAAA", "SRV", "TXT", "SOA"] as const) {
      for (const name of names) {
        const { find, keep } = makeAnswers();
        const asked = (text: string) => query(text, { questions: [{ name: text, type, class: "IN" }] });
        const first = asked(name);
        keep(first, respond(crowd, first, "udp")!);
        for (const text of [name.toUpperCase(), `${name[0]?.toUpperCase()}${name.slice(1)}`, name]) {
          const question = withId(asked(text), 99);
          t.strictSame(find(question), respond(crowd, question, "udp"), `${type} ${text}`);
        }
      }
    }
    const { find, keep } = makeAnswers();
    keep(query("azAZ@[.cluster.local"), respond(zone, query("azAZ@[.cluster.local"), "udp")!);
    t.ok(find(query("AZaz@[.cluster.local")));
    for (const other of ["azAZ`[", "azAZ@{"]) {
      t.equal(find(query(`${other}.cluster.local`)), null, "only letters have case");
    }
    const upperType = query(NAME, { questions: [{ name: NAME, type: "UNKNOWN_65" as never, class: "IN" }] });
    keep(upperType, respond(zone, upperType, "udp")!);
    const lowerType = Buffer.from(upperType);
    lowerType[lowerType.length - 3] = upperType[upperType.length - 3]! | 0x20;
    t.equal(find(lowerType), null, "and only those of the name");
  },
);

t.test("RFC 7873 §5.2.1: a client's cookie is ignored, and what only looks like one is not", async t => {
  const { find, keep } = makeAnswers();
  const first = query(NAME, cookie(Buffer.from("0011223344556677", "hex")));
  keep(first, respond(zone, first, "udp")!);
  const other = query(NAME, cookie(Buffer.from("8899aabbccddeeff", "hex")));
  t.strictSame(find(other), respond(zone, other, "udp"));
  for (const back of [12, 11, 10, 9, 14, 13, 23, 22, 21]) {
    const broken = Buffer.from(other);
    broken[broken.length - back]! ^= 1;
    t.equal(find(broken), null, `another byte ${back} from the end`);
  }
  t.equal(find(other.subarray(0, -1)), null, "cut off");
  for (const [what, back] of Object.entries({ "option code": 11, "record type": 21 })) {
    const [one, two] = [first, other].map(bytes => {
      const changed = Buffer.from(bytes);
      changed[changed.length - back]! ^= 4;
      return changed;
    }) as [Buffer, Buffer];
    keep(one, respond(zone, one, "udp")!);
    t.ok(find(one), `another ${what}`);
    t.equal(find(two), null, `and with another ${what} other data`);
  }
  // The same bytes in a name: what is asked ends in ….
  const labels = Buffer.concat([
    Buffer.from("\x0b\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x0c\x0a\x00\x0a\x00\x08", "latin1"),
    Buffer.from("12345\x00\x00\x01\x00\x01", "latin1"),
  ]);
  const [one, two] = ["1", "2"].map(digit => {
    const bytes = Buffer.concat([query(NAME).subarray(0, 12), labels]);
    bytes.write(digit, bytes.length - 7);
    return bytes;
  }) as [Buffer, Buffer];
  const answer = Buffer.from(one);
  answer.writeUInt16BE(0x8400, 2);
  keep(one, answer);
  t.equal(find(two), null, "a name that ends as a cookie does");
});

t.test("what is not our zone's is not kept, nor what can hardly be asked again", async t => {
  const { find, keep } = makeAnswers();
  const foreign = query("www.example.com");
  keep(foreign, respond(zone, foreign, "udp")!);
  t.equal(find(foreign), null, "REFUSED: no AA");
  const early = query(NAME);
  keep(early, respond(null, early, "udp")!);
  t.equal(find(early), null, "SERVFAIL before there is a zone");
  keep(early, withId(query(NAME), 1));
  t.equal(find(early), null, "no response at all");
  for (const bytes of [0, 1, 11]) {
    keep(early, Buffer.alloc(bytes, 0x84));
    keep(early.subarray(0, bytes), respond(zone, early, "udp")!);
    t.equal(find(early.subarray(0, bytes)), null, `${bytes} bytes of a question`);
  }
  t.equal(find(early), null);
  const loud = Buffer.from("Z".repeat(400));
  loud.writeUInt16BE(0x8400, 2);
  keep(query("kept"), loud);
  const cut = Buffer.concat([query("x").subarray(0, 12), Buffer.from([255]), Buffer.from("A".repeat(100))]);
  t.equal(find(cut), null, "a label that is longer than what there is");
  t.equal(find(query("kept"))?.subarray(-200).toString(), "Z".repeat(200), "touches nothing");
  const long = Buffer.concat([query(NAME), Buffer.alloc(QUESTION_MAX_BYTES)]);
  keep(long, respond(zone, long, "udp")!);
  t.equal(find(long), null, "a question of this length has something unique in it");
});

t.test("RFC 2181 §9: a truncated answer is for who offers as little space", async t => {
  const endpoints = Array.from({ length: 40 }, (_, i) => ({ address: `10.2.0.${i}`, ready: true }));
  const crowd = makeZone({}, [{ ...SERVICES[2]!, endpoints }]);
  const [plain, large] = [query("db.shop"), query("db.shop", edns(1232))];
  const { find, keep } = makeAnswers();
  keep(plain, respond(crowd, plain, "udp")!);
  t.ok((find(plain)!.readUInt16BE(2) & 0x0200) !== 0, "TC");
  t.equal(find(large), null);
  keep(large, respond(crowd, large, "udp")!);
  t.ok(find(large)!.length > 512);
  t.equal((find(large)!.readUInt16BE(2) & 0x0200) === 0, true, "whole");
});

t.test("20,000 names: what was asked last is found, and memory has its limit", async t => {
  const { find, keep } = makeAnswers();
  for (let i = 0; i < 20_000; i++) {
    const question = query(`n${i}.cluster.local`);
    keep(question, respond(zone, question, "udp")!);
    if (i % 97 === 0) t.strictSame(find(question), respond(zone, question, "udp"));
  }
  const early = query("n0.cluster.local");
  t.equal(find(early), null, "the first is long gone");
});

t.test(`${FUZZ_PACKETS} mutated and random questions: repeated is what the responder says now`, async t => {
  t.comment(`seed ${FUZZ_SEED}`);
  const packets = new Packets(FUZZ_SEED);
  const { answers, find, keep } = makeAnswers();
  const recent: Buffer[] = [];
  let [current, hits] = [zone, 0];
  for (let i = 0; i < FUZZ_PACKETS; i++) {
    if (i % 5_000 === 4_999) {
      current = makeZone({ serial: i });
      answers.clear();
    }
    const again = recent.length > 0 && packets.random(2) === 0;
    const question = again ? asAnotherAsks(recent[packets.random(recent.length)]!, packets) : packets.next();
    const found = find(question);
    const response = respond(current, question, "udp");
    if (found === null) {
      if (response === null) continue;
      keep(question, response);
      // Asked again later: what our zone answers, and one in eight of the others.
      if (response[2]! & 4 || i % 8 === 0) recent[recent.length < 256 ? recent.length : i % 256] = question;
      continue;
    }
    hits++;
    if (response === null || !found.equals(response)) t.fail(`packet ${i}: ${question.toString("hex")}`);
  }
  t.ok(hits > FUZZ_PACKETS / 20, `${hits} found`);
});
