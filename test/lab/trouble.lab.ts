/** What goes wrong at a user's: each a one-line message, a hint, and the exit code of its category. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ErrorCategory, EXIT_CODES } from "../../src/base/index.js";
import { type Credential, formatCredential, parseCredential } from "../../src/catalog/index.js";
import { catalogText } from "./catalog.js";
import { Agent, CLI, Czctl } from "./czctl.js";
import { assert, assertEqual, type Lab, lab } from "./lab.js";
import type { Result } from "./program.js";
import { AGENT_PORT } from "./topology.js";
import { makeKeyPair } from "./wireguard-go.js";

const CATALOG = catalogText([
  {
    namespace: "shop",
    name: "frontend",
    clusterIps: ["10.96.0.30"],
    ports: [{ name: "http", protocol: "TCP", port: 80 }],
  },
]);

/** A message, a hint, no stack, and the category's exit code. */
function assertExplained(result: Result, category: ErrorCategory): string {
  const lines = result.stderr.trim().split("\n");
  assert(result.stderr.trim() !== "", `nothing on standard error; exit ${result.code}; ${result.stdout}`);
  assert(!/^\s+at .*:\d+/m.test(result.stderr), `a stack: ${result.stderr}`);
  assert(lines.length <= 3, `${lines.length} lines: ${result.stderr}`);
  assertEqual(result.code, EXIT_CODES[category], `exit code (${lines.join(" / ")})`);
  return lines.join(" / ");
}

function variant(l: Lab, file: string, name: string, change: (credential: Credential) => void): string {
  const credential = parseCredential(readFileSync(file, "utf8"));
  credential.teamspace = name;
  change(credential);
  const path = join(l.laptop.dir, `${name}.credential`);
  writeFileSync(path, formatCredential(credential), { mode: 0o600 });
  return path;
}

async function withoutAgent(l: Lab, czctl: Czctl, credential: string): Promise<void> {
  const add = async (name: string, change: (credential: Credential) => void): Promise<void> => {
    await czctl.run(["space", "add", variant(l, credential, name, change)]);
  };
  const up = (space: string): Promise<Result> => czctl.exec(["up", "--space", space], { timeoutMs: 40_000 });
  const cases: [string, string, (credential: Credential) => void][] = [
    ["agent unreachable: nobody at that port", "closed", c => (c.agent.endpoint = "203.0.113.10:9")],
    ["agent unreachable: no route", "noroute", c => (c.agent.endpoint = "198.51.100.1:51820")],
    ["agent's host name unknown", "noname", c => (c.agent.endpoint = "agent.invalid:51820")],
    ["wrong key of the agent", "wrongkey", c => (c.agent.publicKey = makeKeyPair().publicKey)],
    ["wrong key of the device", "wrongdevice", c => (c.privateKey = makeKeyPair().privateKey)],
    ["wrong preshared key", "wrongpsk", c => (c.presharedKey = makeKeyPair().privateKey)],
  ];
  for (const [name, space, change] of cases) {
    await l.check(name, async () => {
      await add(space, change);
      const result = await up(space);
      // Whether `up` waits for the agent is its own decision; somebody must say what is wrong.
      if (result.code !== 0) return assertExplained(result, "environment");
      const { problem } = await czctl.status();
      await czctl.run(["down"]);
      assert(problem !== null, "neither up nor status says what is wrong");
      return `status: ${problem.message}`;
    });
  }
}

async function clocks(l: Lab, czctl: Czctl): Promise<void> {
  for (const [what, shift] of [
    ["behind", "-2d"],
    ["ahead", "+2d"],
  ] as const) {
    await l.check(
      `the laptop's clock is two days ${what}`,
      async () => {
        const faked = await l.laptop.exec("faketime", ["-f", shift, process.execPath, CLI, "up"], {
          timeoutMs: 30_000,
        });
        await czctl.exec(["down"]);
        if (faked.code === 0) return "no obstacle: WireGuard's timestamps need only grow";
        return assertExplained(faked, "environment");
      },
      { needs: ["faketime"] },
    );
  }
}

await lab(import.meta.url, async l => {
  const { laptop, cluster, sandbox, check } = l;
  const czctl = new Czctl(laptop);
  await check("up without any space", async () => assertExplained(await czctl.exec(["up"]), "user"));
  await check("status without a daemon", async () => {
    const result = await czctl.exec(["status"]);
    assert(result.code !== 0, "status says that all is well");
    assert(!/^\s+at /m.test(result.stderr), result.stderr);
    return result.stderr.trim().split("\n").join(" / ");
  });
  await check("down without a daemon is no error", async () => {
    assertEqual((await czctl.exec(["down"])).code, 0, "exit code");
    return undefined;
  });
  const agent = await Agent.make(sandbox, cluster, { catalog: CATALOG });
  const credential = await agent.invite("laptop");
  await check("a second agent on the same port", async () => {
    const dir = join(cluster.dir, "second");
    await cluster.run(process.execPath, [
      CLI,
      "agent",
      "init",
      "--dir",
      dir,
      "--endpoint",
      `203.0.113.10:${AGENT_PORT}`,
    ]);
    return assertExplained(
      await cluster.exec(process.execPath, [CLI, "agent", "run", "--dir", dir]),
      "environment",
    );
  });
  await withoutAgent(l, czctl, credential);
  await czctl.run(["space", "add", credential]);
  await czctl.run(["space", "select", parseCredential(readFileSync(credential, "utf8")).teamspace]);
  await check(
    "up as another user than root",
    async () => {
      const args = ["--reuid=65534", "--regid=65534", "--clear-groups", process.execPath, CLI, "up"];
      return assertExplained(await laptop.exec("setpriv", args), "user");
    },
    { needsRoot: true },
  );
  await check("no /dev/net/tun to open", async () => {
    const hide = 'mount --bind /dev/null /dev/net/tun && exec "$@"';
    const result = await laptop.exec("unshare", [
      "--mount",
      "sh",
      "-c",
      hide,
      "sh",
      process.execPath,
      CLI,
      "up",
    ]);
    return assertExplained(result, "environment");
  });
  await check("a service range that collides with a route of the laptop", async () => {
    return assertExplained(await czctl.exec(["up", "--service-range", "192.0.2.0/25"]), "config");
  });
  await check("a second up", async () => {
    await czctl.up();
    await czctl.waitUntilConnected();
    const second = await czctl.exec(["up"]);
    const said = assertExplained(second, "user");
    assertEqual((await czctl.status()).link, "connected", "link after that");
    return said;
  });
  await czctl.run(["down"]);
  await clocks(l, czctl);
});
