/**
 * The programs that labs and benchmarks use, and the Debian packages that carry them. As root on Debian they
 * are installed; elsewhere it is said what is skipped without them. Their services are never started.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./ready.mjs";

const PACKAGES = {
  iproute2: ["ip"],
  "util-linux": ["unshare", "nsenter", "setpriv"],
  "iputils-ping": ["ping"],
  curl: ["curl"],
  "wireguard-tools": ["wg"],
  "wireguard-go": ["wireguard-go"],
  nftables: ["nft"],
  "zbar-tools": ["zbarimg"],
  binutils: ["as"],
  iperf3: ["iperf3"],
  wrk: ["wrk"],
  "nginx-light": ["nginx"],
  "redis-server": ["redis-server", "redis-cli", "redis-benchmark"],
  "bind9-dnsutils": ["dig"],
  "dnsmasq-base": ["dnsmasq"],
  dnsperf: ["dnsperf"],
  postgresql: ["psql", "pg_dump"],
  python3: ["/usr/bin/python3"],
  "python3-prometheus-client": ["/usr/lib/python3/dist-packages/prometheus_client/parser.py"],
  faketime: ["faketime"],
  openvpn: ["openvpn"],
  "strongswan-charon": ["/usr/lib/ipsec/charon"],
  "strongswan-swanctl": ["swanctl"],
  "libstrongswan-standard-plugins": ["/usr/lib/ipsec/plugins/libstrongswan-openssl.so"],
  "libcharon-extra-plugins": ["/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so"],
};

/**
 * What the lab `resolved` runs is unpacked into a folder of its own: installing systemd-resolved would take over
 * the machine's own resolver.
 */
const RESOLVED = [
  "systemd",
  "systemd-resolved",
  "libsystemd-shared",
  "dbus-daemon",
  "dbus-system-bus-common",
];
const RESOLVED_DIR = join(ROOT, ".cache/resolved");

/** Debian's way to say that no service may start; removed afterwards, and not touched when there is one. */
const POLICY = "/usr/sbin/policy-rc.d";

const isThere = command =>
  /\.(py|so)$/.test(command)
    ? existsSync(command)
    : spawnSync("sh", ["-c", `command -v ${command}`]).status === 0;

function aptInstall(packages) {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const apt = (...args) =>
    spawnSync("apt-get", ["-qq", ...args], { stdio: ["ignore", 2, 2], env }).status === 0;
  const guard = !existsSync(POLICY);
  if (guard) writeFileSync(POLICY, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    return apt("update") && apt("install", "-y", "--no-install-recommends", ...packages);
  } finally {
    if (guard) rmSync(POLICY);
  }
}

/** Never fails: what is still missing afterwards makes labs skip, each saying why. */
export function installSystemPackages() {
  const missing = Object.keys(PACKAGES).filter(name => !PACKAGES[name].every(isThere));
  if (missing.length === 0) return;
  const list = missing.join(" ");
  if (process.getuid() !== 0 || !isThere("apt-get")) {
    console.error(`not installed, so the labs that use them are skipped: ${list} (apt-get install ${list})`);
    return;
  }
  console.error(`installing with apt: ${list}`);
  if (!aptInstall(missing)) console.error("apt-get failed; the labs that use these packages are skipped");
}

/** Never fails: without it the lab says that it skips. */
export function unpackResolved() {
  if (existsSync(RESOLVED_DIR) || !isThere("apt-get")) return;
  console.error("downloading systemd-resolved, for a lab only");
  const dir = `${RESOLVED_DIR}.${process.pid}`;
  mkdirSync(dir, { recursive: true });
  const options = { cwd: dir, stdio: ["ignore", "ignore", 2] };
  // As whoever we are: apt's own user may not write here.
  const apt = ["-qq", "-o", "APT::Sandbox::User=", "download", ...RESOLVED];
  const download = () => spawnSync("apt-get", apt, options).status === 0;
  const done =
    (download() || (spawnSync("apt-get", ["-qq", "update"], options).status === 0 && download())) &&
    readdirSync(dir).every(file => spawnSync("dpkg-deb", ["-x", file, "."], options).status === 0);
  if (done) renameSync(dir, RESOLVED_DIR);
  else rmSync(dir, { recursive: true });
}
