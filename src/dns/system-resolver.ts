/**
 * Who resolves names on this machine, told from its files, the name servers that run, and what systemd-resolved
 * said to us; and what that means for our names. Pure: whoever calls has looked.
 *
 * Names in the hosts file work with every one of them, as long as nsswitch asks `files` before it asks anybody
 * who says that they do not exist. SRV, PTR and pods' names need the responder to be asked; but for resolved, which
 * has an interface for that, we never arrange it behind the user's back: we say how.
 */

export type ResolverKind =
  | "systemd-resolved"
  | "NetworkManager"
  | "resolvconf"
  | "dnsmasq"
  | "unbound"
  | "local name server"
  | "container"
  | "WSL"
  | "plain file"
  | "none";

export interface ResolverEnvironment {
  /** `/etc/resolv.conf`; null when there is none. */
  resolvConf: string | null;
  /** Where it points to when it is a link. */
  resolvConfTarget: string | null;
  /** `/etc/nsswitch.conf`; null when there is none (musl, minimal images). */
  nsswitch: string | null;
  /** Names of the processes that run, as far as they are name servers (`NAME_SERVERS`). */
  processes: readonly string[];
}

/** Processes that matter here, by the names that the kernel has for them. */
export const NAME_SERVERS: readonly string[] = [
  "dnsmasq",
  "unbound",
  "systemd-resolve",
  "named",
  "NetworkManager",
];

export interface SystemResolver {
  kind: ResolverKind;
  nameServers: string[];
  /** Whether programs look into the hosts file: first, after somebody who may say "no such name", or never. */
  hostsFile: "first" | "late" | "never";
  /** Programs that read resolv.conf themselves (Go's, musl's, dig) reach systemd-resolved that way, too. */
  stub: boolean;
}

export function classifyResolver(environment: ResolverEnvironment): SystemResolver {
  const text = environment.resolvConf ?? "";
  const nameServers = [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map(match => match[1] as string);
  return {
    kind: kindOf(environment, text, nameServers),
    nameServers,
    hostsFile: hostsFileOrder(environment.nsswitch),
    stub: nameServers[0] === "127.0.0.53" || nameServers[0] === "127.0.0.54",
  };
}

function kindOf(
  { resolvConf, resolvConfTarget, processes, nsswitch }: ResolverEnvironment,
  text: string,
  servers: string[],
): ResolverKind {
  const target = resolvConfTarget ?? "";
  if (target.includes("systemd/resolve") || servers.includes("127.0.0.53")) return "systemd-resolved";
  // glibc's programs ask it whatever resolv.conf says.
  if (processes.includes("systemd-resolve") && /^\s*hosts:.*\bresolve\b/m.test(nsswitch ?? "")) {
    return "systemd-resolved";
  }
  if (resolvConf === null || servers.length === 0) return "none";
  if (servers.includes("127.0.0.11")) return "container";
  if (servers[0]?.startsWith("127.") || servers[0] === "::1") {
    const local = processes.find(name => name === "dnsmasq" || name === "unbound");
    return (local as "dnsmasq" | "unbound" | undefined) ?? "local name server";
  }
  if (target.includes("NetworkManager") || /^#.*NetworkManager/m.test(text)) return "NetworkManager";
  if (target.includes("resolvconf") || /^#.*resolvconf/m.test(text)) return "resolvconf";
  if (/^#.*\bWSL\b/m.test(text)) return "WSL";
  if (/^#.*\b(Docker|podman)\b/im.test(text)) return "container";
  return "plain file";
}

/** nsswitch.conf(5): sources left to right; `[…=return]` after one ends the search there. */
function hostsFileOrder(nsswitch: string | null): SystemResolver["hostsFile"] {
  const line = /^\s*hosts:(.*)$/m.exec(nsswitch ?? "")?.[1]?.replace(/#.*/, "");
  // Without a line glibc tries dns, then files; musl always looks at the file first.
  if (line === undefined) return nsswitch === null ? "first" : "late";
  const words = line.trim().split(/\s+(?![^[]*\])/);
  const at = words.indexOf("files");
  if (at === -1) return words.includes("resolve") ? "first" : "never";
  const before = words.slice(0, at);
  // nss-resolve reads /etc/hosts itself; these answer for other names than ours.
  const harmless = ["mymachines", "myhostname", "resolve", "mdns4_minimal", "mdns_minimal", "mdns6_minimal"];
  return before.every(word => word.startsWith("[") || harmless.includes(word)) ? "first" : "late";
}

/** Our side: where the responder is and what it is asked for. */
export interface OwnNames {
  device: string;
  server: string;
  zone: string;
  /** systemd-resolved has our link's settings. */
  registered: boolean;
}

/** What the user can add so that everybody asks our responder for the cluster's zone; null: nothing is missing. */
export function resolverAdvice(
  resolver: SystemResolver,
  own: OwnNames,
  processes: readonly string[],
): string | null {
  const { device, server, zone, registered } = own;
  const dnsmasqLine = `server=/${zone}/${server}`;
  switch (resolver.kind) {
    case "systemd-resolved":
      if (!registered) {
        return `resolvectl dns ${device} ${server} && resolvectl domain ${device} '~${zone}' && resolvectl default-route ${device} no`;
      }
      return resolver.stub
        ? null
        : "for programs that read resolv.conf themselves: ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf";
    case "dnsmasq": {
      const folder = processes.includes("NetworkManager")
        ? "/etc/NetworkManager/dnsmasq.d"
        : "/etc/dnsmasq.d";
      return `a line ${dnsmasqLine} in a file below ${folder}, and restart dnsmasq`;
    }
    case "NetworkManager":
      return `dns=dnsmasq in NetworkManager.conf, and a line ${dnsmasqLine} in a file below /etc/NetworkManager/dnsmasq.d`;
    case "unbound":
      return `in unbound.conf: server: domain-insecure: "${zone}" and forward-zone: name: "${zone}" forward-addr: ${server}`;
    case "local name server":
      return `have the name server at ${resolver.nameServers[0]} forward ${zone} to ${server}`;
    default:
      return `nothing here forwards one zone elsewhere; ask the responder itself: dig @${server} NAME SRV`;
  }
}
