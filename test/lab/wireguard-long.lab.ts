/**
 * What takes minutes, for `npm run lab:wireguard-long`: rekeying after 120 s and a NAT that forgets after 30 s,
 * with time really passing and each implementation at once.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseCredential } from "../../src/catalog/index.js";
import { catalogText } from "./catalog.js";
import { Agent, Czctl } from "./czctl.js";
import type { Host } from "./host.js";
import { assert, assertEqual, type Lab, lab, missing } from "./lab.js";
import type { Program } from "./program.js";
import { AGENT_PORT, addClusterAddresses } from "./topology.js";
import { IMPLEMENTATIONS, type Implementation, startWireguardGo } from "./wireguard-go.js";
import { openUapiDirectory } from "./wireguard-server.js";

const SERVICE = fileURLToPath(new URL("../../demo/service.js", import.meta.url));
const FRONTEND = "10.96.0.30";
const NAT_TIMEOUT_S = 30;
const QUIET_MS = 45_000;
const REKEY_MS = 140_000;

/** Says "late" to whoever connects, after a while; nothing goes to and fro until then. */
const LATE = `require("net").createServer(s => setTimeout(() => s.end("late\\n"), ${QUIET_MS})).listen(7, "0.0.0.0", () => console.log("ready"))`;

const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms));

async function startClient(host: Host, agent: Agent, index: number, which: Implementation): Promise<Program> {
  const credential = parseCredential(readFileSync(await agent.invite(which.name), "utf8"));
  const { publicKey, endpoint } = credential.agent;
  return startWireguardGo(host, {
    ...which,
    device: `wg${index}`,
    privateKey: credential.privateKey,
    addresses: [`${credential.innerAddresses[0]}/32`],
    peers: [
      {
        publicKey,
        presharedKey: credential.presharedKey,
        endpoint,
        allowedIps: [`10.96.1.${index}/32`],
        keepaliveSeconds: 25,
      },
    ],
  });
}

async function masquerade(internet: Host): Promise<void> {
  await internet.run("nft", ["-f", "-"], {
    input:
      "table ip nat {\nchain post {\ntype nat hook postrouting priority 100;\noifname cluster masquerade\n}\n}\n",
  });
  for (const key of ["nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"]) {
    await internet.sysctl(`net.netfilter.${key}`, String(NAT_TIMEOUT_S));
  }
}

/** A connection on which nothing moves for longer than the NAT remembers; then the server speaks. */
async function hearsLate(host: Host, address: string): Promise<void> {
  const script = `exec 3<>/dev/tcp/${address}/7; read -t ${QUIET_MS / 1000 + 10} -u 3 line; echo "$line"`;
  const out = await host.run("bash", ["-c", script], { timeoutMs: QUIET_MS + 20_000 });
  assert(out === "late\n", `heard ${JSON.stringify(out)}`);
}

async function timePasses(l: Lab, agent: Agent, there: readonly Implementation[]): Promise<void> {
  const { laptop, cluster } = l;
  const limit = { timeoutMs: REKEY_MS + 60_000 };
  const programs: Program[] = [];
  for (const [index, each] of there.entries()) programs.push(await startClient(laptop, agent, index, each));
  // As our agent sees it: boringtun reports a handshake's age by a clock of its own.
  const handshakes = async (): Promise<Map<string, number>> => {
    const lines = await cluster.run("wg", ["show", `czctl-${AGENT_PORT}`, "latest-handshakes"]);
    return new Map(
      lines
        .trim()
        .split("\n")
        .map(line => [line.split("\t")[0] as string, Number(line.split("\t")[1])]),
    );
  };
  const targets = ["late.shop", ...there.map((_, index) => `10.96.1.${index}`)];
  const names = ["czctl", ...there.map(each => each.name)].join(", ");
  await l.check(
    `a NAT of ${NAT_TIMEOUT_S} s, quiet for ${QUIET_MS / 1000} s, then the far end speaks: ${names}`,
    async () => {
      await Promise.all(targets.map(target => hearsLate(laptop, target)));
      return undefined;
    },
    limit,
  );
  await l.check(
    `new keys after 120 s, while data flows: ${names}`,
    async () => {
      const first = await handshakes();
      const gaps = new Map<string, number>();
      for (const end = Date.now() + REKEY_MS; Date.now() < end; await sleep(2_000)) {
        await Promise.all(
          targets.map(target =>
            laptop.run("bash", ["-c", `timeout 5 bash -c 'exec 3<>/dev/tcp/${target}/7'`]),
          ),
        );
        for (const [key, at] of await handshakes())
          if (at > (first.get(key) ?? 0)) gaps.set(key, at - (first.get(key) ?? 0));
      }
      assertEqual(gaps.size, targets.length, "peers with new keys");
      const seconds = [...gaps.values()];
      assert(
        seconds.every(gap => gap >= 118 && gap <= 130),
        `seconds between handshakes: ${seconds}`,
      );
      return `${seconds.join(", ")} s after the ones before`;
    },
    limit,
  );
  for (const program of programs) await program.stop();
}

await lab(import.meta.url, async l => {
  const { laptop, internet, cluster, sandbox } = l;
  const needs = ["/dev/net/tun", "wg", "curl", "nft", "bash"];
  if (process.env.CZCTL_LONG !== "1") needs.push("CZCTL_LONG=1");
  let agent: Agent | undefined;
  const there = IMPLEMENTATIONS.filter(({ binary }) => missing([binary]).length === 0);
  const ready = await l.check(
    "czctl and an agent, with a NAT between",
    async () => {
      const own = [...Array(10).keys()].map(i => `10.96.1.${i}`);
      await addClusterAddresses(cluster, [FRONTEND, "10.96.0.31", ...own]);
      const server = cluster.spawn(process.execPath, [SERVICE, "http", FRONTEND, "80", "frontend"]);
      await server.waitForLine(/ready/);
      const late = cluster.spawn(process.execPath, ["-e", LATE]);
      await late.waitForLine(/ready/);
      await masquerade(internet);
      openUapiDirectory(l);
      const latePort = { protocol: "TCP" as const, name: "late", port: 7 };
      const catalog = catalogText([
        {
          namespace: "shop",
          name: "frontend",
          clusterIps: [FRONTEND],
          ports: [{ ...latePort, name: "http", port: 80 }],
        },
        { namespace: "shop", name: "late", clusterIps: ["10.96.0.31"], ports: [latePort] },
        ...own.map((address, i) => ({
          namespace: "stock",
          name: `late${i}`,
          clusterIps: [address],
          ports: [latePort],
        })),
      ]);
      agent = await Agent.make(sandbox, cluster, { catalog });
      const czctl = new Czctl(laptop);
      await czctl.run(["space", "add", await agent.invite("laptop")]);
      await czctl.up();
      await czctl.waitUntilConnected();
      return undefined;
    },
    { needs },
  );
  if (!ready || agent === undefined) return;
  for (const each of IMPLEMENTATIONS.filter(one => !there.includes(one))) {
    await l.check(each.name, async () => undefined, { needs: [each.binary] });
  }
  await timePasses(l, agent, there);
});
