/**
 * What the coexistence labs add to the topology: an office that is reached through a VPN, a web server
 * everywhere, and the laptop's resolver as a VPN client would set it.
 *
 * ```
 *   laptop 192.0.2.2 ── internet ── cluster (agent, service "files" at 10.96.0.30)
 *                          │ lo: 198.41.0.4 (a web server of the internet)
 *                          └─────── office 198.51.100.10 (VPN server)
 *                                      lo: 10.20.0.80 and 198.18.200.80 (web), 10.20.0.53 (name server)
 * ```
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { catalogText } from "../catalog.js";
import { Agent, Czctl } from "../czctl.js";
import { Host } from "../host.js";
import { startDnsmasq } from "../programs.js";
import type { Sandbox } from "../sandbox.js";
import { addClusterAddresses, makeTopology, type Topology } from "../topology.js";

export const OFFICE_ADDRESS = "198.51.100.10";
export const INTERNET_WEB = "198.41.0.4";
export const OFFICE_WEB = "10.20.0.80";
/** In the range that czctl takes first. */
export const OFFICE_WEB_OVERLAP = "198.18.200.80";
export const OFFICE_NAME = "intra.office.test";
/** Addresses that VPNs give the laptop; the internet knows the way back. */
export const VPN_CLIENT = "10.8.0.2";
const OFFICE_DNS = "10.20.0.53";
const FILES = "10.96.0.30";

/** Lasts a few seconds at the speed that `startDownload` allows. */
export const BIG_BYTES = 6_000_000;
const DOWNLOAD_BYTES_PER_SECOND = 1_500_000;

/** `/who`: who answers, and whom it sees. `/big`: bytes that anybody can compute. */
const WEB = `
const http = require("http"), [name, ...addresses] = process.argv.slice(1);
const big = Buffer.alloc(${BIG_BYTES});
for (let i = 0, x = 1; i < big.length; i++) { x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff; big[i] = x >> 16; }
let left = addresses.length;
for (const address of addresses) http.createServer((q, r) => {
  r.setHeader("connection", "close");
  r.end(q.url === "/big" ? big : name + " to " + q.socket.remoteAddress);
}).listen(80, address, () => --left === 0 && console.log("ready"));
`;

export function bigSha256(): string {
  const big = Buffer.alloc(BIG_BYTES);
  for (let i = 0, x = 1; i < big.length; i++) {
    x = (Math.imul(x, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    big[i] = x >> 16;
  }
  return createHash("sha256").update(big).digest("hex");
}

export interface World extends Topology {
  office: Host;
  agent: Agent;
  czctl: Czctl;
}

export async function makeWorld(sandbox: Sandbox): Promise<World> {
  return addOffice(sandbox, await makeTopology(sandbox));
}

export async function addOffice(sandbox: Sandbox, topology: Topology): Promise<World> {
  const { laptop, internet, cluster } = topology;
  const office = await Host.make(sandbox, "office");
  await internet.ip(
    `link add office mtu 1500 type veth peer name eth0 mtu 1500 netns ${office.pid}\nlink set office up\n` +
      `addr add 198.51.100.1/24 dev office\naddr add ${INTERNET_WEB}/32 dev lo\n`,
  );
  await office.ip(
    `link set eth0 up\naddr add ${OFFICE_ADDRESS}/24 dev eth0\nroute add default via 198.51.100.1\n` +
      [OFFICE_WEB, OFFICE_DNS, OFFICE_WEB_OVERLAP].map(address => `addr add ${address}/32 dev lo\n`).join(""),
  );
  await internet.ip(`route add 10.8.0.0/24 via ${OFFICE_ADDRESS}\n`);
  await office.sysctl("net.ipv4.ip_forward", "1");
  await addClusterAddresses(cluster, [FILES]);
  for (const [host, addresses] of [
    [internet, [INTERNET_WEB]],
    [office, [OFFICE_WEB, OFFICE_WEB_OVERLAP]],
    [cluster, [FILES]],
  ] as const) {
    const web = host.spawn(process.execPath, ["-e", WEB, host.name, ...addresses]);
    await web.waitForLine(/ready/);
  }
  await startDnsmasq(office, OFFICE_DNS, { [OFFICE_NAME]: OFFICE_WEB });
  const port = { name: "http", protocol: "TCP" as const, port: 80 };
  const catalog = catalogText([{ namespace: "shop", name: "files", clusterIps: [FILES], ports: [port] }]);
  const agent = await Agent.make(sandbox, cluster, { catalog });
  const czctl = new Czctl(laptop);
  await czctl.run(["space", "add", await agent.invite("laptop")]);
  const close = async (): Promise<void> => {
    await office.close();
    await topology.close();
  };
  return { ...topology, hosts: [...topology.hosts, office], office, agent, czctl, close };
}

/** What a VPN client does with the name server that it is told. */
export function useOfficeResolver({ laptop }: World, on: boolean): void {
  laptop.writeEtc("resolv.conf", on ? `nameserver ${OFFICE_DNS}\n` : "# no name server here\n");
}

/** The body, or why there is none. */
export async function get({ laptop }: World, url: string): Promise<string> {
  const result = await laptop.exec("curl", ["-sS", "--fail", "--max-time", "5", url]);
  return result.code === 0 ? result.stdout : `${result.stderr.trim()} (exit ${result.code})`;
}

/** A download that takes a few seconds; resolves with the SHA-256 of what came, or why it broke. */
export async function startDownload({ laptop }: World, url: string): Promise<{ done: Promise<string> }> {
  const script = `set -o pipefail; curl -sS --fail --max-time 60 --limit-rate ${DOWNLOAD_BYTES_PER_SECOND} "$1" | sha256sum`;
  const program = laptop.exec("bash", ["-c", script, "bash", url], { timeoutMs: 70_000 });
  const done = program.then(({ code, stdout, stderr }) =>
    code === 0 ? (stdout.split(" ")[0] as string) : `${stderr.trim()} (exit ${code})`,
  );
  // It has begun: whatever happens next happens in its middle.
  await new Promise(resolve => setTimeout(resolve, 700));
  return { done };
}

/** Everything that must be as before: addresses, routes and rules of all tables, firewall, hosts, resolver. */
export async function snapshot({ laptop }: World): Promise<Record<string, string>> {
  const commands = {
    addresses: "ip -o address show",
    routes: "ip -4 route show table all; ip -6 route show table all",
    rules: "ip -4 rule; ip -6 rule",
    firewall: "nft list ruleset",
    hosts: "cat /etc/hosts",
    resolver: "cat /etc/resolv.conf /etc/nsswitch.conf",
  };
  const taken: Record<string, string> = {};
  for (const [name, command] of Object.entries(commands)) {
    const text = await laptop.run("sh", ["-c", command]);
    // Counters of firewall rules, and indexes and order of links that came and went, are nobody's setting.
    const lines = text
      .replace(/^\d+: /gm, "")
      .replace(/ packets \d+ bytes \d+/g, "")
      .split("\n")
      // A VPN's device has another link-local address each time.
      .filter(line => !(line.includes("fe80::") && /\b(vpn7|tun7|ipsec0)\b/.test(line)));
    taken[name] = name === "hosts" ? text : lines.sort().join("\n");
  }
  return taken;
}

export function isInstalled(program: string): boolean {
  try {
    execFileSync("sh", ["-c", `command -v ${program}`], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
