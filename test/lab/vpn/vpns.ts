/** The VPNs of the coexistence matrix, as their users run them. */
import { chmodSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Host } from "../host.js";
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

/**
 * IKEv2 with a pre-shared key and an address from the office's pool. ESP is strongSwan's own (kernel-libipsec, a TUN
 * device), so it runs where the kernel has none; routes and the rule for their table are as with the kernel's.
 */
function ipsec(name: string, remote: string, web: string): Vpn {
  let programs: Program[] = [];
  const configure = (host: Host, connection: string, pool: string): string => {
    const file = join(host.dir, "swanctl.conf");
    writeFileSync(
      file,
      `connections { office { version = 2\n proposals = aes128-sha256-x25519\n${connection}\n` +
        "local { auth = psk\n }\n remote { auth = psk\n } } }\n" +
        `secrets { ike-office { secret = correct-horse-battery-staple\n } }\n${pool}`,
    );
    return file;
  };
  const environment = (host: Host) => ({ env: { STRONGSWAN_CONF: join(host.dir, "strongswan.conf") } });
  const swanctl = (host: Host, args: string[]): Promise<string> =>
    host.run("swanctl", args, environment(host));
  const start = async (host: Host): Promise<void> => {
    writeFileSync(join(host.dir, "strongswan.conf"), CHARON);
    programs.push(host.spawn("/usr/lib/ipsec/charon", [], environment(host)));
    await eventually(`${host.name}: charon`, () => swanctl(host, ["--stats"]), 10_000);
  };
  return {
    name,
    web,
    full: false,
    obstacle: () =>
      lacking("swanctl", "/usr/lib/ipsec/charon") ?? (existsSync(LIBIPSEC) ? null : `needs ${LIBIPSEC}`),
    async up(world) {
      const { laptop, office } = world;
      programs = [];
      const children = `children { office { REMOTE\n esp_proposals = aes128-sha256\n } }`;
      const there = configure(
        office,
        `local_addrs = ${OFFICE_ADDRESS}\n pools = clients\n` +
          children.replace("REMOTE", `local_ts = ${remote}`),
        `pools { clients { addrs = ${VPN_CLIENT}/32\n } }\n`,
      );
      const here = configure(
        laptop,
        `remote_addrs = ${OFFICE_ADDRESS}\n vips = 0.0.0.0\n` +
          children.replace("REMOTE", `remote_ts = ${remote}`),
        "",
      );
      for (const [host, file] of [
        [office, there],
        [laptop, here],
      ] as const) {
        await start(host);
        await swanctl(host, ["--load-all", "--noprompt", "--file", file]);
      }
      await swanctl(laptop, ["--initiate", "--child", "office", "--timeout", "10"]);
      useOfficeResolver(world, true);
    },
    async down(world) {
      useOfficeResolver(world, false);
      await swanctl(world.laptop, ["--terminate", "--ike", "office", "--timeout", "3"]).catch(() => {});
      for (const program of programs.reverse()) await program.stop(5_000);
    },
  };
}

const LIBIPSEC = "/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so";

/** Its defaults, but for the plugins: none that reads the machine's own configuration, and ESP without the kernel. */
const CHARON = `charon {
  install_virtual_ip = yes
  load = random nonce openssl aes sha2 hmac kdf pem vici kernel-libipsec kernel-netlink socket-default updown
  filelog {
    stderr {
      default = 1
    }
  }
}
swanctl {
  load = random openssl pem
}
`;

export const VPNS: readonly Vpn[] = [
  openvpn("OpenVPN split", false, ["--route", "10.20.0.0", "255.255.0.0"]),
  openvpn("OpenVPN full", true, ["--redirect-gateway", "def1"]),
  wireguard("WireGuard full", "0.0.0.0/0, ::/0", OFFICE_WEB),
  wireguard("WireGuard 198.18.0.0/15", "198.18.0.0/15, 10.20.0.0/16", OFFICE_WEB_OVERLAP),
  wireguard("WireGuard 10.0.0.0/8", "10.0.0.0/8", OFFICE_WEB),
  ipsec("strongSwan IPsec", "10.20.0.0/16", OFFICE_WEB),
];

/** Wanted, but not to be had here: name and reason. */
export function unavailable(): string[] {
  const missing = VPNS.map(vpn => [vpn.name, vpn.obstacle()] as const).filter(([, why]) => why !== null);
  return missing.map(([name, why]) => `${name}: ${why}`);
}
