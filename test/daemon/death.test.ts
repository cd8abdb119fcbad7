/** Deaths of each process, and starts that fail: nothing stale stays, and the user is told. */
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { CONTROL_SOCKET, type DaemonStatus } from "../../src/api/index.js";
import { tryLock } from "../../src/linux/index.js";
import { enterNamespace, tunUnavailable } from "../linux/in-namespace.js";
import { device, eventually, HOSTS, Laptop, prepare } from "./laptop.js";

// A dozen daemons come and go, and one `up` waits its ten seconds: 25 s, and more beside other work.
t.setTimeout(120_000);

const unavailable = tunUnavailable();
if (unavailable !== false) t.pass("daemon", { skip: unavailable });
else if (enterNamespace(t, import.meta.url, ["-m", "--propagation", "private"])) {
  t.test("a killed data plane comes back on the same device", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await prepare(laptop);
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
      await prepare(laptop);
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
    await prepare(laptop);
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
    await prepare(laptop);
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

  t.test("names that cannot be taken back: down says so, cleanup mends it", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await prepare(laptop);
    await laptop.czctl(["up"]);
    const fd = openSync(laptop.hostsFile, "r");
    t.ok(tryLock(fd), "another editor");
    const down = await laptop.czctl(["down"]);
    t.equal(down.code, 4, down.stdout);
    t.match(
      down.stderr,
      /^czctl: czctl stopped, but could not take our section out of the hosts file: another program .*\n.*czctl cleanup/,
    );
    t.match(laptop.hosts, "frontend.shop");
    t.equal(device(), undefined, "the rest is gone");
    t.match((await laptop.czctl(["status"])).stderr, "not running", "nothing started it again");
    t.equal((await laptop.czctl(["down"])).code, 4, "and still cannot");
    closeSync(fd);
    t.equal((await laptop.czctl(["cleanup"])).code, 0);
    t.equal(laptop.hosts, HOSTS);
  });

  t.test("a data plane that cannot be started again now is started later, by the same daemon", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await prepare(laptop);
    await laptop.czctl(["up"]);
    const before = await laptop.json<DaemonStatus>("status");
    const obstacle = join(laptop.stateDir, CONTROL_SOCKET);
    rmSync(obstacle, { force: true });
    mkdirSync(obstacle);
    process.kill(before.dataplane?.pid as number, "SIGKILL");
    await eventually("the failure in the log", () => laptop.log.includes("cannot start the data plane"));
    rmdirSync(obstacle);
    await eventually("connected again", async () => {
      const { link, dataplane } = await laptop.json<DaemonStatus>("status");
      return link === "connected" && dataplane !== null;
    });
    t.equal((await laptop.json<DaemonStatus>("status")).pid, before.pid);
  });

  t.test("a deleted device: the supervisor starts another daemon, which makes another device", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await prepare(laptop);
    await laptop.czctl(["up"]);
    const before = await laptop.json<DaemonStatus>("status");
    const failure = laptop.write("fake/failure", "TUN_GONE");
    process.kill(before.dataplane?.pid as number, "SIGKILL");
    await eventually("the end of the daemon", () =>
      laptop.log.includes(`starting it again how="exit code 4"`),
    );
    rmSync(failure);
    await eventually("connected again", async () => {
      const { code, stdout } = await laptop.czctl(["status", "--json"]);
      return code === 0 && (JSON.parse(stdout) as DaemonStatus).link === "connected";
    });
    const after = await laptop.json<DaemonStatus>("status");
    t.not(after.pid, before.pid);
    t.equal(after.supervisorPid, before.supervisorPid);
  });

  t.test("a data plane that floods its log fills no disk", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await prepare(laptop);
    laptop.write("fake/flood", "");
    await laptop.czctl(["up"]);
    const lines = laptop.log.split("\n").filter(line => line.includes("noise")).length;
    t.ok(lines >= 50 && lines < 200, `${lines} of 5,000`);
  });

  t.test("a socket path where another file is: it stays", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await prepare(laptop);
    const path = laptop.write("precious", "text");
    for (const args of [["up"], ["cleanup"]]) {
      const { code, stderr } = await laptop.czctl([...args, "--socket", path]);
      t.equal(code, 4, args.join(" "));
      t.match(stderr, `czctl: ${path} is there already, and no socket\n  Choose another path with --socket.`);
      t.equal(readFileSync(path, "utf8"), "text");
    }
    t.equal(device(), undefined);
  });

  t.test("a data plane that cannot start is the reason that up gives; nothing stays", async t => {
    const laptop = new Laptop();
    t.teardown(() => laptop.close());
    await prepare(laptop);
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
    await prepare(laptop);
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
    await prepare(laptop);
    laptop.write("fake/silent", "");
    const up = await laptop.czctl(["up"]);
    t.equal(up.code, 4);
    t.equal(up.stderr.split("\n")[0], "czctl: nothing listens at 127.0.0.1:9 (UDP)", "ICMP tells");
    t.equal(device(), undefined);
    t.equal(laptop.hosts, HOSTS);
    t.match((await laptop.czctl(["down"])).stdout, "not running");
  });
}
