/** Replay window, cryptokey routing, index table and schedule against naive versions of themselves. */
import t from "tap";
import { Address, Arena, NEVER, Prefix } from "../../src/base/index.js";
import { AllowedIps } from "../../src/wireguard/allowed-ips.js";
import { IndexTable } from "../../src/wireguard/index-table.js";
import { ReplayWindow } from "../../src/wireguard/replay.js";
import { Schedule, type Scheduled } from "../../src/wireguard/schedule.js";
import { SeededRandom } from "./world.js";

const WINDOW = 8128;

t.test("RFC 6479: the replay window against a naive set, 3 million steps", async t => {
  for (const base of [0, 2 ** 32 - 5000, 2 ** 48]) {
    const random = new SeededRandom(base % 1000);
    const window = new ReplayWindow();
    let seen = new Set<number>();
    let greatest = 0;
    let top = base;
    for (let step = 0; step < 1_000_000; step++) {
      const kind = random.uint32() % 1000;
      if (kind < 500) top++;
      else if (kind < 503) top += random.uint32() % 20_000;
      const counter = Math.max(0, kind % 4 === 0 ? top - (random.uint32() % 9000) : top);
      const expected = !seen.has(counter) && !(counter < greatest && greatest - counter > WINDOW);
      if (expected) seen.add(counter);
      greatest = Math.max(greatest, counter);
      if (window.accept(counter) !== expected) {
        t.fail(`base ${base}, step ${step}, counter ${counter}, greatest ${greatest}`);
        return;
      }
      if (seen.size > 100_000) seen = new Set([...seen].filter(value => greatest - value <= WINDOW));
    }
  }
  t.pass();
});

t.test("RFC 6479: several counters in a row are one after the other", async t => {
  const random = new SeededRandom(6);
  for (const base of [0, 2 ** 32 - 3000, 2 ** 48]) {
    const [one, several] = [new ReplayWindow(), new ReplayWindow()];
    for (const window of [one, several]) window.accept(base);
    for (let step = 0; step < 300; step++) {
      const count = 1 + (random.uint32() % (step % 20 === 0 ? 9000 : 64));
      for (let i = 1; i <= count; i++) one.accept(several.greatest + i);
      several.acceptNext(count);
      t.equal(several.greatest, one.greatest);
      // Some are seen again, some are not yet.
      const from = Math.max(0, one.greatest - WINDOW - 100);
      for (let i = 0; i < 50; i++) {
        const counter = from + (random.uint32() % (WINDOW + 400));
        if (several.accept(counter) !== one.accept(counter)) t.fail(`base ${base}, counter ${counter}`);
      }
    }
  }
});

t.test("RFC 6479: edges", async t => {
  const window = new ReplayWindow();
  t.ok(window.accept(0));
  t.notOk(window.accept(0));
  t.ok(window.accept(WINDOW));
  t.notOk(window.accept(0));
  t.ok(window.accept(1));
  t.ok(window.accept(2 ** 53 - 2 ** 13 - 2));
  t.notOk(window.accept(WINDOW + 1));
  t.ok(window.accept(2 ** 53 - 2 ** 13 - 2 - WINDOW));
});

t.test("allowed IPs against a list, with inserts and removals", async t => {
  const arena = new Arena(4096);
  const random = new SeededRandom(77);
  const trie = new AllowedIps<number>(arena);
  const list = new Map<string, { prefix: Prefix; owner: number }>();
  // Few distinct bits, so that prefixes nest and collide.
  const address = (v6: boolean): Address => {
    const word = (): number => (random.uint32() % 3) * 0x40000001 + (random.uint32() % 4);
    return v6 ? new Address(6, word(), word(), word(), word()) : Address.v4(word() >>> 0);
  };
  let lookups = 0;
  for (let step = 0; step < 6000; step++) {
    const target = address(step % 2 === 0);
    const prefix = new Prefix(target, random.uint32() % (target.bits + 1));
    if (random.uint32() % 3 !== 0) {
      const owner = 1 + (random.uint32() % 50);
      const before = list.get(prefix.toString())?.owner ?? null;
      if (trie.insert(prefix, owner) !== before) t.fail(`step ${step}`);
      list.set(prefix.toString(), { prefix, owner });
    } else {
      const known = [...list.values()];
      const chosen = step % 5 === 0 ? prefix : (known[random.uint32() % known.length]?.prefix ?? prefix);
      trie.remove(chosen);
      list.delete(chosen.toString());
    }
    for (let i = 0; i < 5; i++) {
      const wanted = address(random.uint32() % 2 === 0);
      let best: { prefix: Prefix; owner: number } | null = null;
      for (const entry of list.values()) {
        if (entry.prefix.contains(wanted) && (best === null || entry.prefix.bits > best.prefix.bits))
          best = entry;
      }
      wanted.write(arena.u8, 101);
      const found = wanted.family === 4 ? trie.lookup4(101) : trie.lookup6(101);
      if (found !== (best?.owner ?? null) || trie.lookup(wanted) !== found) {
        t.fail(`step ${step}: ${wanted} is ${found}, not ${best?.owner}`);
        return;
      }
      lookups++;
    }
  }
  for (const { prefix } of list.values()) trie.remove(prefix);
  t.equal(trie.lookup(Address.from("0.0.0.0")), null);
  t.equal(lookups, 30_000);
});

