import t from "tap";
import type { Target } from "../../src/api/index.js";
import { Address, formatEndpoint } from "../../src/base/index.js";
import { RouteTable } from "../../src/dataplane/route-table.js";
import { TargetTable } from "../../src/dataplane/target-table.js";

const WEB = Address.from("10.96.0.7");
const endpoints = ["10.244.0.1", "10.244.0.2", "10.244.0.3"].map(address => ({ address, port: 8080 }));
const target = (over: Partial<Target>): Target => ({
  address: WEB.toString(),
  protocol: "tcp",
  port: 80,
  name: "web.shop",
  direct: false,
  endpoints,
  ...over,
});

t.test("a target is found by address, port and protocol, and only in its grant", async t => {
  const table = new TargetTable();
  table.replace([target({}), target({ port: 81 })], { all: [0, 1], narrow: [1] });
  t.equal(table.lookup("all", "tcp", WEB, 80)?.name, "web.shop");
  t.equal(table.lookup("narrow", "tcp", WEB, 80), undefined, "not granted");
  t.equal(table.lookup("narrow", "tcp", WEB, 81)?.name, "web.shop");
  t.equal(table.lookup("all", "udp", WEB, 80), undefined, "another protocol");
  t.equal(table.lookup("all", "tcp", Address.from("10.96.0.8"), 80), undefined, "another address");
  t.equal(table.lookup("", "tcp", WEB, 80), undefined, "no grant");
});

t.test("endpoints take turns, also across a new table", async t => {
  const table = new TargetTable();
  const first = () => formatEndpoint(table.lookup("all", "tcp", WEB, 80)?.candidates(0)[0] as never);
  table.replace([target({})], { all: [0] });
  t.same([first(), first()], ["10.244.0.1:8080", "10.244.0.2:8080"]);
  table.replace([target({})], { all: [0] });
  t.same([first(), first()], ["10.244.0.3:8080", "10.244.0.1:8080"]);
});

t.test("a cluster address comes first, and endpoints stand in for it and for one another", async t => {
  const table = new TargetTable();
  table.replace([target({ direct: true })], { all: [0] });
  const direct = table.lookup("all", "tcp", WEB, 80);
  t.same(direct?.candidates(0).map(formatEndpoint), [
    "10.96.0.7:80",
    "10.244.0.1:8080",
    "10.244.0.2:8080",
    "10.244.0.3:8080",
  ]);
  table.replace([target({ endpoints: [] })], { all: [0] });
  const empty = table.lookup("all", "tcp", WEB, 80);
  t.same(empty?.candidates(0), []);
});

t.test("a cluster address that was silent comes last for half a minute, also in a new table", async t => {
  const table = new TargetTable();
  const place = (now: number) =>
    table
      .lookup("all", "tcp", WEB, 80)
      ?.candidates(now)
      .findIndex(({ port }) => port === 80);
  table.replace([target({ direct: true })], { all: [0] });
  table.lookup("all", "tcp", WEB, 80)?.avoidDirect(1_000);
  t.equal(place(30_999), 3);
  table.replace([target({ direct: true })], { all: [0] });
  t.equal(place(30_999), 3);
  t.equal(place(31_000), 0);
});

t.test("routes: consumed ports only", async t => {
  const table = new RouteTable();
  const virtual = Address.from("198.18.0.7");
  const ports = [
    { protocol: "tcp" as const, port: 80 },
    { protocol: "udp" as const, port: 53 },
  ];
  table.replace([{ virtual: "198.18.0.7", target: "10.96.0.7", name: "web.shop", ports }]);
  t.equal(table.service("tcp", virtual, 80)?.target.toString(), "10.96.0.7");
  t.equal(table.service("tcp", virtual, 53), undefined);
  t.equal(table.service("udp", virtual, 53)?.name, "web.shop");
  table.replace([]);
  t.equal(table.lookup(virtual), undefined);
});
