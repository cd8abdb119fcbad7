/** Both roles against WireGuard and TCP that we did not write: Debian's wireguard-go and the kernel. */
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Credential, parseCredential, type Service } from "../../src/catalog/index.js";
import { catalogText } from "./catalog.js";
import { Agent, Czctl } from "./czctl.js";
import { assert, assertEqual, type Lab, lab } from "./lab.js";
import { runIperf, startIperf, startNginx } from "./programs.js";
import { AGENT_ADDRESS, AGENT_PORT, addClusterAddresses } from "./topology.js";
import { startStandardClient } from "./wireguard-go.js";
import { StandardServer } from "./wireguard-server.js";

const NEEDS = ["/dev/net/tun", "wireguard-go", "wg", "curl", "nginx", "iperf3"];
const FILES = ["10.96.0.30", "fd00:96::30"];
const FILES_SERVICE: Service = {
  namespace: "shop",
  name: "files",
  kind: "cluster",
  ports: [80, 81, 5201].map(port => ({ name: `p${port}`, protocol: "tcp", port })),
  targets: FILES,
  endpoints: [],
};
const CLUSTER_PREFIXES = ["10.96.0.0/16", "fd00:96::/64"];
const SECOND = "203.0.113.77";
const SECOND_6 = "2001:db8:2::77";
const BODY = randomBytes(20_000_000);

async function transfers(
  l: Lab,
  who: string,
  v4: () => Promise<string>,
  v6: () => Promise<string>,
): Promise<void> {
  const { laptop, check } = l;
  for (const [family, address] of [
    ["IPv4", v4],
    ["IPv6", v6],
  ] as const) {
    await check(`${who}: 20 MB down over ${family}`, async () => {
      const out = join(laptop.dir, "download");
      const host = (await address()).replace(/^(.*:.*)$/, "[$1]");
      await laptop.run("curl", ["-sS", "--fail", "--max-time", "30", "-o", out, `http://${host}/body`]);
      assert(readFileSync(out).equals(BODY), "the body came changed");
      return undefined;
    });
  }
  await check(`${who}: 20 MB up`, async () => {
    const file = join(laptop.dir, "upload");
    writeFileSync(file, BODY);
    const url = `http://${await v4()}/upload/body`;
    await laptop.run("curl", ["-sS", "--fail", "--max-time", "30", "-T", file, url]);
    assert(readFileSync(join(l.cluster.dir, "nginx/www/upload/body")).equals(BODY), "the body came changed");
    return undefined;
  });
  await check(`${who}: a closed port is refused at once`, async () => {
    const result = await laptop.exec("curl", ["-sS", "--max-time", "5", `http://${await v4()}:81/`]);
    assertEqual(result.code, 7, `curl's exit code (${result.stderr.trim()})`);
    assert(result.ms < 1_500, `took ${result.ms} ms`);
    return undefined;
  });
  for (const direction of ["up", "down"] as const) {
    await check(`${who}: iperf3 ${direction}`, async () => {
      const { gigabitsPerSecond } = await runIperf(laptop, await v4(), direction, 2);
      return `${gigabitsPerSecond.toFixed(2)} Gbit/s`;
    });
  }
}

async function theirClient(l: Lab): Promise<void> {
  const ports = [80, 5201].map(port => ({ name: `p${port}`, protocol: "TCP" as const, port }));
  const catalog = catalogText([{ namespace: "shop", name: "files", clusterIps: FILES, ports }]);
  const agent = await Agent.make(l.sandbox, l.cluster, { catalog });
  const credential = await agent.invite("stock");
  const ok = await l.check("wireguard-go completes a handshake with our agent", async () => {
    const { agent: peer } = await startStandardClient(l.laptop, credential, [
      ...CLUSTER_PREFIXES,
      `${parseInner(credential)[0]}/32`,
    ]);
    await l.laptop.exec("ping", ["-c1", "-W2", peer.innerAddresses[0]]);
    const handshakes = await l.laptop.run("wg", ["show", "wg0", "latest-handshakes"]);
    assert(/\t[1-9]\d*$/m.test(handshakes), `wg show: ${handshakes}`);
    return undefined;
  });
  if (ok)
    await transfers(
      l,
      "wireguard-go → agent",
      async () => FILES[0] ?? "",
      async () => FILES[1] ?? "",
    );
  if (ok) await reachedElsewhere(l, credential);
  for (const program of [agent.program]) await program?.stop();
  await l.laptop.ip("link del wg0\n");
}

/** The second address of the agent's host, which the kernel never picks by itself. */
async function reachedElsewhere(l: Lab, credentialFile: string): Promise<void> {
  for (const [endpoint, address] of [
    [`${SECOND}:${AGENT_PORT}`, `${SECOND}/24`],
    [`[${SECOND_6}]:${AGENT_PORT}`, `${SECOND_6}/64`],
  ] as const) {
    await l.check(`an agent that is reached at ${endpoint} answers from there`, async () => {
      await l.cluster.ip(`addr add ${address} dev eth0${address.includes(":") ? " nodad" : ""}\n`);
      const { publicKey } = parseCredential(readFileSync(credentialFile, "utf8")).agent;
      await l.laptop.run("wg", ["set", "wg0", "peer", publicKey, "endpoint", endpoint]);
      await l.laptop.run("curl", [
        "-sS",
        "--fail",
        "--max-time",
        "20",
        "-o",
        "/dev/null",
        `http://${FILES[0]}/body`,
      ]);
      const seen = (await l.laptop.run("wg", ["show", "wg0", "endpoints"])).trim().split("\t")[1];
      assertEqual(seen, endpoint, "where the client hears the agent from");
      // It goes away under the agent, which goes on from another.
      await l.cluster.ip(`addr del ${address} dev eth0\n`);
      await l.laptop.run("wg", [
        "set",
        "wg0",
        "peer",
        publicKey,
        "endpoint",
        `${AGENT_ADDRESS}:${AGENT_PORT}`,
      ]);
      await l.laptop.run("curl", [
        "-sS",
        "--fail",
        "--max-time",
        "20",
        "-o",
        "/dev/null",
        `http://${FILES[0]}/body`,
      ]);
      return undefined;
    });
  }
}

function parseInner(credentialFile: string): [string, string] {
  return (JSON.parse(readFileSync(credentialFile, "utf8")) as Credential).agent.innerAddresses;
}

async function theirServer(l: Lab): Promise<void> {
  const czctl = new Czctl(l.laptop);
  const server = new StandardServer(l, { name: "stock", binary: "wireguard-go", flags: [] });
  const ok = await l.check("czctl up against wireguard-go and a kernel behind it", async () => {
    await server.connect(czctl, `${AGENT_ADDRESS}:${AGENT_PORT}`, [FILES_SERVICE]);
    return undefined;
  });
  if (!ok) return;
  const address = async (family: 4 | 6): Promise<string> =>
    (await czctl.services())[0]?.addresses.find(text => text.includes(":") === (family === 6)) ?? "none";
  await transfers(
    l,
    "czctl → wireguard-go",
    () => address(4),
    () => address(6),
  );
  await l.check("czctl down", async () => {
    await czctl.run(["down"]);
    return undefined;
  });
}

await lab(import.meta.url, async l => {
  const ready = await l.check(
    "servers in the cluster",
    async () => {
      await addClusterAddresses(l.cluster, FILES);
      const root = await startNginx(l.cluster, FILES);
      writeFileSync(join(root, "body"), BODY);
      await startIperf(l.cluster, FILES[0] ?? "");
      return undefined;
    },
    { needs: NEEDS },
  );
  if (!ready) return;
  await theirClient(l);
  await theirServer(l);
});
