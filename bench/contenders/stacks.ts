/**
 * Userspace stacks without a tunnel, all in the same place: programs of the guest (the host "laptop") reach
 * 10.96.0.35 through a TUN or TAP device of MTU 1500; the stack's process and its sockets are on the host
 * "cluster", which has that address.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Host } from "../../test/lab/host.js";
import { eventually, type Program } from "../../test/lab/program.js";
import type { Topology } from "../../test/lab/topology.js";
import { type Contender, type Running, SERVICE_ADDRESS } from "../contender.js";
import { peerProgram } from "../peers.js";

const MTU = "1500";
const TUN = "bench0";
const SERVICES = "10.96.0.0/16";

function running(program: Program): Running {
  return { target: SERVICE_ADDRESS, pids: async () => [program.pid] };
}

/** The device was opened by a process of "cluster"; it stays attached wherever the device goes. */
async function moveTun({ laptop, cluster }: Topology): Promise<void> {
  await cluster.ip(`link set ${TUN} netns ${laptop.pid}\n`);
  await laptop.ip(
    `addr add 10.9.0.2/24 dev ${TUN}\nlink set ${TUN} mtu ${MTU} up\nroute add ${SERVICES} dev ${TUN}\n`,
  );
}

async function waitForLink(host: Host, name: string): Promise<void> {
  await eventually(`${host.name}: ${name}`, () => host.run("ip", ["link", "show", name]));
}

const STACK_ALONE = fileURLToPath(new URL("../programs/stack-alone.js", import.meta.url));

const czctlStack: Contender = {
  name: "czctl",
  needs: ["/dev/net/tun"],
  async start(_sandbox, topology) {
    // The probe for segment offload wants a device that is up: made beforehand, persistent until closed.
    await topology.cluster.ip(`tuntap add ${TUN} mode tun vnet_hdr\nlink set ${TUN} up\n`);
    const program = topology.cluster.spawn(process.execPath, [STACK_ALONE, TUN, MTU]);
    await program.waitForLine(/ready/);
    await moveTun(topology);
    return running(program);
  },
};

const tun2socks: Contender = {
  name: "tun2socks",
  needs: ["/dev/net/tun", peerProgram("tun2socks")],
  async start(_sandbox, topology) {
    const args = ["-device", `tun://${TUN}`, "-mtu", MTU, "-proxy", "direct://", "-loglevel", "silent"];
    const program = topology.cluster.spawn(peerProgram("tun2socks"), args);
    await waitForLink(topology.cluster, TUN);
    await moveTun(topology);
    return running(program);
  },
};

const slirp4netns: Contender = {
  name: "slirp4netns",
  needs: ["/dev/net/tun", peerProgram("slirp4netns")],
  async start(_sandbox, { laptop, cluster }) {
    const args = ["--mtu", MTU, String(laptop.pid), "tap0"];
    const program = cluster.spawn(peerProgram("slirp4netns"), args);
    await waitForLink(laptop, "tap0");
    await laptop.ip(
      `addr add 10.0.2.100/24 dev tap0\nlink set tap0 mtu ${MTU} up\nroute add ${SERVICES} via 10.0.2.2\n`,
    );
    return running(program);
  },
};

const pasta: Contender = {
  name: "pasta",
  needs: ["/dev/net/tun", peerProgram("pasta")],
  async start(_sandbox, { laptop, cluster }) {
    // It gives up the right to look into another process before it looks.
    const guest = join(cluster.dir, "guest-netns");
    writeFileSync(guest, "");
    await cluster.run("mount", ["--bind", `/proc/${laptop.pid}/ns/net`, guest]);
    const program = cluster.spawn(peerProgram("pasta"), [
      ...["--foreground", "--mtu", MTU, "--ns-ifname", "tap0", "--runas", "0", "--no-map-gw"],
      ...["--netns-only", "--netns", guest],
    ]);
    await waitForLink(laptop, "tap0");
    await laptop.ip(
      `addr add 203.0.113.10/24 dev tap0\nlink set tap0 mtu ${MTU} up\nroute add ${SERVICES} via 203.0.113.1\n`,
    );
    return running(program);
  },
};

export const STACKS: readonly Contender[] = [czctlStack, tun2socks, slirp4netns, pasta];
