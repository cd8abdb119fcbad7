import { decode } from "dns-packet";
import t from "tap";
import type { Service } from "../../src/catalog/index.js";
import { MESSAGE_MAX_BYTES, respond } from "../../src/dns/message.js";
import { edns, FUZZ_PACKETS, FUZZ_SEED, Packets, query } from "./packets.js";
import { makeZone, SERVICES } from "./world.js";

const zone = makeZone();
const NAME = "frontend.shop.svc.cluster.local";

const rcodeOf = (response: Buffer | null) => (response === null ? null : (response[3] as number) & 15);

/** A headless service with this many endpoints: 54 bytes an answer. */
function crowd(count: number): Service[] {
  const endpoints = Array.from({ length: count }, (_, i) => ({
    address: `10.2.${i >> 8}.${i & 255}`,
    ready: true,
  }));
  return [{ ...SERVICES[2]!, endpoints }];
}

t.test("RFC 1035 §4.1.1: the header of an answer", async t => {
  const response = decode(respond(zone, query(NAME), "udp")!);
  t.match(response, {
    id: 0x1234,
    type: "response",
    flag_aa: true,
    flag_rd: true,
    flag_ra: false,
    flag_tc: false,
  });
  t.match(response, { rcode: "NOERROR", questions: [{ name: NAME, type: "A", class: "IN" }] });
  t.match(response.answers, [{ name: NAME, type: "A", data: "198.18.0.7", ttl: 5 }]);
  t.strictSame(response.additionals, [], "no OPT to who sent none");
  const refused = decode(respond(zone, query("example.com"), "udp")!);
  t.match(refused, { rcode: "REFUSED", flag_aa: false });
});

t.test("RFC 4343: the question goes back byte for byte (0x20 mixing)", async t => {
  const asked = query("fRoNtEnD.ShOp.SvC.cLuStEr.LoCaL");
  const response = respond(zone, asked, "udp")!;
  t.strictSame(response.subarray(12, asked.length), asked.subarray(12));
  t.match(decode(response).answers, [{ name: "fRoNtEnD.ShOp.SvC.cLuStEr.LoCaL" }]);
});

t.test("a label with a dot or a foreign octet in it is never taken for another name", async t => {
  for (const first of [Buffer.from("frontend.shop"), Buffer.from([0xff, 0xfe]), Buffer.from("a b")]) {
    const rest = query("svc.cluster.local").subarray(12);
    const asked = Buffer.concat([query(NAME).subarray(0, 12), Buffer.from([first.length]), first, rest]);
    const response = respond(zone, asked, "udp")!;
    t.equal(rcodeOf(response), 5, first.toString("latin1"));
    t.strictSame(response.subarray(12), asked.subarray(12), "and goes back as it came");
  }
});

t.test("what deserves no answer, and what is only told off", async t => {
  const bytes = query(NAME);
  const patched = (offset: number, value: number) => {
    const copy = Buffer.from(bytes);
    copy.writeUInt16BE(value, offset);
    return copy;
  };
  t.equal(respond(zone, Buffer.alloc(0), "udp"), null);
  t.equal(respond(zone, bytes.subarray(0, 11), "udp"), null);
  t.equal(respond(zone, patched(2, 0x8100), "udp"), null, "a response is not answered: no loops");
  t.equal(rcodeOf(respond(zone, patched(2, 0x2800), "udp")), 4, "UPDATE: NOTIMP");
  t.equal(rcodeOf(respond(zone, bytes.subarray(0, 20), "udp")), 1, "cut off");
  t.equal(rcodeOf(respond(zone, patched(4, 0), "udp")), 1, "RFC 9619: no question");
  t.equal(rcodeOf(respond(zone, patched(4, 2), "udp")), 1, "RFC 9619: two questions");
  t.equal(rcodeOf(respond(zone, patched(4, 65535), "udp")), 1);
  t.equal(rcodeOf(respond(zone, patched(6, 1), "udp")), 1, "answers in a question");
  t.equal(rcodeOf(respond(zone, patched(10, 65535), "udp")), 1);
  t.equal(rcodeOf(respond(zone, patched(12, 0xc00c), "udp")), 1, "a compressed question, pointing at itself");
  t.equal(
    rcodeOf(respond(zone, Buffer.concat([bytes, Buffer.alloc(MESSAGE_MAX_BYTES)]), "tcp")),
    1,
    "too long",
  );
  t.equal(
    rcodeOf(respond(zone, query(NAME, { questions: [{ name: NAME, type: "A", class: "CH" }] }), "udp")),
    5,
  );
  t.equal(rcodeOf(respond(null, bytes, "udp")), 2, "no zone yet: SERVFAIL");
});

