import t from "tap";
import {
  Address,
  ENDPOINT_BYTES,
  formatEndpoint,
  fromBase64,
  fromHex,
  Prefix,
  parseEndpoint,
  readEndpoint,
  toBase64,
  toHex,
  writeEndpoint,
} from "../../src/base/index.js";

t.test("addresses: RFC 4291 in, RFC 5952 out", async t => {
  const rows: [string, string | null][] = [
    ["198.18.0.7", "198.18.0.7"],
    ["0.0.0.0", "0.0.0.0"],
    ["255.255.255.255", "255.255.255.255"],
    ["256.0.0.1", null],
    ["1.2.3", null],
    ["01.2.3.4", null],
    ["1.2.3.4 ", null],
    ["", null],
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:0db8::0001", "2001:db8::1"],
    ["fd00:1:2:3:4:5:6:7", "fd00:1:2:3:4:5:6:7"],
    ["::ffff:1.2.3.4", "::ffff:1.2.3.4"],
    ["64:ff9b::10.0.0.1", "64:ff9b::a00:1"],
    ["1:2:3:4:5:6:7", null],
    ["1:2:3:4:5:6:7:8:9", null],
    ["1::2::3", null],
    ["1:2:3:4:5:6:7::8", null],
    ["g::", null],
    ["12345::", null],
    ["fe80::1%eth0", null],
    [":", null],
    [":::", null],
  ];
  for (const [text, expected] of rows) t.equal(Address.parse(text)?.toString() ?? null, expected, text);
});

t.test("addresses survive the wire", async t => {
  for (const text of ["10.96.3.9", "fd00:a::7"]) {
    const bytes = new Uint8Array(20);
    const address = Address.from(text);
    t.equal(address.write(bytes, 2), address.bits / 8);
    t.ok(Address.read(bytes, 2, address.family).equals(address));
  }
  t.notOk(Address.from("1.2.3.4").equals(Address.from("::ffff:1.2.3.4")), "families do not mix");
  t.equal(Address.from("1.2.3.4").key, Address.from("1.2.3.4").key);
  t.equal(Address.from("2001:db8::1").key, Address.from("2001:DB8:0::1").key);
  t.not(Address.from("1.2.3.4").key, Address.from("::ffff:1.2.3.4").key, "nor do their keys");
  t.equal(Address.from("198.18.255.255").plus(1).toString(), "198.19.0.0");
});

t.test("prefixes", async t => {
  const overlaps: [string, string, boolean][] = [
    ["198.18.0.0/16", "198.18.4.0/24", true],
    ["198.18.0.0/15", "198.19.0.0/16", true],
    ["198.18.0.0/16", "198.19.0.0/16", false],
    ["0.0.0.0/0", "10.0.0.1", true],
    ["::/0", "10.0.0.1", false],
    ["fd00::/64", "fd00::1:0:0:0:1/128", false],
  ];
  for (const [a, b, expected] of overlaps) {
    t.equal(Prefix.from(a).overlaps(Prefix.from(b)), expected, `${a} ${b}`);
    t.equal(Prefix.from(b).overlaps(Prefix.from(a)), expected, `${b} ${a}`);
  }
  t.equal(Prefix.from("198.18.7.9/16").toString(), "198.18.0.0/16", "host bits are cleared");
  for (const bad of ["1.2.3.4/33", "1.2.3.4/-1", "1.2.3.4/", "::/129", "1.2.3.4/08", "x/8"]) {
    t.equal(Prefix.parse(bad), null, bad);
  }
});

t.test("endpoints", async t => {
  for (const text of ["192.0.2.1:51820", "[2001:db8::1]:80"]) {
    const bytes = new Uint8Array(ENDPOINT_BYTES + 4);
    const endpoint = parseEndpoint(text);
    if (endpoint === null) return t.fail(text);
    writeEndpoint(bytes, 4, endpoint);
    t.equal(formatEndpoint(readEndpoint(bytes, 4)), text);
  }
  for (const bad of ["192.0.2.1", "192.0.2.1:0", "192.0.2.1:65536", "2001:db8::1:80", "host:80", "[::1]"]) {
    t.equal(parseEndpoint(bad), null, bad);
  }
  return undefined;
});

t.test("bytes as text", async t => {
  const bytes = Uint8Array.of(0, 1, 254, 255);
  t.same(fromHex(toHex(bytes)), bytes);
  t.same(fromBase64(toBase64(bytes)), bytes);
  for (const bad of ["0", "zz", "00 "]) t.equal(fromHex(bad), null, bad);
  for (const bad of ["AA", "A===", "AAB=", "!!!!"]) t.equal(fromBase64(bad), null, bad);
});
