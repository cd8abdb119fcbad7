/**
 * A new session in the middle of a flood of initiations, by a cookie: other people's clients at our loaded agent,
 * czctl at their loaded servers.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseCredential } from "../../src/catalog/index.js";
import { catalogText } from "./catalog.js";
import { Agent, Czctl } from "./czctl.js";
import type { Host } from "./host.js";
import { assert, type Lab, lab } from "./lab.js";
import { eventually, type Program } from "./program.js";
import { AGENT_ADDRESS, AGENT_PORT } from "./topology.js";
import { type Implementation, startWireguardGo } from "./wireguard-go.js";
import {
  installedImplementations,
  openUapiDirectory,
  StandardServer,
  stopWireguard,
} from "./wireguard-server.js";

const FLOODER = fileURLToPath(new URL("flooder.js", import.meta.url));
const ENDPOINT = `${AGENT_ADDRESS}:${AGENT_PORT}`;
const PER_SECOND = 20_000;
const SECONDS = 40;
/** First try, a cookie, and the second 5 s later; one more of each may be lost among the flood. */
const SESSION_LIMIT_MS = 20_000;
const ATTEMPTS = 5;

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
  if (program !== undefined) await stopWireguard(laptop, program);
}

async function atTheirServer(l: Lab, theirs: Implementation): Promise<void> {
  // A peer that boringtun knows already passes its limits by, through a socket of its own.
  const unconnected = theirs.name === "boringtun" ? ["--disable-connected-udp"] : [];
  const server = new StandardServer(l, { ...theirs, flags: [...theirs.flags, ...unconnected] });
  const czctl = new Czctl(l.laptop);
  await l.check(`czctl gets a session with ${theirs.name} under load, by a cookie`, async () => {
    await server.connect(czctl, ENDPOINT, []);
    return byCookie(l, server.keys.publicKey, "czctl0", () => server.meetAnew(ENDPOINT, server.presharedKey));
  });
  await czctl.exec(["down"]);
  await server.stop();
}

await lab(import.meta.url, async l => {
  const { laptop, cluster, sandbox } = l;
  const ready = await l.check(
    "a counter of cookies",
    async () => {
      await countCookies(laptop);
      openUapiDirectory(l);
      return undefined;
    },
    { needs: ["/dev/net/tun", "wg", "nft"] },
  );
  if (!ready) return;
  const there = await installedImplementations(l);
  const agent = await Agent.make(sandbox, cluster, { catalog: catalogText([]) });
  for (const each of there) await atOurAgent(l, each, agent);
  await agent.program?.stop();
  for (const each of there) await atTheirServer(l, each);
});
