/** The daemon's life by the real command line, in a network namespace, with a fake data plane. */
import { existsSync } from "node:fs";
import t from "tap";
import type { DaemonStatus, Route, ServiceRow, UpSummary } from "../../src/api/index.js";
import { listLinks, listRoutes } from "../../src/linux/index.js";
import { enterNamespace, tunUnavailable } from "../linux/in-namespace.js";
import { credential, eventually, HOSTS, Laptop, service, snapshot } from "./laptop.js";

const FRONTEND = service("frontend", "shop", "10.96.0.10");
const ORDERS = service("orders", "shop", "10.96.0.11", 5432);

function device(): string | undefined {
  return listLinks().find(({ name }) => name.startsWith("czctl"))?.name;
}

function lastRoutes(laptop: Laptop): Route[] {
  const message = laptop.told.findLast(({ type }) => type === "routes");
  return message?.type === "routes" ? message.routes : [];
}

async function connected(laptop: Laptop): Promise<void> {
  laptop.sendEvents(snapshot(FRONTEND, ORDERS));
  await laptop.czctl(["space", "add", laptop.writeCredential(credential("team"))]);
}

const unavailable = tunUnavailable();
if (unavailable !== false) t.pass("daemon", { skip: unavailable });
else if (enterNamespace(t, import.meta.url, ["-m", "--propagation", "private"])) {
  t.test("up, use, down", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await connected(laptop);

    const up = await laptop.czctl(["up"]);
    t.equal(up.code, 0, up.stderr);
    t.match(
      up.stdout,
      /^Connected to team \(agent 127\.0\.0\.1:9\) in \d+ ms\.\n2 of 2 services at 198\.18\.0\.0\/16/,
    );
    t.equal(device(), "czctl0");
    const routed = listRoutes().filter(({ table, type }) => table === 254 && type === "unicast");
    t.strictSame(
      routed.map(({ destination }) => destination.toString()).filter(text => !text.startsWith("fd")),
      ["198.18.0.0/16"],
    );

    const rows = await laptop.json<ServiceRow[]>("services", "list");
    const address = rows[0]?.addresses[0];
    t.strictSame(
      rows.map(({ name, consumed }) => [name, consumed]),
      [
        ["frontend", true],
        ["orders", true],
      ],
    );
    t.match(
      laptop.hosts,
      `${address} frontend.shop\n${address} frontend.shop.svc\n${address} frontend.shop.svc.cluster.local\n`,
    );
    t.match(lastRoutes(laptop)[0], { virtual: address, target: "10.96.0.10", name: "frontend.shop" });

    const status = await laptop.json<DaemonStatus>("status");
    t.match(status, {
      space: "team",
      link: "connected",
      problem: null,
      device: { name: "czctl0" },
      warnings: [],
    });
    t.match((await laptop.czctl(["status", "--verbose"])).stdout, /fake\.drops +3/);

    const flows = await laptop.czctl(["trace-connections", "--once"]);
    t.match(flows.stdout, /ESTABLISHED +2\.0 KiB +10 B +1\.3 ms +1 min 5 s/);
    t.notMatch(flows.stdout, "\u001b", "names cannot steer the terminal");

    const second = await laptop.czctl(["up"]);
    t.equal(second.code, 2);
    t.match(second.stderr, /^czctl: czctl is already running \(process \d+\)\n {2}See /);
    t.equal((await laptop.czctl(["cleanup"])).code, 2, "cleanup refuses while it runs");

    const down = await laptop.czctl(["down"]);
    t.equal(down.code, 0, down.stderr);
    t.equal(device(), undefined);
    t.equal(laptop.hosts, HOSTS, "byte for byte");
    t.notOk(existsSync(laptop.env.CZCTL_SOCKET as string));
    t.match((await laptop.czctl(["down"])).stdout, "not running");
  });

  t.test("changes of catalog, rules and primary namespace arrive everywhere", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await connected(laptop);
    await laptop.czctl(["up"]);

    laptop.sendEvents({ type: "upsert", service: service("cart", "shop", "10.96.0.12") });
    await eventually("cart in the hosts file", () => laptop.hosts.includes(" cart.shop\n"));
    t.ok(lastRoutes(laptop).some(({ name }) => name === "cart.shop"));

    laptop.sendEvents({ type: "remove", namespace: "shop", name: "cart" });
    await eventually("cart is gone", () => !laptop.hosts.includes("cart"));

    await laptop.czctl(["consume", "apply", "-"], { input: "# all but one\n*.shop\n!orders.shop\n" });
    await eventually("orders is gone", () => !laptop.hosts.includes("orders"));
    t.equal(lastRoutes(laptop).length, 1);
    t.equal((await laptop.czctl(["consume", "view"])).stdout, "# all but one\n*.shop\n!orders.shop\n");
    t.strictSame(
      (await laptop.json<ServiceRow[]>("consume", "list")).map(({ name }) => name),
      ["frontend"],
    );

    await laptop.czctl(["primary-namespace", "select", "shop"]);
    await eventually("the bare name", () => / frontend\n/.test(laptop.hosts));
    await laptop.czctl(["primary-namespace", "clear"]);
    await eventually("no bare name", () => !/ frontend\n/.test(laptop.hosts));

    await laptop.czctl(["consume", "clear"]);
    await eventually("nothing in the hosts file", () => laptop.hosts === HOSTS);
  });

  t.test("a killed data plane comes back on the same device", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await connected(laptop);
    await laptop.czctl(["up"]);
    const before = await laptop.json<DaemonStatus>("status");
    process.kill(before.dataplane?.pid as number, "SIGKILL");
    await eventually("another data plane", async () => {
      const { dataplane, link } = await laptop.json<DaemonStatus>("status");
      return link === "connected" && dataplane !== null && dataplane.pid !== before.dataplane?.pid;
    });
    const after = await laptop.json<DaemonStatus>("status");
    t.equal(after.dataplaneRestarts, 1);
    t.equal(after.pid, before.pid);
    t.equal(device(), "czctl0");
    t.match(laptop.hosts, "frontend.shop", "names stay meanwhile");
  });

  t.test(
    "a killed daemon comes back with the same addresses; its data plane and device do not stay",
    async t => {
      const laptop = new Laptop();
      t.teardown(() => laptop.close());
      await connected(laptop);
      await laptop.czctl(["up"]);
      const before = await laptop.json<DaemonStatus>("status");
      const hosts = laptop.hosts;
      process.kill(before.pid, "SIGKILL");
      await eventually("another daemon", async () => {
        const { code, stdout } = await laptop.czctl(["status", "--json"]);
        return code === 0 && (JSON.parse(stdout) as DaemonStatus).link === "connected";
      });
      const after = await laptop.json<DaemonStatus>("status");
      t.not(after.pid, before.pid);
      t.equal(after.supervisorPid, before.supervisorPid);
      t.strictSame(after.device, before.device);
      t.equal(laptop.hosts, hosts);
      t.notOk(
        existsSync(`/proc/${before.dataplane?.pid}/cmdline`) &&
          before.dataplane?.pid === after.dataplane?.pid,
      );
      t.match(laptop.log, /warn {2}the daemon died; starting it again how=SIGKILL/);
    },
  );

  t.test("a killed supervisor takes everything with it", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await connected(laptop);
    await laptop.czctl(["up"]);
    const { supervisorPid } = await laptop.json<DaemonStatus>("status");
    process.kill(supervisorPid, "SIGKILL");
    await eventually("nothing left", () => device() === undefined && laptop.hosts === HOSTS);
    t.equal((await laptop.czctl(["status"])).code, 4);
    t.equal((await laptop.czctl(["up"])).code, 0, "up right after that");
  });

  t.test("what a crash of everything leaves, cleanup removes", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await connected(laptop);
    await laptop.czctl(["up"]);
    const { supervisorPid, pid, dataplane } = await laptop.json<DaemonStatus>("status");
    for (const each of [supervisorPid, pid, dataplane?.pid as number]) process.kill(each, "SIGKILL");
    const { removed } = await laptop.json<{ removed: string[] }>("cleanup");
    t.strictSame(removed.slice(0, 2), [
      `section in ${laptop.hostsFile}`,
      `socket ${laptop.env.CZCTL_SOCKET}`,
    ]);
    t.equal(laptop.hosts, HOSTS);
    t.match((await laptop.czctl(["cleanup"])).stdout, "Nothing to clean up.");
  });

  t.test("a data plane that cannot start is the reason that up gives; nothing stays", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await connected(laptop);
    laptop.write("fake/failure", "ADDRESS_IN_USE");
    const up = await laptop.czctl(["up", "--json"]);
    t.equal(up.code, 4);
    t.match(JSON.parse(up.stdout), {
      error: { code: "ADDRESS_IN_USE", message: "it failed", hint: "Mend it." },
    });
    t.equal(device(), undefined);
    t.equal(laptop.hosts, HOSTS);
  });

  t.test("a data plane that breaks the contract is killed", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await connected(laptop);
    laptop.write("fake/garbage", "");
    const up = laptop.czctl(["up"]);
    await eventually(
      "the violation in the log",
      () => existsSync(`${laptop.stateDir}/daemon.log`) && laptop.log.includes("certainly not JSON"),
    );
    await laptop.czctl(["down"]);
    t.not((await up).code, 0);
  });

  t.test("up of an agent that is not there says so after ten seconds, and leaves nothing", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await connected(laptop);
    laptop.write("fake/silent", "");
    const up = await laptop.czctl(["up"]);
    t.equal(up.code, 4);
    t.equal(up.stderr.split("\n")[0], "czctl: nothing listens at 127.0.0.1:9 (UDP)", "ICMP tells");
    t.equal(device(), undefined);
    t.equal(laptop.hosts, HOSTS);
    t.match((await laptop.czctl(["down"])).stdout, "not running");
  });

  t.test("two spaces: select switches a running daemon, the one in use is not removed", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await connected(laptop);
    await laptop.czctl(["space", "add", laptop.writeCredential(credential("other", 10))]);
    await laptop.czctl(["up"]);
    t.match(await laptop.json("space", "remove", "team"), { error: { code: "SPACE_IN_USE" } });
    t.match(await laptop.json("space", "select", "other"), { name: "other", selected: true });
    await eventually("connected to the other", async () => {
      const { space, link } = await laptop.json<DaemonStatus>("status");
      return space === "other" && link === "connected";
    });
    const keys = laptop.told.flatMap(message => (message.type === "start" ? [message.privateKey] : []));
    t.equal(new Set(keys).size, 2, "the new data plane has the other key");
    t.match(await laptop.json("space", "remove", "team"), { name: "team" });
    const summary = await laptop.json<UpSummary>("restart");
    t.equal(summary.space, "other");
  });

  t.test("--foreground: stays, says what it does, ends on SIGTERM", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await connected(laptop);
    const child = laptop.start(["up", "--foreground"]);
    let stderr = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    await eventually("names", () => laptop.hosts.includes("frontend.shop"));
    const code = new Promise(resolve => child.once("close", resolve));
    child.kill("SIGTERM");
    t.equal(await code, 0);
    t.match(stderr, /info {2}device ready name=czctl0/);
    t.equal(device(), undefined);
    t.equal(laptop.hosts, HOSTS);
  });

  t.test("a range that a route claims: another is taken; the user's own is refused", async t => {
    const laptop = new Laptop();
    const first = new Laptop();
    t.teardown(() => Promise.all([first.close(), laptop.close()]));
    await connected(first);
    await connected(laptop);
    await first.czctl(["up"]);
    const refused = await laptop.czctl(["up", "--service-range", "198.18.4.0/24"]);
    t.equal(refused.code, 3);
    t.match(
      refused.stderr,
      "czctl: the service range 198.18.4.0/24 overlaps 198.18.0.0/16, which this machine already routes",
    );
    const summary = await laptop.json<UpSummary>("up");
    t.equal(summary.ranges[0], "198.19.0.0/16");
    t.equal(summary.device, "czctl1");
  });
}
