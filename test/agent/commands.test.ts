import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { agentInit, agentInvite, agentPeers, agentRevoke } from "../../src/agent/index.js";
import { publicKeyOf } from "../../src/agent/keys.js";
import { Address, Prefix } from "../../src/base/index.js";
import { parseCredential } from "../../src/catalog/index.js";
import { temporaryDirectory } from "./harness.js";

const ENDPOINT = "agent.example.com:51820";

async function agentDir(t: Tap, options: { tunnelRange?: string } = {}): Promise<string> {
  const dir = join(temporaryDirectory(t), "agent");
  await agentInit({ dir, endpoint: ENDPOINT, ...options });
  return dir;
}

type Tap = Parameters<typeof temporaryDirectory>[0];

t.test("init makes a private directory and sensible defaults", async t => {
  const dir = join(temporaryDirectory(t), "deep", "agent");
  const result = await agentInit({ dir, endpoint: ENDPOINT });
  t.match(result, { teamspace: "teamspace", endpoint: ENDPOINT, listenPort: 51820 });
  t.equal(result.tunnel[0], "100.126.0.0/16");
  t.match(result.tunnel[1], /^fd.*\/64$/);
  t.equal(statSync(dir).mode & 0o777, 0o700);
  t.strictSame(readdirSync(dir).sort(), ["agent.json", "peers.json"]);
  for (const name of readdirSync(dir)) t.equal(statSync(join(dir, name)).mode & 0o777, 0o600, name);
  const config = JSON.parse(readFileSync(join(dir, "agent.json"), "utf8"));
  t.equal(publicKeyOf(config.privateKey), result.publicKey);
});

t.test("init refuses to overwrite", async t => {
  const dir = await agentDir(t);
  const before = readFileSync(join(dir, "agent.json"), "utf8");
  await t.rejects(agentInit({ dir, endpoint: ENDPOINT }), { code: "AGENT_EXISTS", category: "user" });
  t.equal(readFileSync(join(dir, "agent.json"), "utf8"), before);
});

t.test("init keeps devices whose agent.json was lost", async t => {
  const dir = await agentDir(t);
  await agentInvite({ dir, name: "ann" });
  rmSync(join(dir, "agent.json"));
  await t.rejects(agentInit({ dir, endpoint: ENDPOINT }), { code: "AGENT_EXISTS" });
  t.equal(JSON.parse(readFileSync(join(dir, "peers.json"), "utf8")).peers.length, 1);
});

t.test("of two init at the same time one wins", async t => {
  const dir = join(temporaryDirectory(t), "agent");
  const results = await Promise.allSettled([1, 2, 3].map(() => agentInit({ dir, endpoint: ENDPOINT })));
  t.equal(results.filter(result => result.status === "fulfilled").length, 1);
  t.strictSame(readdirSync(dir).sort(), ["agent.json", "peers.json"], "no temporary file left");
});

t.test("init does not close a directory that others use", async t => {
  const dir = temporaryDirectory(t);
  const shared = join(dir, "shared");
  mkdirSync(shared, { mode: 0o755 });
  writeFileSync(join(shared, "theirs"), "");
  await t.rejects(agentInit({ dir: shared, endpoint: ENDPOINT }), { code: "AGENT_STATE_PERMISSIONS" });
  t.equal(statSync(shared).mode & 0o777, 0o755);
});

t.test("init refuses bad input", async t => {
  const dir = join(temporaryDirectory(t), "agent");
  for (const [options, code] of [
    [{ endpoint: "agent.example.com" }, "ENDPOINT_INVALID"],
    [{ endpoint: "agent:0" }, "ENDPOINT_INVALID"],
    [{ endpoint: "1.2.3.400:5" }, "ENDPOINT_INVALID"],
    [{ endpoint: ENDPOINT, listen: 70000 }, "PORT_INVALID"],
    [{ endpoint: ENDPOINT, zone: "Cluster Local" }, "ZONE_INVALID"],
    [{ endpoint: ENDPOINT, teamspace: "a/b" }, "NAME_INVALID"],
    [{ endpoint: ENDPOINT, tunnelRange: "10.0.0.0" }, "TUNNEL_RANGE_INVALID"],
    [{ endpoint: ENDPOINT, tunnelRange: "fd00::/64" }, "TUNNEL_RANGE_INVALID"],
  ] as const) {
    await t.rejects(
      agentInit({ dir, ...options }),
      { code, category: "user", hint: /./ },
      JSON.stringify(options),
    );
  }
});

t.test("invite prints a credential whose private key is stored nowhere", async t => {
  const dir = await agentDir(t);
  const { credential, addresses, live } = await agentInvite({
    dir,
    name: "ann-laptop",
    allow: ["shop/*", "!shop/db"],
  });
  const parsed = parseCredential(credential);
  t.notOk(live);
  t.match(parsed, {
    device: "ann-laptop",
    zone: "cluster.local",
    innerAddresses: addresses,
    agent: { endpoint: ENDPOINT },
  });
  t.equal(addresses[0], "100.126.0.2");
  t.equal(parsed.agent.innerAddresses[0], "100.126.0.1");
  const config = JSON.parse(readFileSync(join(dir, "agent.json"), "utf8"));
  const range6 = Prefix.from(config.tunnel6);
  for (const text of [addresses[1], parsed.agent.innerAddresses[1]])
    t.ok(range6.contains(Address.from(text as string)));

  const stored = readFileSync(join(dir, "peers.json"), "utf8");
  t.notOk(stored.includes(parsed.privateKey));
  t.match(JSON.parse(stored).peers[0], {
    name: "ann-laptop",
    publicKey: publicKeyOf(parsed.privateKey),
    presharedKey: parsed.presharedKey,
    allow: ["*.shop", "!db.shop"],
  });
});

