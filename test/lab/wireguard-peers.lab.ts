/**
 * Other people's WireGuard, each in both roles against ours: preshared key, IPv6 outside, small MTU, roaming in
 * the middle of a download, a wrong key, replayed datagrams. What is not installed is skipped, and says so.
 */
import { createHash, randomBytes } from "node:crypto";
import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseCredential, type Service } from "../../src/catalog/index.js";
import { catalogText } from "./catalog.js";
import { Agent, Czctl } from "./czctl.js";
import type { Host } from "./host.js";
import { assert, assertEqual, type Lab, lab } from "./lab.js";
import { eventually } from "./program.js";
import {
  AGENT_ADDRESS,
  AGENT_ADDRESS_6,
  AGENT_PORT,
  addClusterAddresses,
  LAPTOP_ADDRESS,
} from "./topology.js";
import { type Implementation, makeKeyPair, startWireguardGo } from "./wireguard-go.js";
import {
  installedImplementations,
  openUapiDirectory,
  StandardServer,
  stopWireguard,
} from "./wireguard-server.js";

const PACED_SERVER = fileURLToPath(new URL("paced-server.js", import.meta.url));
const REPLAYER = fileURLToPath(new URL("replayer.js", import.meta.url));
const FILES = "10.96.0.30";
const FILES_SERVICE: Service = {
  namespace: "shop",
  name: "files",
  kind: "cluster",
  ports: [{ name: "http", protocol: "tcp", port: 80 }],
  targets: [FILES],
  endpoints: [],
};
const BODY = randomBytes(8_000_000);
const DIGEST = createHash("sha256").update(BODY).digest("hex");
const ENDPOINT = `${AGENT_ADDRESS}:${AGENT_PORT}`;
const ENDPOINT_6 = `[${AGENT_ADDRESS_6}]:${AGENT_PORT}`;
const ELSEWHERE = "192.0.2.3";
const AGENT_DEVICE = `czctl-${AGENT_PORT}`;
const INITIATION_BYTES = 148;
/** For two: REKEY_TIMEOUT and its jitter are between them. */
const ATTEMPTS_MS = 8_000;

/** Downloads and compares; `meanwhile` happens in the middle of it. */
async function download(l: Lab, name: string, meanwhile?: () => Promise<void>): Promise<void> {
  const { laptop, cluster } = l;
  const out = join(laptop.dir, "download");
  rmSync(out, { force: true });
  const url = `http://${name}/${meanwhile === undefined ? "whole" : "paced"}`;
  const program = laptop.spawn("curl", ["-sS", "--fail", "--no-buffer", "--max-time", "40", "-o", out, url]);
  if (meanwhile !== undefined) {
    await eventually(
      "the download is under way",
      () => assert(statSync(out).size > 200_000, "too early"),
      20_000,
    );
    await meanwhile();
    assert(program.running, `the download is over already\n${program.tail()}`);
    await cluster.run("curl", ["-sS", "--fail", `http://${FILES}/rest`]);
  }
  assertEqual((await program.exited).code, 0, `curl's exit code\n${program.tail()}`);
  assertEqual(createHash("sha256").update(readFileSync(out)).digest("hex"), DIGEST, "digest");
}

/** The laptop is somewhere else from one moment to the next; to where it is already, nothing happens. */
async function move(laptop: Host, from: string, to: string): Promise<void> {
  if ((await laptop.run("ip", ["-4", "addr", "show", "dev", "eth0"])).includes(`${to}/`)) return;
  await laptop.ip(
    `addr del ${from}/24 dev eth0\naddr add ${to}/24 dev eth0\nroute replace default via 192.0.2.1\n`,
  );
}

