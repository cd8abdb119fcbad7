/**
 * The path carries less than 1500 bytes: from the start and from the middle of a transfer on, with a router that
 * says so and with one that does not, in both directions, over IPv4 and IPv6, and with a standard peer.
 *
 * ```
 *   laptop ──1500── internet ──1500── cluster      `internet` forwards no packet over 1280 bytes; it
 *                                                    "tells"      answers with ICMP
 *                                                    "fragments"  cuts what may be cut, and says nothing
 *                                                    "drops"      says nothing
 * ```
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { PeerStatus } from "../../src/api/index.js";
import { formatCredential, parseCredential } from "../../src/catalog/index.js";
import type { Transfer } from "./bulk.js";
import { catalogText } from "./catalog.js";
import { Agent, Czctl } from "./czctl.js";
import type { Host } from "./host.js";
import { assert, assertEqual, type Lab, lab } from "./lab.js";
import { eventually } from "./program.js";
import { AGENT_ADDRESS_6, AGENT_PORT, addClusterAddresses } from "./topology.js";
import { startStandardClient } from "./wireguard-go.js";

const BULK = fileURLToPath(new URL("bulk.js", import.meta.url));
const FILES = "10.96.0.30";
const PATH_MTU = 1280;
/** The largest multiple of 16 that fits, over IPv4 and IPv6. */
const INNER = { 4: 1216, 6: 1200 } as const;
const INNER_UNLIMITED = 1420;
/** From the change to full speed again; the search itself takes a few round trips after the first time-out. */
const STALL_LIMIT_MS = 4_000;
const RATE = 3_000_000;
const NEEDS = ["/dev/net/tun", "nft"];

type Router = "carries" | "tells" | "fragments" | "drops";

/** How long a transfer lasts; a router that still gets packets through is found by the confirmation timer. */
const SECONDS = { carries: 3, tells: 7, fragments: 7, drops: 3 } as const;

const MUTE = `table inet small {
  chain out {
    type filter hook output priority 0
    icmp type destination-unreachable drop
    icmpv6 type packet-too-big drop
  }
}
`;
const DROP = `table inet small {
  chain through {
    type filter hook forward priority 0
    ip length > ${PATH_MTU} drop
    ip6 length > ${PATH_MTU - 40} drop
  }
}
`;

async function setRouter({ internet }: Lab, router: Router): Promise<void> {
  const table = router === "fragments" ? MUTE : router === "drops" ? DROP : null;
  await internet.exec("nft", ["delete", "table", "inet", "small"]);
  if (table !== null) await internet.run("nft", ["-f", "-"], { input: table });
  const limit = router === "tells" || router === "fragments" ? ` mtu ${PATH_MTU}` : "";
  await internet.ip(
    `route replace 192.0.2.0/24 dev laptop proto kernel scope link src 192.0.2.1${limit}\n` +
      `route replace 203.0.113.0/24 dev cluster proto kernel scope link src 203.0.113.1${limit}\n` +
      `route replace 2001:db8:1::/64 dev laptop proto kernel metric 256${limit}\n` +
      `route replace 2001:db8:2::/64 dev cluster proto kernel metric 256${limit}\n`,
  );
}

/** Forgets what earlier checks taught the kernels. */
async function forgetPaths({ laptop, cluster }: Lab): Promise<void> {
  for (const host of [laptop, cluster]) {
    await host.run("sh", ["-c", "ip route flush cache; ip -6 route flush cache"]);
  }
}

/** Outer packets that arrived in pieces, of both families. */
async function fragmentsSeen(host: Host): Promise<number> {
  const text = await host.run("sh", ["-c", "cat /proc/net/snmp /proc/net/snmp6"]);
  const [names = "", values = ""] = text.split("\n").filter(line => line.startsWith("Ip:"));
  const v4 = Number(values.split(" ")[names.split(" ").indexOf("ReasmReqds")]);
  return v4 + Number(/Ip6ReasmReqds\s+(\d+)/.exec(text)?.[1]);
}

class Ends {
  readonly czctl: Czctl;
  readonly agent: Agent;
  /** As the agent knows the laptop. */
  device = "laptop";
  #moves = 0;

  constructor(czctl: Czctl, agent: Agent) {
    this.czctl = czctl;
    this.agent = agent;
  }

