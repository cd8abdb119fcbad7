/** The state file and the operations that change it. */
import {
  chmodSync,
  chownSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import t from "tap";
import { LOCK_FILE, readSettings } from "../../src/api/index.js";
import { Prefix } from "../../src/base/index.js";
import { socketOwner } from "../../src/daemon/api-server.js";
import { StateLock } from "../../src/daemon/index.js";
import { stateOperations } from "../../src/daemon/operations.js";
import { loadState, saveState, selectedSpace } from "../../src/daemon/state.js";
import { performOffline } from "../../src/daemon/tools.js";
import { credential } from "./laptop.js";

const text = (name: string, fill = 1): string => JSON.stringify(credential(name, fill));

t.test("a fresh state has a random ULA /64 of its own (RFC 4193)", async t => {
  const dir = t.testdir();
  const { ula } = loadState(dir);
  t.ok(Prefix.from("fd00::/8").overlaps(Prefix.from(ula)));
  t.equal(Prefix.from(ula).bits, 64);
  t.not(loadState(dir).ula, ula);
});

t.test(
  "what was saved is loaded; keys are for the owner only; nothing else stays in the directory",
  async t => {
    const dir = t.testdir();
    const state = loadState(dir);
    stateOperations["space.add"](state, { credential: text("team") });
    selectedSpace(state).addresses = { "frontend.shop": 7 };
    saveState(dir, state);
    saveState(dir, state);
    t.strictSame(loadState(dir), state);
    t.equal(statSync(join(dir, "state.json")).mode & 0o777, 0o600);
    t.strictSame(readdirSync(dir), ["state.json"]);
  },
);

t.test("a damaged file is an error that quotes none of it", async t => {
  for (const content of ["", "{", "[]", '{"version":1}', `{"privateKey":"${credential("x").privateKey}"}`]) {
    const dir = t.testdir({ "state.json": content });
    t.throws(() => loadState(dir), {
      code: "STATE_DAMAGED",
      message: `${dir}/state.json is damaged`,
      cause: undefined,
    });
  }
});

t.test("a state with a damaged credential is damaged", async t => {
  const dir = t.testdir();
  const state = loadState(dir);
  stateOperations["space.add"](state, { credential: text("team") });
  saveState(dir, state);
  const path = join(dir, "state.json");
  writeFileSync(path, readFileSync(path, "utf8").replace('"mtu": 1420', '"mtu": -1'));
  t.throws(() => loadState(dir), { code: "STATE_DAMAGED" });
});

t.test("spaces: the first is selected, a new invitation keeps rules and addresses", async t => {
  const state = loadState(t.testdir());
  t.throws(() => selectedSpace(state), { code: "NO_SPACE", hint: /space add/ });
  t.match(stateOperations["space.add"](state, { credential: text("team") }), {
    name: "team",
    selected: true,
  });
  t.match(stateOperations["space.add"](state, { credential: text("other", 5) }), {
    name: "other",
    selected: false,
  });
  t.match(stateOperations["space.add"](state, { credential: text("team", 9), name: "team2" }), {
    name: "team2",
  });

  stateOperations["consume.set"](state, { rules: "*.shop\n" });
  const renewed = { ...credential("team"), device: "laptop-2" };
  t.match(stateOperations["space.add"](state, { credential: JSON.stringify(renewed) }), {
    device: "laptop-2",
  });
  t.equal(stateOperations["consume.get"](state, {}).rules, "*.shop\n");
  t.equal(stateOperations["space.list"](state, {}).length, 3);

  stateOperations["space.remove"](state, { name: "team" });
  t.equal(state.selected, null);
  t.throws(() => selectedSpace(state), { code: "NO_SPACE", hint: /space select/ });
});

t.test("a refused operation changes nothing", async t => {
  const state = loadState(t.testdir());
  stateOperations["space.add"](state, { credential: text("team") });
  const before = structuredClone(state);
  t.throws(() => stateOperations["space.add"](state, { credential: text("team", 9) }), {
    code: "SPACE_EXISTS",
  });
  t.throws(() => stateOperations["space.add"](state, { credential: "{}" }), { code: "CREDENTIAL_INVALID" });
  t.throws(() => stateOperations["consume.set"](state, { rules: "a b" }), { code: "RULES_INVALID" });
  t.throws(() => stateOperations["primary-namespace.set"](state, { namespace: "a.b" }), {
    code: "NAMESPACE_INVALID",
  });
  t.throws(() => stateOperations["space.select"](state, {} as never), { code: "BAD_REQUEST" });
  t.throws(() => stateOperations["consume.set"](state, { rules: 7 } as never), { code: "BAD_REQUEST" });
  t.strictSame(state, before);
});

t.test("who may steer the daemon: root, who ran sudo, and the group czctl", async t => {
  const groups = "root:x:0:\nusers:x:100:alice\nczctl-old:x:990:\nczctl:x:991:bob\n";
  t.strictSame(socketOwner({}, ""), { uid: 0, gid: 0 });
  t.strictSame(socketOwner({ SUDO_UID: "1000", SUDO_GID: "100" }, "users:x:100:\n"), { uid: 1000, gid: 0 });
  t.strictSame(socketOwner({ SUDO_UID: "1000" }, groups), { uid: 1000, gid: 991 });
  t.strictSame(socketOwner({ SUDO_UID: "-1; rm" }, groups), { uid: 0, gid: 991 });
});

t.test("one writer: an operation waits for the lock", async t => {
  const settings = { ...readSettings({}), stateDir: join(t.testdir(), "new") };
  const lock = await StateLock.tryTake(settings.stateDir);
  t.ok(lock);
  t.equal(await StateLock.tryTake(settings.stateDir), null);
  lock?.describe(process.pid);
  const other = StateLock.open(settings.stateDir);
  t.equal(await other.takeOver(), false, "its holder is alive");
  other.release();
  const added = performOffline(settings, "space.add", { credential: text("team") });
  setTimeout(() => lock?.release(), 50);
  t.match(await added, { name: "team" });
  t.equal(statSync(settings.stateDir).mode & 0o777, 0o700);
});

t.test("a state directory that others may write to is refused", async t => {
  for (const mode of [0o777, 0o770, 0o1777]) {
    const dir = t.testdir();
    chmodSync(dir, mode);
    t.throws(() => StateLock.open(dir), { code: "STATE_UNSAFE", category: "config" }, mode.toString(8));
    t.strictSame(readdirSync(dir), [], "and nothing is written to it");
  }
});

t.test("and one of somebody else", { skip: process.geteuid?.() !== 0 && "needs root" }, async t => {
  const dir = t.testdir();
  chownSync(dir, 65_534, 65_534);
  t.throws(() => StateLock.open(dir), { code: "STATE_UNSAFE" });
});

t.test("no symbolic link is followed by who writes", async t => {
  const dir = t.testdir({ elsewhere: "text" });
  symlinkSync("elsewhere", join(dir, "state.json.new"));
  symlinkSync("elsewhere", join(dir, LOCK_FILE));
  t.throws(() => saveState(dir, loadState(dir)), { code: "STATE_UNUSABLE" });
  t.throws(() => StateLock.open(dir), { code: "STATE_UNUSABLE" });
  t.equal(readFileSync(join(dir, "elsewhere"), "utf8"), "text");
});