async function theirClient(l: Lab, theirs: Implementation, agent: Agent): Promise<void> {
  const { laptop, cluster } = l;
  const name = `${theirs.name} → agent`;
  const credential = parseCredential(readFileSync(await agent.invite(theirs.name), "utf8"));
  /** A fresh start each time: boringtun 0.7.1 dies of a change to a peer that it has. */
  const connected = async (
    endpoint: string,
    body: () => Promise<string | undefined>,
    keys: { privateKey?: string; presharedKey?: string } = {},
  ): Promise<string | undefined> => {
    const { publicKey } = credential.agent;
    const program = await startWireguardGo(laptop, {
      ...theirs,
      device: "wg0",
      privateKey: keys.privateKey ?? credential.privateKey,
      addresses: [`${credential.innerAddresses[0]}/32`],
      // Without keep-alives a client that only receives takes 15 s to notice that it moved.
      peers: [
        {
          publicKey,
          presharedKey: keys.presharedKey ?? credential.presharedKey,
          endpoint,
          allowedIps: ["10.96.0.0/16"],
          keepaliveSeconds: 1,
        },
      ],
    });
    return body().finally(() => stopWireguard(laptop, program));
  };
  const seenByAgent = (): Promise<string> => cluster.run("wg", ["show", AGENT_DEVICE, "endpoints"]);
  await l.check(`${name}: preshared key, IPv6 outside, MTU 1420 and 1280`, () =>
    connected(ENDPOINT_6, async () => {
      await download(l, FILES);
      await laptop.ip("link set wg0 mtu 1280\n");
      await download(l, FILES);
      return undefined;
    }),
  );
  await l.check(`${name}: address and port change in the middle of a download`, () =>
    connected(ENDPOINT, async () => {
      await download(l, FILES, async () => {
        await move(laptop, LAPTOP_ADDRESS, ELSEWHERE);
        await laptop.run("wg", ["set", "wg0", "listen-port", "45678"]);
      }).finally(() => move(laptop, ELSEWHERE, LAPTOP_ADDRESS));
      const seen = await seenByAgent();
      assert(seen.includes(`${ELSEWHERE}:45678`), seen);
      return undefined;
    }),
  );
  await l.check(`${name}: every datagram also replayed, from another port`, () =>
    throughReplayer(l, async port => {
      await connected(`192.0.2.1:${AGENT_PORT}`, async () => {
        await download(l, FILES);
        const seen = await seenByAgent();
        assert(seen.includes(`203.0.113.1:${port}\n`), `a replay moved the endpoint: ${seen}`);
        return undefined;
      });
    }),
  );
  for (const [what, wrong] of [
    ["preshared", { presharedKey: makeKeyPair().privateKey }],
    ["private", { privateKey: makeKeyPair().privateKey }],
  ] as const) {
    await l.check(`${name}: a wrong ${what} key gets no session`, () =>
      connected(
        ENDPOINT,
        async () => {
          const result = await laptop.exec("curl", ["-sS", "--max-time", "1", `http://${FILES}/whole`]);
          assert(result.code !== 0, "it got through");
          await noSession(laptop, "wg0");
          return undefined;
        },
        wrong,
      ),
    );
  }
}

/** With a relay at 192.0.2.1 that repeats everything; `body` is told the port that it sends from. */
async function throughReplayer(l: Lab, body: (port: string) => Promise<void>): Promise<string> {
  const relay = l.internet.spawn(process.execPath, [REPLAYER, String(AGENT_PORT), AGENT_ADDRESS]);
  await relay.waitForLine(/ready/);
  const [, port = ""] = await relay.waitForLine(/forwards from (\d+)/);
  await body(port).finally(() => relay.stop());
  const replayed = /replayed (\d+)/.exec(relay.stdout)?.[1];
  assert(Number(replayed) > 100, `replayed ${replayed}`);
  return `${replayed} replayed`;
}

async function noSession(host: Host, device: string): Promise<void> {
  const handshakes = await host.run("wg", ["show", device, "latest-handshakes"]);
  assert(!/\t[1-9]\d*$/m.test(handshakes), `a session came up: ${handshakes}`);
}