  async sizes(): Promise<{ laptop: Partial<PeerStatus>; agent: Partial<PeerStatus> }> {
    const { dataplane } = await this.czctl.status();
    const rows = JSON.parse(await this.agent.run(["peers", "--json"])) as {
      name: string;
      live?: Partial<PeerStatus>;
    }[];
    const agent = rows.find(row => row.name === this.device)?.live ?? {};
    return { laptop: dataplane?.peers[0] ?? {}, agent };
  }

  /** The laptop has another address, of either family: both ends ask anew what the path carries. */
  async move({ laptop }: Lab): Promise<void> {
    this.#moves++;
    const at = this.#moves % 2 === 1 ? 3 : 2;
    await laptop.ip(
      `addr replace 192.0.2.${at}/24 dev eth0\naddr replace 2001:db8:1::${at}/64 dev eth0 nodad\n` +
        `route replace default via 192.0.2.1 src 192.0.2.${at}\n` +
        `route replace ::/0 via 2001:db8:1::1 src 2001:db8:1::${at}\n`,
    );
  }

  /** Both ends have found this size. */
  async settled(mtu: number, timeoutMs = 5_000): Promise<void> {
    await eventually(
      `both ends send ${mtu} bytes`,
      async () => {
        const { laptop, agent } = await this.sizes();
        for (const [name, end] of Object.entries({ laptop, agent })) {
          assert(end.pathMtu === "confirmed" && end.mtu === mtu, `${name}: ${end.mtu}, ${end.pathMtu}`);
        }
      },
      timeoutMs,
      100,
    );
  }
}

/** One transfer, with something that happens a second after its first byte. */
async function transfer(
  { laptop }: Lab,
  how: "down" | "up",
  bytes: number,
  during: () => Promise<void> = async () => {},
): Promise<Transfer> {
  const program = laptop.spawn(process.execPath, [BULK, how, `http://files.shop/${bytes}/${RATE}`]);
  await program.waitForLine(/started/);
  await new Promise(resolve => setTimeout(resolve, 1_000));
  await during();
  const exit = await program.exited;
  const line = program.stdout.trim().split("\n").at(-1) ?? "";
  assert(exit.code === 0 && line.startsWith("{"), `${how}: exit ${exit.code}: ${program.stderr.trim()}`);
  const result = JSON.parse(line) as Transfer;
  assert(result.exact, `${how}: ${result.bytes} of ${bytes} bytes, or not the right ones`);
  return result;
}

async function fromTheStart(l: Lab, ends: Ends, router: Router): Promise<string> {
  await ends.czctl.run(["down"]);
  await forgetPaths(l);
  await setRouter(l, router);
  await ends.czctl.up();
  const start = performance.now();
  const first = await transfer(l, "down", 20_000);
  const toFirst = performance.now() - start;
  await ends.settled(INNER[4]);
  const before = [await fragmentsSeen(l.laptop), await fragmentsSeen(l.cluster)];
  const down = await transfer(l, "down", RATE);
  const up = await transfer(l, "up", RATE);
  assertEqual([await fragmentsSeen(l.laptop), await fragmentsSeen(l.cluster)], before, "fragments");
  assert(first.stallMs < STALL_LIMIT_MS, `the first download stood still for ${first.stallMs} ms`);
  assert(Math.max(down.stallMs, up.stallMs) < 1_000, `later ones for ${down.stallMs} and ${up.stallMs} ms`);
  return `first 20 kB ${Math.round(toFirst)} ms after up, no fragments afterwards`;
}

async function during(
  l: Lab,
  ends: Ends,
  how: "down" | "up",
  router: Router,
  family: 4 | 6,
): Promise<string> {
  await setRouter(l, "carries");
  await forgetPaths(l);
  await ends.move(l);
  await ends.settled(INNER_UNLIMITED);
  const result = await transfer(l, how, RATE * SECONDS[router], () => setRouter(l, router));
  const { laptop, agent } = await ends.sizes();
  assertEqual((how === "down" ? agent : laptop).mtu, INNER[family], "size at the sender");
  assert(result.stallMs < STALL_LIMIT_MS, `it stood still for ${Math.round(result.stallMs)} ms`);
  return `stood still for ${Math.round(result.stallMs)} ms, ${(result.bytes / 1e6).toFixed(0)} MB byte-exact`;
}

