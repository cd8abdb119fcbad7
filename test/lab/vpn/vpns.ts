/** The VPNs of the coexistence matrix, as their users run them. */
import { execFileSync } from "node:child_process";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually, type Program } from "../program.js";
import { makeKeyPair, startWireguardGo } from "../wireguard-go.js";
import {
  isInstalled,
  OFFICE_ADDRESS,
  OFFICE_WEB,
  OFFICE_WEB_OVERLAP,
  useOfficeResolver,
  VPN_CLIENT,
  type World,
} from "./office.js";

export interface Vpn {
  name: string;
  /** Address of a host that only this VPN reaches. */
  web: string;
  /** The internet is reached through it as well. */
  full: boolean;
  /** Why it cannot run here. */
  obstacle(): string | null;
  up(world: World): Promise<void>;
  down(world: World): Promise<void>;
}

const SERVER = "10.8.0.1";

function lacking(...programs: string[]): string | null {
  const missing = programs.filter(program => !isInstalled(program));
  return missing.length === 0 ? null : `needs ${missing.join(", ")}`;
}

/** Point-to-point with a shared key: what matters here are its device and routes, not its key exchange. */
function openvpn(name: string, full: boolean, options: string[]): Vpn {
  let programs: Program[] = [];
  return {
    name,
    web: OFFICE_WEB,
    full,
    obstacle: () => lacking("openvpn"),
    async up(world) {
      const { laptop, office } = world;
      const key = join(office.dir, "openvpn.key");
      await office.run("openvpn", ["--genkey", "secret", key]);
      const common = ["--dev", "tun7", "--secret", key, "--cipher", "AES-256-CBC", "--verb", "3"];
      // From 2.7 on the shared key must be asked for twice.
      const { stdout } = await laptop.exec("openvpn", ["--version"]);
      const old = /^OpenVPN 2\.[0-6]\./.test(stdout);
      const legacy = old ? ["--ping", "5"] : ["--allow-deprecated-insecure-static-crypto", "--ping", "5"];
      const server = office.spawn("openvpn", [
        ...common,
        ...legacy,
        ...["--local", OFFICE_ADDRESS, "--port", "1194", "--ifconfig", SERVER, VPN_CLIENT],
      ]);
      const client = laptop.spawn("openvpn", [
        ...common,
        ...legacy,
        ...["--remote", OFFICE_ADDRESS, "1194", "--nobind", "--ifconfig", VPN_CLIENT, SERVER, ...options],
      ]);
      programs = [client, server];
      await client.waitForLine(/Initialization Sequence Completed/, 20_000);
      useOfficeResolver(world, true);
    },
    async down(world) {
      useOfficeResolver(world, false);
      for (const program of programs) await program.stop(5_000);
    },
  };
}

/** wg-quick with its policy routing and firewall mark, over wireguard-go. */
function wireguard(name: string, allowedIps: string, web: string): Vpn {
  const device = "vpn7";
  let server: Program | undefined;
  // The daemon that it leaves behind would keep our pipe open.
  const quick = (world: World, verb: "up" | "down"): Promise<string> =>
    world.laptop.run(
      "sh",
      ["-c", `wg-quick ${verb} ./${device}.conf >quick.log 2>&1 || { cat quick.log; exit 1; }`],
      {
        env: { WG_QUICK_USERSPACE_IMPLEMENTATION: "wireguard-go", LOG_LEVEL: "error" },
      },
    );
  return {
    name,
    web,
    full: allowedIps.includes("0.0.0.0/0"),
    obstacle: () => lacking("wireguard-go", "wg-quick", "nft"),
    async up(world) {
      const [here, there] = [makeKeyPair(), makeKeyPair()];
      server = await startWireguardGo(world.office, {
        device: "wg7",
        privateKey: there.privateKey,
        listenPort: 51_821,
        addresses: [`${SERVER}/24`],
        peers: [{ publicKey: here.publicKey, allowedIps: [`${VPN_CLIENT}/32`] }],
      });
      const file = join(world.laptop.dir, `${device}.conf`);
      writeFileSync(
        file,
        `[Interface]\nPrivateKey = ${here.privateKey}\nAddress = ${VPN_CLIENT}/24\n` +
          `[Peer]\nPublicKey = ${there.publicKey}\nEndpoint = ${OFFICE_ADDRESS}:51821\nAllowedIPs = ${allowedIps}\n`,
      );
      chmodSync(file, 0o600);
      await quick(world, "up");
      useOfficeResolver(world, true);
    },
    async down(world) {
      useOfficeResolver(world, false);
      await quick(world, "down");
      await eventually("the VPN's device is gone", () =>
        world.laptop.run("sh", ["-c", `! ip link show ${device}`]),
      );
      await server?.stop();
    },
  };
}

/** Needs ESP in the kernel; where that is missing nothing of IPsec runs, and the reason is printed. */
function ipsecObstacle(): string {
  try {
    execFileSync("unshare", ["-n", "sh", "-c", IPSEC_PROBE], { stdio: "ignore" });
  } catch {
    return "this kernel has no ESP (CONFIG_INET_ESP): no IPsec association can be made";
  }
  return "ESP is there, but no scenario has been written for it yet";
}

const IPSEC_PROBE =
  "ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 1 mode tunnel " +
  'enc "cbc(aes)" 0x00000000000000000000000000000000 ' +
  'auth "hmac(sha1)" 0x0000000000000000000000000000000000000000';

export const VPNS: readonly Vpn[] = [
  openvpn("OpenVPN split", false, ["--route", "10.20.0.0", "255.255.0.0"]),
  openvpn("OpenVPN full", true, ["--redirect-gateway", "def1"]),
  wireguard("WireGuard full", "0.0.0.0/0, ::/0", OFFICE_WEB),
  wireguard("WireGuard 198.18.0.0/15", "198.18.0.0/15, 10.20.0.0/16", OFFICE_WEB_OVERLAP),
  wireguard("WireGuard 10.0.0.0/8", "10.0.0.0/8", OFFICE_WEB),
];

/** Wanted, but not to be had here: name and reason. */
export function unavailable(): string[] {
  const missing = VPNS.map(vpn => [vpn.name, vpn.obstacle()] as const).filter(([, why]) => why !== null);
  return [...missing.map(([name, why]) => `${name}: ${why}`), `strongSwan IPsec: ${ipsecObstacle()}`];
}
