/**
 * The network that every lab, the demo and the benchmarks run in:
 *
 * ```
 *   laptop                    internet (router, MTU 1500)              cluster
 *   192.0.2.2 ─────────── 192.0.2.1      203.0.113.1 ─────────── 203.0.113.10
 *   2001:db8:1::2 ──── 2001:db8:1::1      2001:db8:2::1 ──── 2001:db8:2::10
 *                                                     lo: 10.96.0.0/16   fd00:96::/64  (services)
 *                                                         10.244.0.0/16  fd00:244::/64 (pods)
 * ```
 *
 * Laptop and internet have no route to the cluster's own addresses: only a tunnel gets there.
 */
import { Host } from "./host.js";
import type { Sandbox } from "./sandbox.js";

export const LAPTOP_ADDRESS = "192.0.2.2";
export const LAPTOP_ADDRESS_6 = "2001:db8:1::2";
export const AGENT_ADDRESS = "203.0.113.10";
export const AGENT_ADDRESS_6 = "2001:db8:2::10";
export const AGENT_PORT = 51820;

/** What the laptop's owner has in there; it must survive byte for byte. No final newline, on purpose. */
export const LAPTOP_HOSTS =
  "127.0.0.1\tlocalhost\n::1 localhost ip6-localhost\n\n# mine:  keep   spaces\t\n10.1.2.3 printer.home";

const DAEMON_LOG = "/var/lib/czctl/daemon.log";

export interface Topology {
  laptop: Host;
  internet: Host;
  cluster: Host;
  hosts: Host[];
  close(): Promise<void>;
}

export async function makeTopology(sandbox: Sandbox, mtu = 1500): Promise<Topology> {
  const [laptop, internet, cluster] = await Promise.all([
    Host.make(sandbox, "laptop", { hosts: LAPTOP_HOSTS, privateState: true, logFile: DAEMON_LOG }),
    Host.make(sandbox, "internet"),
    Host.make(sandbox, "cluster"),
  ]);
  const hosts = [laptop, internet, cluster];
  // No address conflict can exist in here, and waiting for the proof costs a second.
  await Promise.all(hosts.map(host => host.sysctl("net.ipv6.conf.default.accept_dad", "0")));
  await internet.ip(
    `link add laptop mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${laptop.pid}\n` +
      `link add cluster mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${cluster.pid}\n` +
      "link set laptop up\nlink set cluster up\n" +
      "addr add 192.0.2.1/24 dev laptop\naddr add 203.0.113.1/24 dev cluster\n" +
      "addr add 2001:db8:1::1/64 dev laptop nodad\naddr add 2001:db8:2::1/64 dev cluster nodad\n",
  );
  await internet.sysctl("net.ipv4.ip_forward", "1");
  await internet.sysctl("net.ipv6.conf.all.forwarding", "1");
  await edge(laptop, LAPTOP_ADDRESS, "192.0.2.1", LAPTOP_ADDRESS_6, "2001:db8:1::1");
  await edge(cluster, AGENT_ADDRESS, "203.0.113.1", AGENT_ADDRESS_6, "2001:db8:2::1");
  const close = async (): Promise<void> => {
    await Promise.all(hosts.map(host => host.close()));
  };
  return { laptop, internet, cluster, hosts, close };
}

async function edge(host: Host, v4: string, gateway4: string, v6: string, gateway6: string): Promise<void> {
  await host.ip(
    `link set eth0 up\naddr add ${v4}/24 dev eth0\naddr add ${v6}/64 dev eth0 nodad\n` +
      `route add default via ${gateway4}\nroute add ::/0 via ${gateway6}\n`,
  );
}

/** One more laptop on the internet, the `index`-th (from 0), in a network of its own. Ends with the topology. */
export async function addLaptop(
  { hosts, internet }: Pick<Topology, "hosts" | "internet">,
  sandbox: Sandbox,
  index: number,
): Promise<Host> {
  const name = `laptop${index}`;
  const laptop = await Host.make(sandbox, name, { privateState: true, logFile: DAEMON_LOG });
  hosts.push(laptop);
  const [router, own] = [`198.51.100.${4 * index + 1}`, `198.51.100.${4 * index + 2}`];
  await internet.ip(
    `link add ${name} type veth peer name eth0 netns ${laptop.pid}\n` +
      `link set ${name} up\naddr add ${router}/30 dev ${name}\n`,
  );
  await laptop.ip(`link set eth0 up\naddr add ${own}/30 dev eth0\nroute add default via ${router}\n`);
  return laptop;
}

/** Gives the cluster addresses of its own: services and pods as programs can bind them. */
export async function addClusterAddresses(cluster: Host, addresses: string[]): Promise<void> {
  const line = (address: string): string =>
    address.includes(":") ? `addr add ${address}/128 dev lo nodad\n` : `addr add ${address}/32 dev lo\n`;
  await cluster.ip(addresses.map(line).join(""));
}