t.test("RFC 6891: EDNS", async t => {
  const response = decode(respond(zone, query(NAME, edns(4096)), "udp")!);
  t.match(response.additionals, [
    { type: "OPT", name: ".", udpPayloadSize: 1232, ednsVersion: 0, extendedRcode: 0 },
  ]);
  const later = decode(respond(zone, query(NAME, edns(4096, 1)), "udp")!);
  t.match(later.additionals, [{ type: "OPT", extendedRcode: 1 }], "§6.1.3: BADVERS is 16");
  t.strictSame(later.answers, []);
  const two = { additionals: [...edns(512).additionals!, ...edns(512).additionals!] };
  t.equal(rcodeOf(respond(zone, query(NAME, two), "udp")), 1, "§6.1.1: more than one OPT");
});

t.test("RFC 1035 §4.2.1, RFC 2181 §9: what does not fit is truncated", async t => {
  const many = makeZone({}, crowd(400));
  const name = "db.shop.svc.cluster.local";
  for (const [extra, limit] of [
    [{}, 512],
    [edns(100), 512],
    [edns(700), 700],
    [edns(1232), 1232],
    [edns(65535), 1232],
  ] as const) {
    const response = respond(many, query(name, extra), "udp")!;
    const message = decode(response);
    t.equal(message.flag_tc, true);
    t.ok(response.length <= limit && response.length > limit - 60, `${response.length} of ${limit}`);
    t.ok((message.answers ?? []).length > 0);
  }
  const whole = decode(respond(many, query(name), "tcp")!);
  t.equal(whole.flag_tc, false);
  t.equal(whole.answers?.length, 400);
  const huge = respond(makeZone({}, crowd(5000)), query(name), "tcp")!;
  t.ok(huge.length <= 65_535);
  t.equal(decode(huge).flag_tc, true);

  const few = makeZone({}, crowd(7));
  const srv = query(`_pg._tcp.${name}`, {
    questions: [{ name: `_pg._tcp.${name}`, type: "SRV", class: "IN" }],
  });
  const response = decode(respond(few, srv, "udp")!);
  t.equal(response.answers?.length, 7);
  t.equal(response.flag_tc, false, "additional records left out are no truncation");
  t.ok((response.additionals ?? []).length < 7);
});

t.test("RFC 1035 §4.1.4: owners point to the question's name", async t => {
  const name = "db.shop.svc.cluster.local";
  const pointers = (response: Buffer): number => response.toString("latin1").split("\xc0\x0c").length - 1;
  const small = respond(makeZone({}, crowd(5)), query(name), "udp")!;
  t.equal(pointers(small), 5);
  const zone = makeZone({}, crowd(25));
  const compressed = respond(zone, query(name), "udp")!;
  t.equal(pointers(compressed), 25);
  t.ok(compressed.length <= 512);
  const [there, whole] = [compressed, respond(zone, query(name), "tcp")!].map(bytes => decode(bytes));
  t.equal(there?.flag_tc, false);
  t.strictSame(there?.answers, whole?.answers, "the same answers as where there is space");
  const cased = decode(respond(zone, query("dB.shop.SVC.cluster.local"), "udp")!);
  t.strictSame(new Set(cased.answers?.map(each => each.name)), new Set(["dB.shop.SVC.cluster.local"]));
});

t.test(
  `${FUZZ_PACKETS} mutated and random questions: never a throw, a wrong id, an unreadable answer`,
  async t => {
    t.comment(`seed ${FUZZ_SEED}`);
    const packets = new Packets(FUZZ_SEED);
    let answered = 0;
    for (let i = 0; i < FUZZ_PACKETS; i++) {
      const bytes = packets.next();
      const transport = packets.random(8) === 0 ? "tcp" : "udp";
      const response = respond(zone, bytes, transport);
      if (response === null) continue;
      answered++;
      const shown = () => `packet ${i}: ${bytes.toString("hex")}`;
      if (response.readUInt16BE(0) !== bytes.readUInt16BE(0)) t.fail(`wrong id, ${shown()}`);
      if ((response.readUInt16BE(2) & 0x8000) === 0) t.fail(`no response, ${shown()}`);
      if (response.length > (transport === "udp" ? 1232 : 65_535)) t.fail(`too long, ${shown()}`);
      if (response.readUInt16BE(4) === 1 && response.compare(bytes, 12, 17, 12, 17) !== 0)
        t.fail(`another question, ${shown()}`);
      if (i % 16 === 0 && rcodeOf(response) === 0) decode(response);
    }
    t.ok(answered > FUZZ_PACKETS / 2, `${answered} answered`);
  },
);
