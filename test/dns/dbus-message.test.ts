/** D-Bus messages: the specification's layout byte for byte, and whatever a peer may send. */
import t from "tap";
import { type DbusMessage, decodeMessage, encodeMessage, marshal } from "../../src/dns/dbus-message.js";

const SIGNAL: DbusMessage = {
  type: 4,
  flags: 1,
  serial: 9,
  path: "/org/freedesktop/DBus",
  interface: "org.freedesktop.DBus",
  member: "NameOwnerChanged",
  sender: "org.freedesktop.DBus",
  signature: "sss",
  body: ["org.freedesktop.resolve1", "", ":1.7"],
};

t.test("Marshaling: alignment, lengths and terminators", async t => {
  const hex = (signature: string, ...values: Parameters<typeof marshal>[1]): string =>
    marshal(signature, values).toString("hex");
  t.equal(
    hex("ia(iay)", 3, [[2, [198, 18, 0, 2]]]),
    "03000000" + "0c000000" + "02000000" + "04000000" + "c6120002",
  );
  t.equal(hex("yb", 1, true), "01000000" + "01000000", "a boolean has four bytes, aligned");
  t.equal(hex("s", "foo"), "03000000666f6f00");
  t.equal(hex("yg", 7, "a(sb)"), "07" + "05612873622900");
  t.equal(
    hex("ya(sb)", 1, []),
    "01000000" + "00000000",
    "an empty array is padded to its elements all the same",
  );
  t.equal(hex("v", ["u", 5]), "0175000005000000");
  t.equal(hex("i", -1), "ffffffff");
});

t.test("Message Format: there and back, in either byte order, and in pieces", async t => {
  const bytes = encodeMessage(SIGNAL);
  t.equal(bytes.length % 8, (4 + 25 + 3 + 4 + 1 + 3 + 4 + 5) % 8, "the body is not padded");
  t.match(decodeMessage(Buffer.concat([bytes, Buffer.from("more")])), {
    message: SIGNAL,
    length: bytes.length,
  });
  for (let cut = 0; cut < bytes.length; cut++) t.equal(decodeMessage(bytes.subarray(0, cut)), null);
  const big = Buffer.from("42040001000000000000000900000000", "hex");
  t.match(decodeMessage(big), { message: { type: 4, serial: 9, body: [] }, length: 16 });
});

t.test("what is malformed throws RangeError and nothing else, and never runs for ever", async t => {
  for (const [what, hex] of [
    ["neither byte order", "58040001000000000000000900000000"],
    ["another version", "6c040002000000000000000900000000"],
    ["a body of 4 GiB", "6c040001ffffffff0000000900000000"],
    ["a header of 4 GiB", "6c0400010000000000000009ffffffff"],
  ] as const) {
    t.throws(() => decodeMessage(Buffer.from(hex, "hex")), RangeError, what);
  }
  for (const signature of ["a()", "()", "(", "a", "z", "(i", "a".repeat(40)])
    t.throws(() => marshal(signature, [[]]), RangeError, signature);
  let seed = 20_260_101;
  const random = (n: number): number => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((seed / 2 ** 32) * n);
  };
  const original = encodeMessage(SIGNAL);
  let accepted = 0;
  for (let i = 0; i < 50_000; i++) {
    const bytes = Buffer.from(original);
    for (let n = 1 + random(4); n > 0; n--) bytes[random(bytes.length)] = random(256);
    try {
      if (decodeMessage(bytes) !== null) accepted++;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  t.ok(accepted > 1_000, `${accepted} of 50,000 are still messages`);
});