t.test("names are checked and unique", async t => {
  const dir = await agentDir(t);
  await agentInvite({ dir, name: "Ann" });
  await t.rejects(agentInvite({ dir, name: "ann" }), { code: "DEVICE_EXISTS", category: "user" });
  for (const name of ["", "a b", "../x", "-x", "x".repeat(64), "a\nb", "ü"]) {
    await t.rejects(
      agentInvite({ dir, name }),
      { code: "NAME_INVALID", category: "user" },
      JSON.stringify(name),
    );
  }
  await t.rejects(agentInvite({ dir, name: "bob", allow: ["shop"] }), {
    code: "GRANT_INVALID",
    category: "user",
  });
  t.equal((await agentPeers({ dir })).length, 1);
});

t.test("revoke forgets the device and frees its addresses", async t => {
  const dir = await agentDir(t);
  const first = await agentInvite({ dir, name: "ann" });
  await agentInvite({ dir, name: "bob" });
  t.strictSame(await agentRevoke({ dir, name: "ann" }), { name: "ann", live: false });
  await t.rejects(agentRevoke({ dir, name: "ann" }), { code: "DEVICE_NOT_FOUND", category: "user" });
  t.strictSame(
    (await agentPeers({ dir })).map(row => row.name),
    ["bob"],
  );
  t.strictSame((await agentInvite({ dir, name: "cid" })).addresses, first.addresses);
});

t.test("peers says who may what since when", async t => {
  const dir = await agentDir(t);
  await agentInvite({ dir, name: "ann" });
  const [row] = await agentPeers({ dir });
  t.match(row, { name: "ann", allow: [], addresses: ["100.126.0.2", /^fd/], invitedAt: /^20.*Z$/ });
  t.equal(row?.shortKey, row?.publicKey.slice(0, 8));
  t.equal(row?.live, undefined);
});

t.test("a range that is full says so", async t => {
  const dir = await agentDir(t, { tunnelRange: "100.126.0.0/30" });
  await agentInvite({ dir, name: "ann" });
  await t.rejects(agentInvite({ dir, name: "bob" }), { code: "TUNNEL_RANGE_FULL" });
});

t.test("invites at the same time lose none", async t => {
  const dir = await agentDir(t);
  const invite = new URL("./invite-many.js", import.meta.url).pathname;
  const children = ["a", "b", "c"].map(name =>
    spawn(process.execPath, [invite, dir, name, "8"], { stdio: "inherit" }),
  );
  const codes = await Promise.all(children.map(async child => (await once(child, "exit"))[0]));
  t.strictSame(codes, [0, 0, 0]);
  const rows = await agentPeers({ dir });
  t.equal(rows.length, 24);
  t.equal(new Set(rows.map(row => row.addresses[0])).size, 24, "no address twice");
});

t.test("damaged files are named and left alone", async t => {
  const dir = await agentDir(t);
  await agentInvite({ dir, name: "ann" });
  const path = join(dir, "peers.json");
  const good = readFileSync(path, "utf8");
  for (const bad of [
    "",
    "{",
    "[]",
    good.slice(0, -20),
    good.replace(/"publicKey": "..../, '"publicKey": "'),
    '{"version":2,"peers":[]}',
  ]) {
    writeFileSync(path, bad);
    const expected = { code: "AGENT_STATE_CORRUPT", category: "config", message: /peers\.json/ };
    await t.rejects(agentInvite({ dir, name: "bob" }), expected, bad.slice(0, 20));
    await t.rejects(agentRevoke({ dir, name: "ann" }), expected);
    await t.rejects(agentPeers({ dir }), expected);
    t.equal(readFileSync(path, "utf8"), bad);
  }
});

t.test("errors about damaged files quote no key", async t => {
  const dir = await agentDir(t);
  const path = join(dir, "agent.json");
  const text = readFileSync(path, "utf8");
  const { privateKey } = JSON.parse(text);
  writeFileSync(path, text.replace(`${privateKey}"`, `${privateKey}`));
  const error = await agentInvite({ dir, name: "bob" }).catch(cause => cause);
  t.equal(error.code, "AGENT_STATE_CORRUPT");
  t.notOk(String(error.stack).includes(privateKey.slice(0, 10)));
});

t.test("a directory without an agent says how to make one", async t => {
  const dir = temporaryDirectory(t);
  for (const call of [
    (): Promise<unknown> => agentInvite({ dir, name: "ann" }),
    (): Promise<unknown> => agentRevoke({ dir, name: "ann" }),
    (): Promise<unknown> => agentPeers({ dir }),
  ]) {
    await t.rejects(call, {
      code: "AGENT_NOT_FOUND",
      category: "user",
      hint: /agent init/,
    });
  }
});
