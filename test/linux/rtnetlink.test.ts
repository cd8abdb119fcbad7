import { spawnSync } from "node:child_process";
import t, { type Test } from "tap";
import { Address, Prefix } from "../../src/base/index.js";
import {
  addAddress,
  addRoute,
  deleteAddress,
  deleteLink,
  deleteRoute,
  errnoOf,
  hasNetAdmin,
  listAddresses,
  listLinks,
  listRoutes,
  listRules,
  openMonitor,
  openTun,
  routeTo,
  setLink,
  sockets,
} from "../../src/linux/index.js";
import { enterNamespace, tunUnavailable } from "./in-namespace.js";

const V4 = Prefix.from("198.18.0.0/16");
const V6 = Prefix.from("fd12:3456:789a::/64");
const EEXIST = 17;
const ENODEV = 19;

if (enterNamespace(t, import.meta.url)) {
  const skip = tunUnavailable();

  /** A TUN device that is up, for one test. */
  const device = (t: Test): { name: string; index: number; fd: number } => {
    const { name, fd } = openTun({ name: "czctl%d", tso: false });
    t.teardown(() => sockets.close(fd));
    setLink(name, { up: true, linkLocal: false });
    return { name, fd, index: listLinks().find(link => link.name === name)!.index };
  };

  t.test("links: created, changed, listed, deleted", { skip }, async t => {
    const { name, index } = device(t);
    setLink(name, { mtu: 1380, txQueuePackets: 2000 });
    t.same(
      listLinks().find(link => link.name === name),
      { index, name, mtu: 1380, up: true, kind: "tun" },
    );
    t.match(
      listLinks().find(link => link.name === "lo"),
      { index: 1, up: true, kind: undefined },
    );
    setLink(name, { up: false });
    t.equal(listLinks().find(link => link.name === name)?.up, false);
    deleteLink(name);
    t.equal(
      listLinks().some(link => link.name === name),
      false,
    );
    deleteLink(name);
    t.throws(() => setLink(name, { up: true }), { code: "NO_SUCH_DEVICE", category: "environment" });
    t.equal(
      errnoBy(() => addRoute(V4, name)),
      ENODEV,
    );
  });

  t.test("addresses of both families, idempotent", { skip }, async t => {
    const { name, index } = device(t);
    const own = [
      { link: index, address: Address.from("198.18.0.1"), bits: 16 },
      { link: index, address: Address.from("fd12:3456:789a::1"), bits: 64 },
    ];
    for (const { address, bits } of [...own, ...own]) addAddress(name, address, bits);
    t.same(
      listAddresses().filter(each => each.link === index),
      own,
    );
    for (const { address, bits } of [...own, ...own]) deleteAddress(name, address, bits);
    t.same(
      listAddresses().filter(each => each.link === index),
      [],
      "and no link-local address has appeared",
    );
  });

  t.test("routes of both families", { skip }, async t => {
    const { name, index } = device(t);
    addAddress(name, Address.from("198.18.0.1"), 32);
    addAddress(name, Address.from("fd12:3456:789a::1"), 128);
    for (const prefix of [V4, V6]) {
      addRoute(prefix, name);
      const ours = listRoutes().filter(route => route.destination.equals(prefix));
      t.match(ours, [{ table: 254, type: "unicast", oif: index, gateway: undefined }]);
      t.equal(
        errnoBy(() => addRoute(prefix, name)),
        EEXIST,
      );
    }
    t.ok(
      listRoutes().some(route => route.table === 255 && route.type === "local" && route.oif === index),
      "the local table is listed too",
    );
    t.same(routeTo(Address.from("198.18.77.1")), { oif: index, source: Address.from("198.18.0.1") });
    t.same(routeTo(Address.from("fd12:3456:789a::99")), {
      oif: index,
      source: Address.from("fd12:3456:789a::1"),
    });
    t.equal(routeTo(Address.from("8.8.8.8")), "unreachable");
    t.equal(routeTo(Address.from("2001:4860::8888")), "unreachable");
    t.match(routeTo(Address.from("127.0.0.1")), { oif: 1 });

    for (const prefix of [V4, V6, V4, V6]) deleteRoute(prefix, name);
    t.notOk(listRoutes().some(route => route.destination.equals(V4) || route.destination.equals(V6)));
    t.equal(routeTo(Address.from("198.18.77.1")), "unreachable");
  });

  t.test("routes of others: gateways, next hops, reject routes, other tables", { skip }, async t => {
    const { name, index } = device(t);
    addAddress(name, Address.from("10.9.0.1"), 24);
    const ip = (...args: string[]): number | null => spawnSync("ip", args).status;
    if (ip("-V") !== 0) return t.pass("", { skip: "no ip(8) to make them with" });
    ip("route", "add", "default", "via", "10.9.0.2", "metric", "50");
    ip("route", "add", "10.1.0.0/16", "nexthop", "via", "10.9.0.3", "nexthop", "via", "10.9.0.4");
    ip("route", "add", "10.2.0.0/16", "dev", name, "table", "5000");
    for (const type of ["unreachable", "prohibit", "blackhole"]) {
      ip("route", "add", type, "10.3.0.0/16");
      t.match(find("10.3.0.0/16"), [{ type, oif: undefined }]);
      t.equal(routeTo(Address.from("10.3.0.1")), "unreachable", type);
      ip("route", "del", "10.3.0.0/16");
    }
    t.match(find("0.0.0.0/0"), [{ oif: index, gateway: Address.from("10.9.0.2"), metric: 50 }]);
    t.match(find("10.1.0.0/16"), [
      { oif: index, gateway: Address.from("10.9.0.3") },
      { oif: index, gateway: Address.from("10.9.0.4") },
    ]);
    t.match(find("10.2.0.0/16"), [{ table: 5000, oif: index }]);
    t.match(routeTo(Address.from("8.8.8.8")), { oif: index, gateway: Address.from("10.9.0.2") });
    return;
    function find(prefix: string): unknown[] {
      return listRoutes().filter(route => route.destination.equals(Prefix.from(prefix)));
    }
  });

  t.test("routing rules, as wg-quick makes them", async t => {
    const ip = (...args: string[]): number | null => spawnSync("ip", args).status;
    if (ip("rule") !== 0) return t.comment("skipped: no ip program");
    const before = listRules();
    t.match(before, [
      { family: 4, priority: 0, action: "lookup", table: 255, not: false },
      { family: 4, priority: 32_766, table: 254 },
      { family: 4, priority: 32_767, table: 253 },
    ]);
    ip("rule", "add", "not", "fwmark", "51820", "table", "51820", "pref", "100");
    ip("rule", "add", "table", "main", "suppress_prefixlength", "0", "pref", "99");
    ip("-6", "rule", "add", "from", "fd00::/8", "iif", "lo", "prohibit", "pref", "98");
    const added = listRules().filter(rule => !before.some(({ priority }) => priority === rule.priority));
    t.match(added, [
      { family: 4, priority: 99, table: 254, suppressPrefixLength: 0 },
      { family: 4, priority: 100, table: 51_820, mark: 51_820, not: true },
      { family: 6, priority: 98, action: "prohibit", from: Prefix.from("fd00::/8"), iif: "lo" },
    ]);
  });

  t.test("a dump larger than one receive call is complete", { skip }, async t => {
    const { name } = device(t);
    const count = 1200;
    for (let i = 0; i < count; i++) addRoute(Prefix.host(Address.from("198.18.0.0").plus(i)), name);
    t.equal(listRoutes().filter(route => V4.contains(route.destination.address)).length, count);
  });

  t.test("the monitor tells what kind of thing changed", { skip }, async t => {
    const monitor = openMonitor();
    t.same([...monitor.read()], []);
    const { name } = device(t);
    t.ok(monitor.read().has("link"));
    addAddress(name, Address.from("198.18.0.1"), 32);
    t.ok(monitor.read().has("address"));
    addRoute(V4, name);
    t.same([...monitor.read()], ["route"]);

    const seen = new Promise<ReadonlySet<string>>(resolve => monitor.watch(resolve));
    deleteRoute(V4, name);
    t.same([...(await seen)], ["route"]);
    monitor.close();
  });

  t.test("more changes than the kernel queues count as everything", { skip }, async t => {
    const monitor = openMonitor();
    t.teardown(() => monitor.close());
    const { name } = device(t);
    monitor.read();
    for (let i = 0; i < 1500; i++) addRoute(Prefix.host(Address.from("198.18.0.0").plus(i)), name);
    t.same([...monitor.read()].sort(), ["address", "link", "route"]);
    t.same([...monitor.read()], []);
  });

  t.test("hasNetAdmin in a namespace of our own", async t => t.equal(hasNetAdmin(), true));
}

/** The errno that `action` failed with; 0 when it did not. */
function errnoBy(action: () => void): number {
  try {
    action();
  } catch (error) {
    return errnoOf(error);
  }
  return 0;
}