t.test("allowed IPs: both default routes, and 10,000 hosts", async t => {
  const trie = new AllowedIps<number>(new Arena(64));
  trie.insert(Prefix.from("0.0.0.0/0"), -4);
  trie.insert(Prefix.from("::/0"), -6);
  for (let i = 0; i < 10_000; i++) trie.insert(Prefix.host(Address.from("10.0.0.0").plus(i)), i);
  t.equal(trie.lookup(Address.from("10.0.39.15")), 9999);
  t.equal(trie.lookup(Address.from("10.0.39.16")), -4);
  t.equal(trie.lookup(Address.from("::ffff:10.0.0.1")), -6, "a mapped address is an IPv6 one");
});

t.test("index table against a map", async t => {
  const random = new SeededRandom(3);
  const table = new IndexTable<string>(random);
  const map = new Map<number, string>();
  for (let step = 0; step < 200_000; step++) {
    const known = random.uint32() % 3;
    if (map.size < 5 || (known === 0 && map.size < 3000)) {
      const owner = `${step}`;
      const index = table.allocate(owner);
      if (map.has(index)) t.fail("an index twice");
      map.set(index, owner);
    } else {
      const index = map.keys().next().value as number;
      if (table.get(index) !== map.get(index)) t.fail(`step ${step}`);
      if (known === 1) {
        table.release(index);
        table.release(index);
        map.delete(index);
        if (table.get(index) !== null) t.fail(`released at step ${step}`);
      }
    }
  }
  for (const [index, owner] of map) if (table.get(index) !== owner) t.fail(`${index}`);
  t.equal(table.size, map.size);
});

t.test("index table: worker numbers in the top bits", async t => {
  const table = new IndexTable<number>(new SeededRandom(3), { id: 6, bits: 3 });
  for (let i = 0; i < 100; i++) {
    const index = table.allocate(i);
    if (index >>> 29 !== 6 || table.get(index) !== i) t.fail(`${index}`);
  }
  t.throws(() => new IndexTable(new SeededRandom(3), { id: 8, bits: 3 }), RangeError);
  t.throws(() => new IndexTable(new SeededRandom(3), { id: 0, bits: 17 }), RangeError);
});

t.test("schedule: always gives out the earliest, wherever it was moved", async t => {
  const random = new SeededRandom(8);
  const schedule = new Schedule<Scheduled>();
  const items: Scheduled[] = Array.from({ length: 300 }, () => ({ wakeAt: NEVER, heapSlot: -1 }));
  for (let step = 0; step < 100_000; step++) {
    const item = items[random.uint32() % items.length] as Scheduled;
    const kind = random.uint32() % 5;
    if (kind < 3) schedule.wakeBy(item, random.uint32() % 100_000);
    else if (kind === 3) schedule.remove(item);
    const earliest = Math.min(...(step % 50 === 0 ? items.map(each => each.wakeAt) : [schedule.next]));
    if (schedule.next !== earliest) t.fail(`step ${step}`);
    if (kind === 4) {
      const due = schedule.takeDue(earliest);
      if (due === null ? earliest !== NEVER : due.wakeAt !== NEVER || due.heapSlot !== -1)
        t.fail(`step ${step}`);
    }
  }
  let last = -1;
  for (let due = schedule.next; due !== NEVER; due = schedule.next) {
    if (due < last) t.fail("out of order");
    last = due;
    t.equal(schedule.takeDue(due - 1), null);
    schedule.takeDue(due);
  }
});
