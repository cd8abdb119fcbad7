import t from "tap";
import { Address, Prefix } from "../../src/base/index.js";
import {
  chooseServiceRange,
  parseServiceRange,
  SERVICE_RANGES,
  VirtualAddresses,
} from "../../src/catalog/index.js";

const RANGE = Prefix.from("198.18.0.0/16");
const ULA = Prefix.from("fd12:3456:789a::/64");

function make(range: Prefix = RANGE, persisted: Record<string, number> = {}): VirtualAddresses {
  return new VirtualAddresses(range, ULA, persisted);
}
const reload = (from: VirtualAddresses) => make(from.range, JSON.parse(JSON.stringify(from)));
const v4 = (from: VirtualAddresses, key: string) => from.assign(key)?.v4.toString();

t.test("fixed places", async t => {
  const addresses = make();
  t.equal(addresses.device.v4.toString(), "198.18.0.1");
  t.equal(addresses.device.v6.toString(), "fd12:3456:789a::1");
  t.equal(addresses.dns.v4.toString(), "198.18.0.2");
  t.equal(addresses.dns.v6.toString(), "fd12:3456:789a::2");
});

t.test("the same key has the same address on every machine, whatever else there is", async t => {
  const [a, b] = [make(), make()];
  for (let i = 0; i < 50; i++) b.assign(`other-${i}.ns`);
  t.equal(v4(a, "frontend.shop"), v4(b, "frontend.shop"));
  t.equal(v4(a, "frontend.shop"), "198.18.174.20", "and in every version: people write these down");
  const pair = a.assign("frontend.shop");
  t.equal((pair?.v6.w3 as number) & 0xffff, (pair?.v4.w3 as number) & 0xffff, "one index for both families");
  t.equal(
    v4(make(Prefix.from("10.9.0.0/16")), "frontend.shop"),
    "10.9.174.20",
    "and in every range of this size",
  );
});

t.test("stable over restarts and out-of-use times", async t => {
  const first = make();
  const keys = Array.from({ length: 2000 }, (_, i) => `svc-${i}.ns-${i % 7}`);
  const given = keys.map(key => v4(first, key));
  t.equal(new Set(given).size, keys.length, "all different");
  const second = reload(first);
  t.strictSame(
    [...keys].reverse().map(key => v4(second, key)),
    [...given].reverse(),
  );
  second.releaseOthers(new Set());
  const third = reload(second);
  for (let i = 0; i < 500; i++) third.assign(`new-${i}.ns`);
  t.strictSame(
    keys.map(key => v4(third, key)),
    given,
    "newcomers took none of theirs",
  );
});

t.test("what does not fit the range is forgotten, what collides too", async t => {
  const persisted = { "a.x": 5, "b.x": 5, "c.x": 0, "d.x": 1, "e.x": 2, "f.x": 14, "g.x": 15, "h.x": 1.5 };
  const addresses = make(Prefix.from("10.0.0.0/28"), persisted);
  t.equal(v4(addresses, "a.x"), "10.0.0.5");
  t.equal(v4(addresses, "f.x"), "10.0.0.14");
  const all = ["a.x", "b.x", "c.x", "d.x", "e.x", "f.x", "g.x", "h.x"].map(
    key => v4(addresses, key) as string,
  );
  t.equal(new Set(all).size, 8);
  for (const reserved of ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.15"])
    t.notOk(all.includes(reserved), reserved);
});

t.test("a freed address is the last to be given away, oldest first", async t => {
  const addresses = make(Prefix.from("10.0.0.0/28"));
  const names = Array.from({ length: 12 }, (_, i) => `s${i}.x`);
  const given = new Map(names.map(name => [name, v4(addresses, name)]));
  t.equal(new Set(given.values()).size, 12, "3 to 14: the range is full");
  t.equal(addresses.assign("more.x"), null, "exhausted");
  addresses.release("s4.x");
  addresses.release("s9.x");
  t.equal(v4(addresses, "new.x"), given.get("s4.x"), "longest out of use");
  t.equal(v4(addresses, "s9.x"), given.get("s9.x"), "the owner comes back");
  t.equal(addresses.assign("more.x"), null);

  addresses.release("s1.x");
  addresses.release("s0.x");
  const again = reload(addresses);
  for (const name of ["new.x", ...names.filter(name => !["s0.x", "s1.x", "s4.x"].includes(name))])
    again.assign(name);
  t.equal(v4(again, "other.x"), given.get("s1.x"), "the order of release survives a restart");
});

t.test("a random walk never gives one address to two keys", async t => {
  const addresses = make(Prefix.from("10.0.0.0/26"));
  let seed = 7;
  const random = (n: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return (seed >>> 8) % n;
  };
  const used = new Map<string, string>();
  for (let step = 0; step < 20_000; step++) {
    const key = `k${random(90)}.x`;
    if (random(2) === 0) {
      addresses.release(key);
      used.delete(key);
      continue;
    }
    const address = v4(addresses, key);
    if (address === undefined) {
      if (used.size !== 60) t.fail(`refused with ${used.size} of 60 in use`);
    } else {
      const before = used.get(key);
      if (before !== undefined && before !== address) t.fail("moved while in use");
      used.set(key, address);
    }
    if (new Set(used.values()).size !== used.size) t.fail("one address, two keys");
  }
  t.ok(used.size > 30);
});

t.test("the state that is kept is bounded", async t => {
  const addresses = make(Prefix.from("10.0.0.0/12"));
  for (let i = 0; i < 20_000; i++) {
    addresses.assign(`10.0.0.${i}@pods.x`);
    addresses.release(`10.0.0.${i}@pods.x`);
  }
  t.equal(Object.keys(addresses.toJSON()).length, 8192);
});

t.test("chooseServiceRange: the first candidate that nobody claims", async t => {
  const taken = (...texts: string[]) => texts.map(Prefix.from);
  const chosen = (...texts: string[]) =>
    chooseServiceRange(SERVICE_RANGES, taken(...texts)).range?.toString();
  t.equal(chosen(), "198.18.0.0/16");
  t.equal(chosen("192.168.1.0/24", "fd00::/8"), "198.18.0.0/16");
  t.equal(chosen("198.18.5.0/24"), "198.19.0.0/16", "inside");
  t.equal(chosen("198.18.0.0/15"), "246.246.0.0/16", "around");
  t.equal(chosen("198.18.0.1/32", "198.19.255.255/32", "246.246.0.0/16"), "100.127.0.0/16");
  t.equal(
    chosen("0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "196.0.0.0/6"),
    "198.18.0.0/16",
    "a full tunnel claims nothing",
  );
  t.match(
    chooseServiceRange([Prefix.from("10.8.0.0/16")], taken("0.0.0.0/0", "10.0.0.0/8")),
    { range: null, collision: { candidate: Prefix.from("10.8.0.0/16"), with: Prefix.from("10.0.0.0/8") } },
    "the collision is named",
  );
});

t.test("parseServiceRange", async t => {
  t.equal(parseServiceRange("10.77.3.9/16").toString(), "10.77.0.0/16");
  for (const text of [
    "",
    "x",
    "10.0.0.0/7",
    "10.0.0.0/29",
    "10.0.0.1",
    "fd00::/64",
    "127.0.0.0/8",
    "224.0.0.0/8",
    "0.0.0.0/8",
  ]) {
    t.throws(() => parseServiceRange(text), { code: "SERVICE_RANGE_INVALID", category: "user" }, text);
  }
  t.equal(Address.from("198.18.0.0").equals(RANGE.address), true);
});
