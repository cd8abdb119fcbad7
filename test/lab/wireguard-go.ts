/** Debian's wireguard-go with kernel routing: the standard peer of the interop labs and of the benchmarks. */
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Credential, parseCredential } from "../../src/catalog/index.js";
import type { Host } from "./host.js";
import { eventually, type Program } from "./program.js";
import { AGENT_PORT } from "./topology.js";

export interface KeyPair {
  privateKey: string;
  publicKey: string;
}

export interface WireguardPeer {
  publicKey: string;
  presharedKey?: string;
  endpoint?: string;
  allowedIps: string[];
  keepaliveSeconds?: number;
}

export interface WireguardOptions {
  device: string;
  privateKey: string;
  listenPort?: number;
  addresses: string[];
  mtu?: number;
  peers: WireguardPeer[];
  /** Another userspace WireGuard than the wireguard-go on PATH, and what else it is to be told. */
  binary?: string;
  flags?: string[];
}

export interface Implementation {
  name: string;
  binary: string;
  flags: string[];
}

/** Built by `bench/install-peers.mjs`, or on PATH. */
function built(program: string): string {
  const path = fileURLToPath(new URL(`../../../.cache/peers/bin/${program}`, import.meta.url));
  return existsSync(path) ? path : program;
}

export const IMPLEMENTATIONS: readonly Implementation[] = [
  { name: "wireguard-go-debian", binary: "/usr/bin/wireguard-go", flags: [] },
  { name: "wireguard-go", binary: built("wireguard-go-current"), flags: [] },
  { name: "boringtun", binary: built("boringtun-cli"), flags: ["--disable-drop-privileges"] },
];

export function makeKeyPair(): KeyPair {
  const privateKey = execFileSync("wg", ["genkey"], { encoding: "utf8" }).trim();
  return {
    privateKey,
    publicKey: execFileSync("wg", ["pubkey"], { encoding: "utf8", input: privateKey }).trim(),
  };
}

function configuration(options: WireguardOptions): string {
  const lines = ["[Interface]", `PrivateKey = ${options.privateKey}`];
  if (options.listenPort !== undefined) lines.push(`ListenPort = ${options.listenPort}`);
  for (const peer of options.peers) {
    lines.push("[Peer]", `PublicKey = ${peer.publicKey}`, `AllowedIPs = ${peer.allowedIps.join(", ")}`);
    if (peer.presharedKey !== undefined) lines.push(`PresharedKey = ${peer.presharedKey}`);
    if (peer.endpoint !== undefined) lines.push(`Endpoint = ${peer.endpoint}`);
    if (peer.keepaliveSeconds !== undefined) lines.push(`PersistentKeepalive = ${peer.keepaliveSeconds}`);
  }
  return `${lines.join("\n")}\n`;
}

/** Starts the device, configures it, and routes every allowed prefix through it, as wg-quick would. */
export async function startWireguardGo(host: Host, options: WireguardOptions): Promise<Program> {
  const { device } = options;
  const program = host.spawn(
    options.binary ?? "wireguard-go",
    [...(options.flags ?? []), "--foreground", device],
    {
      env: { LOG_LEVEL: "error", WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD: "1" },
    },
  );
  await eventually(`${host.name}: ${device}`, async () => {
    if (!program.running) throw new Error(program.tail());
    await host.run("wg", ["show", device]);
  });
  const file = join(host.dir, `${device}.conf`);
  writeFileSync(file, configuration(options));
  chmodSync(file, 0o600);
  await host.run("wg", ["setconf", device, file]);
  const routes = new Set(options.peers.flatMap(peer => peer.allowedIps));
  await host.ip(
    [
      ...options.addresses.map(
        address => `addr add ${address} dev ${device}${address.includes(":") ? " nodad" : ""}`,
      ),
      `link set ${device} mtu ${options.mtu ?? 1420} up`,
      ...[...routes].map(prefix => `route replace ${prefix} dev ${device}`),
    ].join("\n"),
  );
  return program;
}

/** Two of them, with the kernels' TCP at both ends: the laptop reaches the cluster's services through `endpoint`. */
export async function joinByWireguardGo(cluster: Host, laptop: Host, endpoint: string): Promise<void> {
  const [here, there] = [makeKeyPair(), makeKeyPair()];
  await startWireguardGo(cluster, {
    device: "wg0",
    privateKey: there.privateKey,
    listenPort: AGENT_PORT,
    addresses: ["10.9.0.1/24"],
    peers: [{ publicKey: here.publicKey, allowedIps: ["10.9.0.2/32"] }],
  });
  await startWireguardGo(laptop, {
    device: "wg0",
    privateKey: here.privateKey,
    addresses: ["10.9.0.2/24"],
    peers: [{ publicKey: there.publicKey, endpoint, allowedIps: ["10.96.0.0/16"] }],
  });
}

/** What a czctl is given to connect to somebody else's WireGuard instead of an agent. */
export function credentialFor(
  teamspace: string,
  privateKey: string,
  presharedKey: string,
  server: { publicKey: string; endpoint: string },
): Credential {
  return {
    version: 1,
    kind: "czctl-credential",
    teamspace,
    device: "laptop",
    privateKey,
    presharedKey,
    innerAddresses: ["100.126.0.2", "fd00:126::2"],
    agent: { ...server, innerAddresses: ["100.126.0.1", "fd00:126::1"] },
    zone: "cluster.local",
    mtu: 1420,
  };
}

/** The stock client of one of our agent's devices, as its owner would write the configuration. */
export async function startStandardClient(
  host: Host,
  credentialFile: string,
  allowedIps: string[],
  device = "wg0",
): Promise<Credential> {
  const credential = parseCredential(readFileSync(credentialFile, "utf8"));
  await startWireguardGo(host, {
    device,
    privateKey: credential.privateKey,
    addresses: credential.innerAddresses.map(address => `${address}/${address.includes(":") ? 128 : 32}`),
    mtu: credential.mtu,
    peers: [
      {
        publicKey: credential.agent.publicKey,
        presharedKey: credential.presharedKey,
        endpoint: credential.agent.endpoint,
        allowedIps,
      },
    ],
  });
  return credential;
}
