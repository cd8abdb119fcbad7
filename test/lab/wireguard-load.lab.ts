/**
 * A new session in the middle of a flood of initiations, by a cookie: other people's clients at our loaded agent,
 * czctl at their loaded servers.
 */
import { chownSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { formatCredential, parseCredential } from "../../src/catalog/index.js";
import { catalogText } from "./catalog.js";
import { Agent, Czctl } from "./czctl.js";
import type { Host } from "./host.js";
import { assert, type Lab, lab, missing } from "./lab.js";
import { eventually, type Program } from "./program.js";
import { AGENT_ADDRESS, AGENT_PORT } from "./topology.js";
import {
  credentialFor,
  IMPLEMENTATIONS,
  type Implementation,
  makeKeyPair,
  startWireguardGo,
} from "./wireguard-go.js";

const CONTROL_API = fileURLToPath(new URL("control-api.js", import.meta.url));
const FLOODER = fileURLToPath(new URL("flooder.js", import.meta.url));
const ENDPOINT = `${AGENT_ADDRESS}:${AGENT_PORT}`;
const PER_SECOND = 20_000;
const SECONDS = 40;
/** First try, a cookie, and the second 5 s later; one more of each may be lost among the flood. */
const SESSION_LIMIT_MS = 20_000;
const ATTEMPTS = 5;
const NOBODY = 65534;

/** Cookie replies that reach the laptop are counted: type 3, 64 bytes. */
async function countCookies(laptop: Host): Promise<void> {
  await laptop.run("nft", [
    "add table inet load; add chain inet load in { type filter hook input priority 0; };" +
      "add rule inet load in udp sport 51820 udp length 72 @th,64,8 3 counter",
  ]);
}

async function cookies(laptop: Host): Promise<number> {
  return Number(/packets (\d+)/.exec(await laptop.run("nft", ["list", "table", "inet", "load"]))?.[1]);
}

/** `connect` makes a device of the laptop start its first handshake, while its server is flooded. */
async function byCookie(
  l: Lab,
  publicKey: string,
  device: string,
  connect: () => Promise<unknown>,
): Promise<string> {
  const { laptop, internet } = l;
  const args = [FLOODER, "mac1", AGENT_ADDRESS, AGENT_PORT, publicKey, PER_SECOND, SECONDS].map(String);
  const flooder = internet.spawn(process.execPath, args);
  try {
    await flooder.waitForLine(/under load/);
    for (let attempt = 1; ; attempt++) {
      const before = await cookies(laptop);
      const start = performance.now();
      await connect();
      const session = async (): Promise<void> => {
        const handshakes = await laptop.run("wg", ["show", device, "latest-handshakes"]);
        assert(/\t[1-9]\d*$/m.test(handshakes), `none: ${handshakes}`);
      };
      await eventually("a session", session, SESSION_LIMIT_MS);
      const ms = Math.round(performance.now() - start);
      assert(flooder.running, "the flood was over");
      const received = (await cookies(laptop)) - before;
      // boringtun works on the first hundred messages of each second without one.
      if (received > 0) return `${ms} ms, ${received} cookies`;
      assert(attempt < ATTEMPTS, "it needed no cookie: there was no load");
    }
  } finally {
    await flooder.stop();
  }
}

async function atOurAgent(l: Lab, theirs: Implementation, agent: Agent): Promise<void> {
  const { laptop } = l;
  const credential = parseCredential(readFileSync(await agent.invite(theirs.name), "utf8"));
  const { publicKey } = credential.agent;
  let program: Program | undefined;
  await l.check(`${theirs.name} gets a session with our agent under load, by a cookie`, () =>
    byCookie(l, publicKey, "wg0", async () => {
      const { privateKey, presharedKey, innerAddresses } = credential;
      const peer = { publicKey, presharedKey, endpoint: ENDPOINT, allowedIps: ["10.96.0.0/16"] };
      program = await startWireguardGo(laptop, {
        ...theirs,
        device: "wg0",
        privateKey,
        addresses: [`${innerAddresses[0]}/32`],
        peers: [{ ...peer, keepaliveSeconds: 1 }],
      });
    }),
  );
  await stop(laptop, program);
}

async function atTheirServer(l: Lab, theirs: Implementation): Promise<void> {
  const { laptop, cluster } = l;
  const [ours, server] = [makeKeyPair(), makeKeyPair()];
  const presharedKey = makeKeyPair().privateKey;
  const where = { publicKey: server.publicKey, endpoint: ENDPOINT };
  const credential = credentialFor(theirs.name, ours.privateKey, presharedKey, where);
  const czctl = new Czctl(laptop);
  const catalogFile = join(cluster.dir, "catalog.json");
  const catalog = { zone: "cluster.local", teamspace: "x", agentVersion: "0", services: [] };
  writeFileSync(catalogFile, JSON.stringify(catalog));
  const programs: Program[] = [];
  await l.check(`czctl gets a session with ${theirs.name} under load, by a cookie`, async () => {
    // A peer that boringtun knows already passes its limits by, through a socket of its own.
    const unconnected = theirs.name === "boringtun" ? ["--disable-connected-udp"] : [];
    const program = await startWireguardGo(cluster, {
      ...theirs,
      flags: [...theirs.flags, ...unconnected],
      device: "wg0",
      privateKey: server.privateKey,
      listenPort: AGENT_PORT,
      addresses: ["100.126.0.1/32", "fd00:126::1/128"],
      peers: [{ publicKey: ours.publicKey, presharedKey, allowedIps: ["100.126.0.2/32", "fd00:126::2/128"] }],
    });
    const control = cluster.spawn(process.execPath, [CONTROL_API, "100.126.0.1", catalogFile]);
    programs.push(program, control);
    await control.waitForLine(/ready/);
    const file = join(laptop.dir, `${theirs.name}.credential`);
    writeFileSync(file, formatCredential(credential), { mode: 0o600 });
    await czctl.run(["space", "add", file]);
    await czctl.run(["space", "select", theirs.name]);
    await czctl.up();
    await czctl.waitUntilConnected();
    const peer = ["set", "czctl0", "peer", server.publicKey];
    const key = join(laptop.dir, "preshared-key");
    writeFileSync(key, presharedKey, { mode: 0o600 });
    const again = ["preshared-key", key, "endpoint", ENDPOINT, "persistent-keepalive", "1"];
    return byCookie(l, server.publicKey, "czctl0", async () => {
      await laptop.run("wg", [...peer, "remove"]);
      await laptop.run("wg", [...peer, ...again]);
    });
  });
  await czctl.exec(["down"]);
  for (const program of programs) await stop(cluster, program);
}

/** Its socket too: some implementations do not notice that their device is gone. */
async function stop(host: Host, program: Program | undefined): Promise<void> {
  await program?.stop();
  await host.run("rm", ["-f", "/run/wireguard/wg0.sock"]);
}

await lab(import.meta.url, async l => {
  const { laptop, cluster, sandbox } = l;
  const ready = await l.check(
    "a counter of cookies",
    async () => {
      await countCookies(laptop);
      const directory = cluster.outside("/run/wireguard");
      mkdirSync(directory);
      if (sandbox.root) chownSync(directory, NOBODY, NOBODY);
      return undefined;
    },
    { needs: ["/dev/net/tun", "wg", "nft"] },
  );
  if (!ready) return;
  const there = [];
  for (const each of IMPLEMENTATIONS) {
    if (missing([each.binary]).length === 0) there.push(each);
    else await l.check(`${each.name} in both roles`, async () => undefined, { needs: [each.binary] });
  }
  const agent = await Agent.make(sandbox, cluster, { catalog: catalogText([]) });
  for (const each of there) await atOurAgent(l, each, agent);
  await agent.program?.stop();
  for (const each of there) await atTheirServer(l, each);
});
