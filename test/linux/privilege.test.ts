import { spawn, spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import t from "tap";
import { Arena } from "../../src/base/index.js";
import { EAGAIN, sockets, tryLock, unlock } from "../../src/linux/index.js";

const CHILD = fileURLToPath(new URL("./children/child.js", import.meta.url));
const NOBODY = 65_534;

// biome-ignore lint/suspicious/noExplicitAny: whatever the child printed
function run(args: string[], options: { uid?: number; prefix?: string[] } = {}): any {
  const [file = "", ...rest] = [...(options.prefix ?? []), process.execPath, CHILD, ...args];
  const { stdout, stderr } = spawnSync(file, rest, {
    encoding: "utf8",
    ...(options.uid === undefined ? {} : { uid: options.uid }),
  });
  return stdout === "" ? stderr : JSON.parse(stdout);
}

const root = process.getuid?.() === 0;

t.test(
  "dropPrivileges to another user: no thread keeps a capability",
  { skip: !root && "needs root" },
  async t => {
    const { result, fields, netAdmin } = run(["drop", `${NOBODY}`, `${NOBODY}`]);
    t.same(result, { userChanged: true, capableThreads: 0 });
    t.equal(netAdmin, false);
    t.match(fields, {
      Uid: "65534 65534 65534 65534",
      Gid: "65534 65534 65534 65534",
      Groups: "",
      CapInh: /^0+$/,
      CapPrm: /^0+$/,
      CapEff: /^0+$/,
      CapBnd: /^0+$/,
      CapAmb: /^0+$/,
      NoNewPrivs: "1",
    });
  },
);

t.test("dropPrivileges to a user that the namespace lacks keeps the user, without capabilities", async t => {
  const prefix = ["unshare", "-Ur"];
  if (spawnSync("unshare", ["-Ur", "true"]).status !== 0) return t.pass("", { skip: "no user namespaces" });
  const { result, fields } = run(["drop", `${NOBODY}`, `${NOBODY}`], { prefix });
  t.equal(result.userChanged, false);
  t.match(fields, { Uid: "0 0 0 0", CapEff: /^0+$/, CapBnd: /^0+$/, NoNewPrivs: "1" });
  t.ok(result.capableThreads > 0, "and says that threads which ran already keep theirs");
  return;
});

t.test("dropPrivileges without privileges", { skip: !root && "needs root to become nobody" }, async t => {
  const { result, fields } = run(["drop"], { uid: NOBODY });
  t.same(result, { userChanged: false, capableThreads: 0 });
  t.match(fields, { Uid: "65534 65534 65534 65534", CapEff: /^0+$/, NoNewPrivs: "1" });
});

t.test("setParentDeathSignal survives dropPrivileges: the child dies with its parent", async t => {
  // A shell between us: it starts the child, and is killed.
  const shell = spawn("sh", ["-c", '"$0" "$1" follow "$2" & wait', process.execPath, CHILD, `${NOBODY}`], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = createInterface({ input: shell.stdout });
  t.equal(await new Promise(resolve => lines.once("line", resolve)), '"following"');
  const closed = new Promise(resolve => lines.once("close", resolve));
  shell.kill("SIGKILL");
  // The pipe closes when its last writer, the child, is gone.
  await closed;
  t.pass("the child is gone");
});

t.test("a descriptor is inherited by its number in stdio", async t => {
  const [ours, theirs] = sockets.pair();
  sockets.writeText(ours, "through");
  const child = spawnSync(process.execPath, [CHILD, "echo", "4"], {
    stdio: ["ignore", "pipe", "inherit", "ignore", theirs],
    encoding: "utf8",
  });
  t.same(JSON.parse(child.stdout), { result: 0, wrote: 7, next: -EAGAIN });
  const arena = new Arena(4096);
  t.equal(sockets.read(arena, ours, 0, 100), 7);
  t.equal(Buffer.from(arena.u8.slice(0, 7)).toString(), "through");
  sockets.close(ours);
  sockets.close(theirs);
});

t.test("tryLock: one holder at a time, until it lets go or dies", async t => {
  const directory = mkdtempSync(join(tmpdir(), "czctl-lock-"));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "lock");
  writeFileSync(path, "");
  const [a, b] = [openSync(path, "r"), openSync(path, "r")];
  t.equal(tryLock(a), true);
  t.equal(tryLock(a), true, "again by the same descriptor");
  t.equal(tryLock(b), false);
  unlock(a);
  t.equal(tryLock(b), true);
  t.equal(tryLock(a), false);
  closeSync(b);
  t.equal(tryLock(a), true);
  closeSync(a);
});

t.test("openTun without the right to says what to do", async t => {
  const hasDevice = existsSync("/dev/net/tun");
  const error = run(["tun"], root ? { uid: NOBODY } : {});
  t.match(error, {
    category: "environment",
    code: hasDevice ? "PERMISSION_DENIED" : "TUN_UNAVAILABLE",
    hint: hasDevice ? "Run it with sudo." : /modprobe tun/,
  });
});
