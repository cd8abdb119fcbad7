/**
 * No key in anything that a run says, at the debug level: logs of both ends, errors, what every command prints, the
 * file for bug reports, arguments and environments of all processes. What is asked for as such (`agent invite`,
 * `wg showconf`) is not looked through: it gives the keys that the rest is searched for.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { parseCredential } from "../../src/catalog/index.js";
import { catalogText } from "./catalog.js";
import { Agent, Czctl } from "./czctl.js";
import { assert, assertEqual, lab } from "./lab.js";
import { eventually } from "./program.js";
import { AGENT_PORT, addClusterAddresses } from "./topology.js";
import { makeKeyPair } from "./wireguard-go.js";
import { openUapiDirectory } from "./wireguard-server.js";

const SERVICE = fileURLToPath(new URL("../../demo/service.js", import.meta.url));
const FRONTEND = "10.96.0.30";
const COMMANDS = [
  ["status"],
  ["status", "--json"],
  ["status", "--verbose"],
  ["services", "list", "--json"],
  ["trace-connections", "--once", "--json"],
  ["metrics"],
  ["logs"],
  ["doctor"],
  ["space", "list", "--json"],
];
const FEWEST_OUTPUTS = 20;

/** Each form in which a key could be told. */
function forms(key: string): Buffer[] {
  const raw = Buffer.from(key, "base64");
  const texts = [raw.toString("base64"), raw.toString("base64url"), raw.toString("hex")];
  return [raw, ...texts.map(text => Buffer.from(text)), Buffer.from(texts[2]?.toUpperCase() ?? "")];
}

/** Arguments and environment of every process of czctl on this machine that belongs to the lab. */
function processes(mark: string): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  for (const pid of readdirSync("/proc").filter(name => /^\d+$/.test(name))) {
    try {
      const told = Buffer.concat(["cmdline", "environ"].map(file => readFileSync(`/proc/${pid}/${file}`)));
      if (told.includes(mark)) found.set(`process ${pid}`, told);
    } catch {
      // It has ended, or is not ours to look at.
    }
  }
  return found;
}

process.env.CZCTL_LOG_LEVEL = "debug";

await lab(import.meta.url, async l => {
  const { laptop, cluster, sandbox, check } = l;
  const said = new Map<string, Buffer>();
  const keys = new Map<string, string>();
  const czctl = new Czctl(laptop);
  let agent: Agent | undefined;
  const note = (name: string, ...texts: string[]): void => void said.set(name, Buffer.from(texts.join("\n")));

  const ran = await check(
    "a run with a download, a change of keys, a refusal, an agent that dies, and errors about keys",
    async () => {
      await addClusterAddresses(cluster, [FRONTEND]);
      const server = cluster.spawn(process.execPath, [SERVICE, "http", FRONTEND, "80", "frontend"]);
      await server.waitForLine(/ready/);
      openUapiDirectory(l);
      const ports = [{ name: "http", protocol: "TCP" as const, port: 80 }];
      const catalog = catalogText([{ namespace: "shop", name: "frontend", clusterIps: [FRONTEND], ports }]);
      agent = await Agent.make(sandbox, cluster, { catalog });
      // Its UDP port, which it has been waited for, is there a moment before this socket.
      const show = (): Promise<string> => cluster.run("wg", ["show", `czctl-${AGENT_PORT}`, "private-key"]);
      const own = await eventually("wg show", show);
      keys.set("the agent's private key", own.trim());
      const file = await agent.invite("laptop");
      const credential = parseCredential(readFileSync(file, "utf8"));
      keys.set("the device's private key", credential.privateKey);
      keys.set("the preshared key", credential.presharedKey);
      await czctl.run(["space", "add", file, "--name", "home"]);
      await czctl.up();
      await czctl.waitUntilConnected();
      await laptop.run("curl", ["-sS", "--fail", "http://frontend.shop/"]);
      for (const args of COMMANDS) {
        const result = await czctl.exec(args);
        note(`czctl ${args.join(" ")}`, result.stdout, result.stderr);
      }
      const packed = join(laptop.dir, "report.tar.gz");
      await czctl.run(["diagnostics", "--output", packed]);
      said.set("czctl diagnostics", gunzipSync(readFileSync(packed)));
      for (const [name, told] of processes(sandbox.dir)) said.set(name, told);
      assert(
        [...said.keys()].some(name => name.startsWith("process")),
        "no process was found",
      );

      // Wrong in every place where a key stands.
      const text = readFileSync(file, "utf8");
      for (const [name, wrong] of [
        ["shorter", text.replace(credential.privateKey, credential.privateKey.slice(4))],
        ["cut", text.slice(0, text.indexOf(credential.presharedKey) + 44)],
        ["swapped", text.replace(credential.agent.publicKey, `${credential.privateKey}x`)],
      ] as const) {
        const path = join(laptop.dir, `${name}.credential`);
        writeFileSync(path, wrong, { mode: 0o600 });
        const result = await czctl.exec(["space", "add", path, "--name", name]);
        assert(result.code !== 0, `${name}: it was taken`);
        note(`space add of a ${name} credential`, result.stdout, result.stderr);
      }
      // Another preshared key, while it runs, and its removal.
      const other = makeKeyPair().privateKey;
      keys.set("another preshared key", other);
      const path = join(laptop.dir, "key");
      writeFileSync(path, other, { mode: 0o600 });
      const peer = ["set", "czctl0", "peer", credential.agent.publicKey];
      await laptop.run("wg", [...peer, "preshared-key", path]);
      const first = agent.program;
      await first?.stop();
      note("the agent's output, until it died", first?.stdout ?? "", first?.stderr ?? "");
      await eventually(
        "the laptop misses it",
        async () => assert((await czctl.status()).link !== "connected", "not yet"),
        30_000,
      );
      await agent.start();
      note("agent peers", await agent.run(["peers"]), await agent.run(["peers", "--json"]));
      note("agent revoke", await agent.run(["revoke", "laptop"]));
      note("daemon.log", readFileSync(laptop.outside("/var/lib/czctl/daemon.log"), "utf8"));
      note("down", (await czctl.exec(["down"])).stdout);
      await agent.program?.stop();
      note("the agent's output, afterwards", agent.program?.stdout ?? "", agent.program?.stderr ?? "");
      return `${said.size} outputs of ${[...said.values()].reduce((sum, b) => sum + b.length, 0)} bytes`;
    },
    { needs: ["/dev/net/tun", "wg", "curl"], timeoutMs: 90_000 },
  );
  if (!ran) return;
  await check("the search finds what is there: public keys, and debug lines", async () => {
    const all = Buffer.concat([...said.values()]).toString("latin1");
    assert((all.match(/[A-Za-z0-9+/]{43}=/g) ?? []).length >= 1, "no public key was told anywhere");
    assert(/ debug /.test(all), "no debug line");
    assert(said.size >= FEWEST_OUTPUTS, `only ${said.size} outputs`);
    return undefined;
  });
  for (const [what, key] of keys) {
    await check(`nowhere: ${what}`, async () => {
      const leaks = [...said].filter(([, text]) => forms(key).some(form => text.includes(form)));
      assertEqual(
        leaks.map(([name]) => name),
        [],
        "told by",
      );
      return undefined;
    });
  }
});
