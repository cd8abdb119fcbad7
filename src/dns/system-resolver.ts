/**
 * Who resolves names on this machine, told from its files alone, and what that means for ours. Pure: whoever
 * calls has read the files.
 *
 * Names in the hosts file work with every one of them, as long as nsswitch asks `files` before it asks anybody
 * who says that they do not exist. Wildcards, SRV and PTR need the responder to be asked; we never arrange that
 * behind the user's back, we say how.
 */

export type ResolverKind =
  | "systemd-resolved"
  | "NetworkManager"
  | "resolvconf"
  | "dnsmasq"
  | "WSL"
  | "plain file"
  | "none";

export interface ResolverFiles {
  /** `/etc/resolv.conf`; null when there is none. */
  resolvConf: string | null;
  /** Where it points to when it is a link. */
  resolvConfTarget: string | null;
  /** `/etc/nsswitch.conf`; null when there is none (musl, minimal images). */
  nsswitch: string | null;
}

export interface SystemResolver {
  kind: ResolverKind;
  nameServers: string[];
  /** Whether programs look into the hosts file: first, after somebody who may say "no such name", or never. */
  hostsFile: "first" | "late" | "never";
}

export function classifyResolver(files: ResolverFiles): SystemResolver {
  const text = files.resolvConf ?? "";
  const nameServers = [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map(match => match[1] as string);
  return { kind: kindOf(files, text, nameServers), nameServers, hostsFile: hostsFileOrder(files.nsswitch) };
}

function kindOf(
  { resolvConf, resolvConfTarget }: ResolverFiles,
  text: string,
  servers: string[],
): ResolverKind {
  const target = resolvConfTarget ?? "";
  if (target.includes("systemd/resolve") || servers.includes("127.0.0.53")) return "systemd-resolved";
  if (resolvConf === null || servers.length === 0) return "none";
  if (target.includes("NetworkManager") || /^#.*NetworkManager/m.test(text)) return "NetworkManager";
  if (target.includes("resolvconf") || /^#.*resolvconf/m.test(text)) return "resolvconf";
  if (/^#.*\bWSL\b/m.test(text)) return "WSL";
  if (servers[0]?.startsWith("127.")) return "dnsmasq";
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

/** What the user can add so that the responder is asked for the cluster's zone; null when nothing safe exists. */
export function forwardingHint(
  kind: ResolverKind,
  link: { device: string; server: string; zone: string },
): string | null {
  const { device, server, zone } = link;
  if (kind === "systemd-resolved") {
    return `resolvectl dns ${device} ${server} && resolvectl domain ${device} '~${zone}' && resolvectl default-route ${device} no`;
  }
  if (kind === "dnsmasq") return `add server=/${zone}/${server} to dnsmasq's configuration`;
  if (kind === "NetworkManager") {
    return `with dns=dnsmasq in NetworkManager.conf: add server=/${zone}/${server} below /etc/NetworkManager/dnsmasq.d`;
  }
  return null;
}
