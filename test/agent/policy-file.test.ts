/** policy.yaml, and what it makes of a device's own rules. */
import { rmSync, writeFileSync } from "node:fs";
import t from "tap";
import { readDevices } from "../../src/agent/policy.js";
import { parsePolicy, policyPath, readPolicy } from "../../src/agent/policy-file.js";
import type { PeerRecord } from "../../src/agent/state.js";
import { formatRule } from "../../src/catalog/index.js";
import { temporaryDirectory } from "./harness.js";

function device(name: string, more: Partial<PeerRecord> = {}): PeerRecord {
  const record = { presharedKey: "", addresses: ["100.126.0.2", "fd00::2"], allow: [], invitedAt: "" };
  return { name, publicKey: name, ...record, ...more } as PeerRecord;
}

function rules(policy: string | null, record: PeerRecord): string[] {
  const { devices, grants } = readDevices([record], policy === null ? null : parsePolicy(policy));
  return (grants.get(devices.get(record.publicKey)?.grant ?? "")?.rules ?? []).map(formatRule);
}

t.test(
  "without a policy an invitation without rules is one to everything; under one it is one to nothing",
  async t => {
    t.same(rules(null, device("ann")), ["*"]);
    t.same(rules("grants: []", device("ann")), []);
    t.same(rules("grants: []", device("ann", { allow: ["*.shop"] })), ["*.shop"]);
  },
);

t.test("by device, user, group and everybody; own rules first, then the file's order", async t => {
  const policy = `
grants:
  - { to: ["*"], allow: [status.ops] }
  - { to: ["user:ann"], allow: ["*.shop", "!admin.shop"] }
  - { to: ["group:dba", laptop], allow: ["db.shop:5432"] }
`;
  const own = { allow: ["web.blog"] };
  t.same(rules(policy, device("x", own)), ["web.blog", "status.ops"]);
  t.same(rules(policy, device("x", { user: "ann" })), ["status.ops", "*.shop", "!admin.shop"]);
  t.same(rules(policy, device("x", { groups: ["dba"] })), ["status.ops", "db.shop:5432"]);
  t.same(rules(policy, device("laptop")), ["status.ops", "db.shop:5432"]);
  t.same(rules(policy, device("ann")), ["status.ops"], "a device of a user's name is not the user");
});

t.test("what is wrong is said with its place, and is not half taken up", async t => {
  const wrong: [string, RegExp][] = [
    ["", /./],
    ["grants: {}", /^grants: /],
    ["grants: [{ to: [ann], allow: [] }]", /^grants\.0\.allow: /],
    ["grants: [{ to: [ann], allow: ['*..x'] }]", /^grants\.0\.allow: /],
    ["grants: [{ to: ['team:x'], allow: ['*'] }]", /^grants\.0\.to\.0: is no device, user: or group:/],
    ["grants: [{ to: [ann], allow: ['*'], deny: [] }]", /deny/],
    ["granst: []", /./],
    ["grants: [", /./],
  ];
  for (const [text, message] of wrong) t.throws(() => parsePolicy(text), message, text);
});

t.test("the file: absent is no policy, wrong is an error", async t => {
  const dir = temporaryDirectory(t);
  t.equal(await readPolicy(dir), null);
  writeFileSync(policyPath(dir), "grants: [");
  await t.rejects(readPolicy(dir), { code: "POLICY_INVALID", category: "config" });
  rmSync(policyPath(dir));
  t.equal(await readPolicy(dir), null);
});