/** The credential of one more device, whose agent is at its IPv6 address. */
async function overIpv6(agent: Agent, laptop: Host): Promise<string> {
  const credential = parseCredential(readFileSync(await agent.invite("six"), "utf8"));
  credential.teamspace = "six";
  credential.agent.endpoint = `[${AGENT_ADDRESS_6}]:${AGENT_PORT}`;
  const file = join(laptop.dir, "six.credential");
  writeFileSync(file, formatCredential(credential), { mode: 0o600 });
  return file;
}

await lab(import.meta.url, async l => {
  const { laptop, cluster, sandbox, check } = l;
  await addClusterAddresses(cluster, [FILES]);
  const server = cluster.spawn(process.execPath, [BULK, "serve", FILES]);
  await server.waitForLine(/ready/);
  const port = { name: "http", protocol: "TCP" as const, port: 80 };
  const catalog = catalogText([{ namespace: "shop", name: "files", clusterIps: [FILES], ports: [port] }]);
  const agent = await Agent.make(sandbox, cluster, { catalog });
  const ends = new Ends(new Czctl(laptop), agent);
  await ends.czctl.run(["space", "add", await agent.invite("laptop")]);

  // Cut into datagrams before they leave, or the router would see 64 KiB at once.
  for (const host of [laptop, cluster]) await host.ip("link set eth0 gso_max_segs 1\n");
  const ready = await check(
    "a path of 1500 bytes is confirmed as it is",
    async () => {
      await ends.czctl.up();
      await ends.settled(INNER_UNLIMITED);
      return undefined;
    },
    { needs: NEEDS },
  );
  if (!ready) return;
  await check("RFC 1191: from the start, a router that says what it does not forward", () =>
    fromTheStart(l, ends, "tells"),
  );
  await check("RFC 8899: from the start, a router that drops it silently", () =>
    fromTheStart(l, ends, "drops"),
  );
  for (const [how, what] of [
    ["down", "a download"],
    ["up", "an upload"],
  ] as const) {
    await check(`RFC 1191: in the middle of ${what}, with ICMP`, () => during(l, ends, how, "tells", 4));
    await check(`RFC 8899 §4.3: in the middle of ${what}, silently`, () => during(l, ends, how, "drops", 4));
  }
  await check("RFC 8899 §5.1.1: a router that fragments is found by the confirmation timer", () =>
    during(l, ends, "down", "fragments", 4),
  );
  await check("the path grows: found when the laptop moves", async () => {
    assertEqual((await ends.sizes()).agent.mtu, INNER[4], "size before");
    await setRouter(l, "carries");
    const result = await transfer(l, "down", RATE * 3, () => ends.move(l));
    await ends.settled(INNER_UNLIMITED);
    return `stood still for ${Math.round(result.stallMs)} ms`;
  });
  const six = await check("over IPv6", async () => {
    await ends.czctl.run(["down"]);
    await ends.czctl.run(["space", "add", await overIpv6(agent, laptop)]);
    ends.device = "six";
    await setRouter(l, "carries");
    await ends.czctl.up(["--space", "six"]);
    await ends.settled(INNER_UNLIMITED);
    return undefined;
  });
  if (six) {
    await check("RFC 8201: in the middle of a download over IPv6, with ICMP", () =>
      during(l, ends, "down", "tells", 6),
    );
    await check("RFC 8899 §4.3: in the middle of an upload over IPv6, silently", () =>
      during(l, ends, "up", "drops", 6),
    );
  }
  await check(
    "a standard peer: the agent finds the size alone, and offers it",
    async () => {
      await ends.czctl.run(["down"]);
      await forgetPaths(l);
      await setRouter(l, "drops");
      await startStandardClient(laptop, await agent.invite("phone"), [`${FILES}/32`]);
      laptop.writeEtc("hosts", `127.0.0.1 localhost\n${FILES} files.shop\n`);
      const first = await transfer(l, "down", RATE * 2);
      assert(first.stallMs < STALL_LIMIT_MS, `it stood still for ${Math.round(first.stallMs)} ms`);
      const up = await transfer(l, "up", RATE);
      await laptop.ip("link del wg0\n");
      return `the first download stood still for ${Math.round(first.stallMs)} ms, an upload for ${Math.round(up.stallMs)} ms`;
    },
    { needs: ["wireguard-go", "wg"] },
  );
});
