/**
 * `node bench/install-peers.mjs`: gets the benchmarks' peers from the registries that have them. Debian's packages
 * by apt (root only), the rest built into `.cache/peers/bin`. What cannot be had is said and skipped: the
 * benchmarks then run without it. Nothing that it installs is started.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
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

/** Program → module and version. */
const GO_MODULES = {
  "wireguard-go-current": ["golang.zx2c4.com/wireguard", "latest"],
  tun2socks: ["github.com/xjasonlyu/tun2socks/v2", "v2.6.0"],
};

const CRATES = { "boringtun-cli": "boringtun-cli" };

const there = program => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0;

/** With the lowest priority: a build next to a measurement must not be noticed. */
function build(command, args, env = {}, cwd = PEERS) {
  return spawnSync("nice", ["-n", "19", command, ...args], {
    cwd,
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

/**
 * Built inside a module of our own that requires the program: `go install` would ask for the list of its versions, which
 * not every proxy has.
 */
function installGoModules() {
  for (const [program, [module, version]] of Object.entries(GO_MODULES)) {
    const path = join(BIN, program);
    if (existsSync(path)) continue;
    if (!there("go")) {
      console.log(`${program}: skipped, needs go`);
      continue;
    }
    const dir = join(PEERS, `build-${program}`);
    mkdirSync(dir, { recursive: true });
    const go = (...args) => build("go", args, { GOFLAGS: "-mod=mod" }, dir).status === 0;
    writeFileSync(join(dir, "go.mod"), "module peers\n");
    const required =
      version === "latest"
        ? go("get", `${module}@latest`)
        : go("mod", "edit", `-require=${module}@${version}`);
    if (!required || !go("build", "-o", path, module)) console.log(`${program}: go build ${module} failed`);
    rmSync(dir, { recursive: true });
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
