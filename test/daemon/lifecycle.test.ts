/** Using the daemon by the real command line, in a network namespace, with a fake data plane. */
import { once } from "node:events";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import t from "tap";
import {
  CONTROL_SOCKET,
  type DaemonStatus,
  type Route,
  readSettings,
  type ServiceRow,
  type UpSummary,
} from "../../src/api/index.js";
import { callDaemon } from "../../src/cli/client.js";
import { listRoutes } from "../../src/linux/index.js";
import { enterNamespace, tunUnavailable } from "../linux/in-namespace.js";
import { credential, device, eventually, HOSTS, Laptop, prepare, service } from "./laptop.js";

function lastRoutes(laptop: Laptop): Route[] {
  const message = laptop.told.findLast(({ type }) => type === "routes");
  return message?.type === "routes" ? message.routes : [];
}

/** Supervisors of the laptop that are alive. */
function supervisors(laptop: Laptop): string[] {
  return readdirSync("/proc").filter(pid => {
    try {
      const read = (name: string): string => readFileSync(`/proc/${pid}/${name}`, "utf8");
      return read("cmdline").includes("supervisor-main.js") && read("environ").includes(laptop.stateDir);
    } catch {
      return false;
    }
  });
}

const unavailable = tunUnavailable();
if (unavailable !== false) t.pass("daemon", { skip: unavailable });
else if (enterNamespace(t, import.meta.url, ["-m", "--propagation", "private"])) {
  t.test("up, use, down", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await prepare(laptop);

    const up = await laptop.czctl(["up"]);
    t.equal(up.code, 0, up.stderr);
    t.match(
      up.stdout,
      /^Connected to team \(agent 127\.0\.0\.1:9\) in \d+ m?s\.\n2 of 2 services at 198\.18\.0\.0\/16/,
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

  t.test("who may not start leaves no process, and the log of who runs alone", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await prepare(laptop);
    const log = join(laptop.stateDir, "daemon.log");
    const old = Buffer.alloc(5 << 20, "old lines\n");
    writeFileSync(log, old);
    t.equal((await laptop.czctl(["up"])).code, 0);
    t.ok(old.equals(readFileSync(`${log}.1`)), "what earlier runs have written is aside");
    t.match(laptop.log, /device ready/);
    t.notMatch(laptop.log, "old lines");

    const running = supervisors(laptop);
    t.equal(running.length, 1);
    truncateSync(log, 5 << 20);
    t.equal((await laptop.czctl(["up"])).code, 2);
    await eventually("the other one has ended", () => supervisors(laptop).length === 1);
    t.strictSame(supervisors(laptop), running);
    t.equal(statSync(log).size, 5 << 20);
    t.ok(old.equals(readFileSync(`${log}.1`)));
  });

  t.test("logs --follow goes on when a new run has put aside what was there", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    const log = join(laptop.stateDir, "daemon.log");
    mkdirSync(laptop.stateDir, { mode: 0o700 });
    writeFileSync(log, "first\n");
    const follower = laptop.start(["logs", "--follow"]);
    t.teardown(() => follower.kill("SIGKILL"));
    let seen = "";
    follower.stdout?.setEncoding("utf8").on("data", (text: string) => {
      seen += text;
    });
    await eventually("the first line", () => seen === "first\n");
    truncateSync(log);
    appendFileSync(log, "new\n");
    await eventually("the new one", () => seen === "first\nnew\n");
  });

  t.test("changes of catalog, rules and primary namespace arrive everywhere", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await prepare(laptop);
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

  t.test("two spaces: select switches a running daemon, the one in use is not removed", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await prepare(laptop);
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

  t.test("two at once: what has just been selected is not removed, and down still works", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await prepare(laptop);
    await laptop.czctl(["space", "add", laptop.writeCredential(credential("other", 10))]);
    await laptop.czctl(["up"]);
    const settings = readSettings(laptop.env);
    const [selected, removed] = await Promise.allSettled([
      callDaemon(settings, "space.select", { name: "other" }),
      callDaemon(settings, "space.remove", { name: "other" }),
    ]);
    t.match(selected, { status: "fulfilled", value: { name: "other" } });
    t.match(removed, { status: "rejected", reason: { code: "SPACE_IN_USE" } });
    t.equal((await laptop.czctl(["down"])).code, 0);
    t.equal(laptop.hosts, HOSTS);
  });

  t.test("a switch that fails: the names are taken back all the same", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await prepare(laptop);
    await laptop.czctl(["space", "add", laptop.writeCredential(credential("other", 10))]);
    await laptop.czctl(["up"]);
    const obstacle = join(laptop.stateDir, CONTROL_SOCKET);
    rmSync(obstacle, { force: true });
    mkdirSync(obstacle);
    t.not((await laptop.czctl(["space", "select", "other"])).code, 0);
    t.match((await laptop.czctl(["down"])).stderr, "czctl stopped, but could not end the session");
    t.equal(laptop.hosts, HOSTS);
    t.equal(device(), undefined);
  });

  t.test("a request without an end keeps no daemon alive", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await prepare(laptop);
    await laptop.czctl(["up"]);
    const client = connect(laptop.env.CZCTL_SOCKET as string);
    client.on("error", () => {});
    t.teardown(() => client.destroy());
    await once(client, "connect");
    client.write("POST /v1/status HTTP/1.1\r\nhost: daemon\r\ncontent-length: 5\r\n\r\n{");
    const down = await laptop.czctl(["down"]);
    t.equal(down.code, 0, down.stderr);
  });

  t.test("a hosts file that cannot be written: everything else works, and status says so", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await prepare(laptop);
    const env = { CZCTL_HOSTS_FILE: join(laptop.dir, "no/such/directory/hosts") };
    const up = await laptop.czctl(["up"], { env });
    t.equal(up.code, 0, up.stderr);
    t.match(up.stdout, /Warning: names are not in the hosts file: /);
    laptop.sendEvents({ type: "upsert", service: service("cart", "shop", "10.96.0.12") });
    await eventually("a route for cart", () => lastRoutes(laptop).some(({ name }) => name === "cart.shop"));
    t.match(await laptop.json("status"), { warnings: [/^names are not in the hosts file/] });
    mkdirSync(dirname(env.CZCTL_HOSTS_FILE), { recursive: true });
    laptop.sendEvents({ type: "remove", namespace: "shop", name: "cart" });
    await eventually(
      "no warning",
      async () => (await laptop.json<DaemonStatus>("status")).warnings.length === 0,
    );
    t.match(readFileSync(env.CZCTL_HOSTS_FILE, "utf8"), "frontend.shop");
    await laptop.czctl(["down"]);
    t.equal(readFileSync(env.CZCTL_HOSTS_FILE, "utf8"), "");
  });

  t.test("--foreground: stays, says what it does, ends on SIGTERM", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await prepare(laptop);
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
    await prepare(first);
    await prepare(laptop);
    await first.czctl(["up"]);
    const refused = await laptop.czctl(["up", "--service-range", "198.18.4.0/24"]);
    t.equal(refused.code, 3);
    t.match(
      refused.stderr,
      "czctl: the service range 198.18.4.0/24 overlaps 198.18.0.0/16 on czctl0, which this machine already routes",
    );
    const summary = await laptop.json<UpSummary>("up");
    t.equal(summary.ranges[0], "198.19.0.0/16");
    t.equal(summary.device, "czctl1");
  });
}