async function theirServer(l: Lab, implementation: Implementation): Promise<void> {
  const { laptop, cluster } = l;
  const name = `czctl → ${implementation.name}`;
  const server = new StandardServer(l, implementation);
  const { publicKey } = server.keys;
  const czctl = new Czctl(laptop);
  const ok = await l.check(`${name}: preshared key, IPv6 outside, MTU 1420 and 1280`, async () => {
    await server.connect(czctl, ENDPOINT_6, [FILES_SERVICE]);
    await download(l, "files.shop");
    await cluster.ip("link set wg0 mtu 1280\n");
    await download(l, "files.shop");
    await cluster.ip("link set wg0 mtu 1420\n");
    return undefined;
  });
  if (ok) {
    await l.check(`${name}: the laptop's address changes in the middle of a download`, async () => {
      await download(l, "files.shop", async () => {
        await laptop.run("wg", ["set", "czctl0", "peer", publicKey, "endpoint", ENDPOINT]);
        await new Promise(resolve => setTimeout(resolve, 200));
        await move(laptop, LAPTOP_ADDRESS, ELSEWHERE);
      }).finally(() => move(laptop, ELSEWHERE, LAPTOP_ADDRESS));
      return undefined;
    });
    await l.check(`${name}: every datagram also replayed, from another port`, () =>
      throughReplayer(l, async port => {
        await laptop.run("wg", ["set", "czctl0", "peer", publicKey, "endpoint", `192.0.2.1:${AGENT_PORT}`]);
        await download(l, "files.shop");
        const seen = await cluster.run("wg", ["show", "wg0", "endpoints"]);
        assert(seen.includes(`203.0.113.1:${port}\n`), `a replay moved the endpoint: ${seen}`);
      }),
    );
    await l.check(`${name}: a wrong preshared key gets no session, the right one does`, async () => {
      await server.meetAnew(ENDPOINT, makeKeyPair().privateKey);
      const second = async (): Promise<void> => {
        const sent = (await laptop.run("wg", ["show", "czctl0", "transfer"])).trim().split("\t")[2];
        assert(Number(sent) >= 2 * INITIATION_BYTES, `sent ${sent} bytes`);
      };
      await eventually("a second initiation, as the first was answered in vain", second, ATTEMPTS_MS);
      await noSession(laptop, "czctl0");
      await server.meetAnew(ENDPOINT, server.presharedKey);
      // The first one is dropped when it comes within 20 ms of the last one with the wrong key.
      const session = async (): Promise<void> => {
        const handshakes = await laptop.run("wg", ["show", "czctl0", "latest-handshakes"]);
        assert(/\t[1-9]\d*$/m.test(handshakes), handshakes);
      };
      await eventually("a session", session, ATTEMPTS_MS);
      return undefined;
    });
  }
  await czctl.exec(["down"]);
  await server.stop();
}

await lab(import.meta.url, async l => {
  const { cluster, sandbox } = l;
  const ready = await l.check(
    "an agent that wg can see, and a file to download",
    async () => {
      await addClusterAddresses(cluster, [FILES]);
      const file = join(cluster.dir, "body");
      writeFileSync(file, BODY);
      await cluster.spawn(process.execPath, [PACED_SERVER, FILES, file]).waitForLine(/ready/);
      openUapiDirectory(l);
      return undefined;
    },
    { needs: ["/dev/net/tun", "wg", "curl"] },
  );
  if (!ready) return;
  const ports = [{ name: "http", protocol: "TCP" as const, port: 80 }];
  const catalog = catalogText([{ namespace: "shop", name: "files", clusterIps: [FILES], ports }]);
  const there = await installedImplementations(l);
  const agent = await Agent.make(sandbox, cluster, { catalog });
  for (const each of there) await theirClient(l, each, agent);
  await agent.program?.stop();
  for (const each of there) await theirServer(l, each);
});
