import t from "tap";
import { bytesOf, MessageWriter, parseAttributes, parseMessages, textOf } from "../../src/linux/netlink.js";

t.test("a message has the layout of netlink(7)", async t => {
  const bytes = new MessageWriter(16, 0x4)
    .u8(0)
    .u8(0)
    .u16(0)
    .attributeText(3, "lo")
    .attributeU32(4, 1500)
    .nested(26, inner => inner.attribute(8, Uint8Array.of(1)))
    .finish(9);
  t.equal(
    Buffer.from(bytes).toString("hex").replace(/.{8}/g, "$& ").trim(),
    [
      "30000000 10000500 09000000 00000000 00000000",
      "07000300 6c6f0000",
      "08000400 dc050000",
      "0c001a80 05000800 01000000",
    ].join(" "),
  );
  const [message, ...rest] = parseMessages(bytes);
  t.same(rest, []);
  t.match(message, { type: 16, flags: 5, sequence: 9 });
  const attributes = parseAttributes(message!.body, 4);
  t.equal(textOf(attributes.get(3)!), "lo");
  t.equal(attributes.get(4)?.getUint32(0, true), 1500);
  t.same([...bytesOf(parseAttributes(attributes.get(26)!, 0).get(8)!)], [1]);
});

t.test("truncated and random bytes end the list and never throw", async t => {
  const whole = new MessageWriter(24, 0).u32(0).attributeText(3, "some-name").attributeU32(4, 7).finish(1);
  t.equal(parseMessages(Buffer.concat([whole, whole])).length, 2);
  for (let length = 0; length < whole.length; length++) {
    t.equal(parseMessages(whole.subarray(0, length)).length, 0);
  }
  let seed = 12345;
  const random = (): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return seed >>> 16;
  };
  for (let round = 0; round < 5000; round++) {
    const bytes = Uint8Array.from({ length: random() % 96 }, () =>
      random() % 3 === 0 ? random() & 255 : random() & 31,
    );
    for (const message of parseMessages(bytes)) {
      for (const value of parseAttributes(message.body, random() % 16).values()) {
        parseAttributes(value, 0);
        textOf(value);
      }
    }
  }
});
