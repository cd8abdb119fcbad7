/**
 * `node bench/install-peers.mjs`: gets the benchmarks' peers from the registries that have them. Debian's packages
 * by apt (root only), the rest built into `.cache/peers/bin`. What cannot be had is said and skipped: the
 * benchmarks then run without it. Nothing that it installs is started.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../scripts/ready.mjs";

const PEERS = join(ROOT, ".cache/peers");
const BIN = join(PEERS, "bin");

/** Debian package → a program of it. */
const PACKAGES = {
  "wireguard-go": "wireguard-go",
  "wireguard-tools": "wg",
  iperf3: "iperf3",
  wrk: "wrk",
  "nginx-light": "nginx",
  openvpn: "openvpn",
  openssl: "openssl",
  sshuttle: "sshuttle",
  nftables: "nft",
  "openssh-server": "sshd",
  "openssh-client": "ssh",
  slirp4netns: "slirp4netns",
  passt: "pasta",
  dnsperf: "dnsperf",
  "dnsmasq-base": "dnsmasq",
  unbound: "unbound",
};

/** Program → module, and what `go install` calls it. A fixed version where a proxy may not answer "latest". */
const GO_MODULES = {
  "wireguard-go-current": ["golang.zx2c4.com/wireguard@latest", "wireguard"],
  tun2socks: ["github.com/xjasonlyu/tun2socks/v2@v2.6.0", "tun2socks"],
};

const CRATES = { "boringtun-cli": "boringtun-cli" };

const there = program => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0;

/** With the lowest priority: a build next to a measurement must not be noticed. */
function build(command, args, env = {}) {
  return spawnSync("nice", ["-n", "19", command, ...args], {
    cwd: PEERS,
    stdio: ["ignore", 2, 2],
    env: { ...process.env, ...env },
  });
}

function installPackages() {
  const missing = Object.keys(PACKAGES).filter(name => !there(PACKAGES[name]));
  if (missing.length === 0) return;
  if (process.getuid() !== 0 || !there("apt-get")) {
    console.log(`not installed (needs root on Debian): apt-get install ${missing.join(" ")}`);
    return;
  }
  // Debian's way to say that no service may start.
  const policy = "/usr/sbin/policy-rc.d";
  const guard = !existsSync(policy);
  if (guard) writeFileSync(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  build("apt-get", ["-qq", "update"], env);
  for (const name of missing) {
    const done = build("apt-get", ["-qq", "install", "-y", "--no-install-recommends", name], env);
    if (done.status !== 0) console.log(`${name}: apt-get failed`);
  }
  if (guard) rmSync(policy);
}

function installGoModules() {
  for (const [program, [module, built]] of Object.entries(GO_MODULES)) {
    const path = join(BIN, program);
    if (existsSync(path)) continue;
    if (!there("go")) console.log(`${program}: skipped, needs go`);
    else if (build("go", ["install", module], { GOBIN: BIN }).status !== 0) {
      console.log(`${program}: go install ${module} failed`);
    } else if (built !== program) renameSync(join(BIN, built), path);
  }
}

function installCrates() {
  for (const [program, crate] of Object.entries(CRATES)) {
    if (existsSync(join(BIN, program))) continue;
    if (!there("cargo")) console.log(`${program}: skipped, needs cargo`);
    else if (build("cargo", ["install", crate, "--root", PEERS]).status !== 0) {
      console.log(`${program}: cargo install ${crate} failed`);
    }
  }
}

mkdirSync(BIN, { recursive: true });
installPackages();
installGoModules();
installCrates();
for (const program of [...Object.values(PACKAGES), ...Object.keys(GO_MODULES), ...Object.keys(CRATES)]) {
  console.log(
    `${program.padEnd(22)} ${there(program) || existsSync(join(BIN, program)) ? "there" : "absent"}`,
  );
}
