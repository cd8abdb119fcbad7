import t from "tap";
import { LinkedList, type Listed } from "../../src/base/index.js";

class Item implements Listed<Item> {
  listed: LinkedList<Item> | null = null;
  listNext: Item | null = null;
  listPrevious: Item | null = null;
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

const names = (list: LinkedList<Item>) => [...list].map(({ name }) => name).join("");

t.test("what comes is kept in order, what goes leaves no trace", async t => {
  const list = new LinkedList<Item>();
  const items = [..."abcde"].map(name => new Item(name));
  for (const item of items) list.add(item);
  t.equal(names(list), "abcde");
  const [a, b, c, , e] = items as [Item, Item, Item, Item, Item];
  for (const [gone, left] of [
    [c, "abde"],
    [a, "bde"],
    [e, "bd"],
  ] as const) {
    t.ok(list.remove(gone));
    t.equal(names(list), left);
    t.same([gone.listed, gone.listNext, gone.listPrevious], [null, null, null]);
    t.notOk(list.remove(gone), "once");
  }
  t.equal(list.first, b);
  list.add(a);
  t.equal(names(list), "bda", "at the end again");
  t.equal(list.count, 3);
});

t.test("an item of another list is left there", async t => {
  const [here, there] = [new LinkedList<Item>(), new LinkedList<Item>()];
  const item = new Item("a");
  there.add(item);
  t.notOk(here.remove(item));
  t.equal(names(there), "a");
});

t.test("a walk may remove the item at hand", async t => {
  const list = new LinkedList<Item>();
  for (const name of "abcd") list.add(new Item(name));
  const seen: string[] = [];
  for (const item of list) {
    seen.push(item.name);
    if (item.name !== "c") list.remove(item);
  }
  t.equal(seen.join(""), "abcd");
  t.equal(names(list), "c");
});
