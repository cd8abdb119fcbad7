/** The network around a running daemon changes: VPNs claim the service range, the way to the agent moves. */
import { setTimeout as sleep } from "node:timers/promises";
import t from "tap";
import type { DaemonStatus } from "../../src/api/index.js";
import { Address, Prefix } from "../../src/base/index.js";
import {
  addAddress,
  addRoute,
  deleteRoute,
  listAddresses,
  listRoutes,
  openTun,
  setLink,
} from "../../src/linux/index.js";
import { enterNamespace, tunUnavailable } from "../linux/in-namespace.js";
import { credential, eventually, Laptop, prepare, service, snapshot } from "./laptop.js";

/** A device of somebody else's, for as long as this process lives. */
function somebody(name: string, address: string): string {
  const device = openTun({ name, tso: false });
  setLink(device.name, { up: true });
  addAddress(device.name, Address.from(address), 32);
  return device.name;
}

function ownRoutes(): string[] {
  return listRoutes()
    .filter(({ table, destination }) => table === 254 && destination.address.family === 4)
    .map(({ destination }) => destination.toString());
}

const ranges = async (laptop: Laptop): Promise<string | undefined> =>
  (await laptop.json<DaemonStatus>("status")).device.ranges[0];

const unavailable = tunUnavailable();
if (unavailable !== false) t.pass("daemon", { skip: unavailable });
else if (enterNamespace(t, import.meta.url, ["-m", "--propagation", "private"])) {
  const vpn = somebody("vpn0", "10.200.0.2");
  const lan = somebody("lan0", "192.0.2.2");

  t.test("a VPN claims the range: names move, what is open goes on until it ends", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await prepare(laptop);
    await laptop.czctl(["up"]);
    const before = await ranges(laptop);
    t.equal(before, "198.18.0.0/16");
    // The same prefix, without EEXIST: whoever adds a route after us must not stumble over ours.
    addRoute(Prefix.from("198.18.0.0/16"), vpn);
    addRoute(Prefix.from("198.18.0.0/15"), vpn);
    await eventually("moved", async () => (await ranges(laptop)) === "246.246.0.0/16");
    await eventually("names moved", () => /^246\.246\.\d+\.\d+ frontend\.shop$/m.test(laptop.hosts));
    t.notMatch(laptop.hosts, "198.18.");
    t.match(laptop.log, /the service range 198\.18\.0\.0\/16 overlaps 198\.18\.0\.0\/1[56] on vpn0; moving/);
    t.ok(ownRoutes().includes("246.246.0.0/16"));
    // The fake data plane has one flow, to 198.18.0.3.
    t.ok(ownRoutes().includes("198.18.0.3/32"), "what is open stays routed");
    const addresses = listAddresses().map(({ address }) => address.toString());
    t.ok(addresses.includes("198.18.0.1") && addresses.includes("246.246.0.1"));
    t.ok(laptop.told.some(message => message.type === "dns" && message.addresses[0] === "246.246.0.2"));

    laptop.write("fake/no-flows", "");
    await eventually("the old address is forgotten", () => !ownRoutes().includes("198.18.0.3/32"));
    await eventually(
      "and ours in it",
      () => !listAddresses().some(each => `${each.address}` === "198.18.0.1"),
    );
    const routes = laptop.told.findLast(({ type }) => type === "routes");
    t.notMatch(JSON.stringify(routes), "198.18.");
    await laptop.czctl(["down"]);
    for (const range of ["198.18.0.0/16", "198.18.0.0/15"]) deleteRoute(Prefix.from(range), vpn);
    t.strictSame(ownRoutes(), [], "only ours were ours");
  });

  t.test("a range that the user chose stays, with a warning that names the route", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await prepare(laptop);
    await laptop.czctl(["up", "--service-range", "198.51.0.0/16"]);
    addRoute(Prefix.from("198.51.100.0/24"), vpn);
    const warnings = async (): Promise<string[]> => (await laptop.json<DaemonStatus>("status")).warnings;
    const expected = "the service range 198.51.0.0/16 overlaps 198.51.100.0/24 on vpn0";
    await eventually("a warning", async () => (await warnings()).some(text => text.startsWith(expected)));
    t.equal(await ranges(laptop), "198.51.0.0/16");
    deleteRoute(Prefix.from("198.51.100.0/24"), vpn);
    await eventually("no warning", async () => (await warnings()).length === 0);
    addRoute(Prefix.from("198.51.100.0/24"), vpn);
    await laptop.czctl(["down"]);
    const refused = await laptop.czctl(["up", "--service-range", "198.51.0.0/16"]);
    t.equal(refused.code, 3);
    t.match(refused.stderr, `${expected}, which this machine already routes`);
    deleteRoute(Prefix.from("198.51.100.0/24"), vpn);
  });

  t.test("the way to the agent: each change is one handshake, others' changes are none", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    laptop.sendEvents(snapshot(service("frontend", "shop", "10.96.0.10")));
    const device = credential("team");
    device.agent.endpoint = "203.0.113.10:51820";
    await laptop.czctl(["space", "add", laptop.writeCredential(device)]);
    const everything = Prefix.from("0.0.0.0/0");
    addRoute(everything, lan);
    await laptop.czctl(["up"]);
    const changes = (): number => laptop.told.filter(({ type }) => type === "network-changed").length;
    addRoute(Prefix.from("172.16.0.0/12"), vpn);
    await sleep(500);
    t.equal(changes(), 0, "a route to elsewhere");
    addRoute(Prefix.from("203.0.113.0/24"), vpn);
    await eventually("through the VPN", () => changes() === 1);
    deleteRoute(Prefix.from("203.0.113.0/24"), vpn);
    await eventually("and back", () => changes() === 2);
    deleteRoute(everything, lan);
    await eventually("no way", () => laptop.log.includes("there is no route to the agent now"));
    t.equal(changes(), 2);
    addRoute(everything, lan);
    await eventually("a way again", () => changes() === 3);
    deleteRoute(everything, lan);
  });
}
