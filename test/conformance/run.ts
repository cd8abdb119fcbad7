/**
 * Runs scenarios against our stack behind a real TUN device, and against the Linux kernel of this machine as the
 * oracle. All run at once, each from an address of its own; then those that want to be alone.
 *
 * ```
 *   this process ── packet socket ─ TUN "ours" ── our stack (stack-host)
 *               └── TUN "linux" ── the kernel's stack ── sockets (linux-host)
 * ```
 */
import { setMaxListeners } from "node:events";
import { fileURLToPath } from "node:url";
import { Arena } from "../../src/base/index.js";
import { EPOLLIN, openTun, Poller } from "../../src/linux/index.js";
import { execute, Program } from "../lab/program.js";
import type { Sandbox } from "../lab/sandbox.js";
import { Peer } from "./peer.js";
import type { Outcome } from "./report.js";
import type { Scenario } from "./scenario.js";
import { SCENARIOS } from "./scenarios/index.js";
import { pump, Tap } from "./tap.js";
import { openPacketSocket, Wire } from "./wire.js";

/** Of one scenario on one target; more means that it hangs. */
const LIMIT_MS = 40_000;
const OURS = { net: 98, host: 88 };
const LINUX = { net: 99, host: 89 };

/** The kernel as the RFCs' other reader: nothing remembered from scenario to scenario, no limits shared. */
const SYSCTLS = {
  "net/ipv4/tcp_congestion_control": "cubic",
  "net/ipv4/tcp_no_metrics_save": "1",
  // As ours does towards the tunnel: asks, and grants.
  "net/ipv4/tcp_ecn": "1",
  "net/ipv4/tcp_challenge_ack_limit": "2147483647",
  "net/ipv4/icmp_ratelimit": "0",
  "net/ipv4/icmp_msgs_per_sec": "100000",
  "net/ipv4/icmp_msgs_burst": "100000",
  "net/ipv4/conf/all/rp_filter": "0",
  "net/ipv4/conf/default/rp_filter": "0",
  "net/ipv6/conf/default/accept_dad": "0",
};

const bytes6 = (text: string): Buffer => Buffer.from(text.padStart(32, "0"), "hex");

function address(scenario: Scenario, network: number, n: number): Buffer {
  if (!scenario.v6) return Buffer.from([10, network, n >> 8, n & 255]);
  const low = n.toString(16).padStart(4, "0");
  return bytes6(`fd${network}${"0".repeat(24)}${low}`);
}

async function start(sandbox: Sandbox, script: string, args: string[]): Promise<Program> {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const program = new Program(script, process.execPath, [path, ...args], { signal: sandbox.signal });
  await program.waitForLine(/ready/, 30_000);
  return program;
}

async function shell(script: string): Promise<void> {
  const result = await execute("sh", "sh", ["-ec", script]);
  if (result.code !== 0) throw new Error(`${script}: ${result.stderr}`);
}

interface Targets {
  ours: Wire;
  linux: Wire;
  programs: Program[];
}

async function makeTargets(sandbox: Sandbox): Promise<Targets> {
  // One that this kernel lacks changes little.
  await shell(
    Object.entries(SYSCTLS)
      .map(([key, value]) => `echo ${value} > /proc/sys/${key} || true`)
      .join("\n"),
  );
  const linux = new Wire(openTun({ name: "linux", tso: false }).fd);
  const stackHost = await start(sandbox, "stack-host.js", ["ours"]);
  await shell(
    `ip link set ours mtu 1500 txqueuelen 10000 up
     ip link set linux mtu 1500 txqueuelen 10000 up
     ip addr add 10.${LINUX.host}.0.1/32 dev linux
     ip route add 10.${LINUX.net}.0.0/16 dev linux
     ip addr add fd${LINUX.host}::1/128 dev linux nodad
     ip route add fd${LINUX.net}::/64 dev linux`,
  );
  const linuxHost = await start(sandbox, "linux-host.js", []);
  return { ours: openPacketSocket("ours"), linux, programs: [stackHost, linuxHost] };
}

async function attempt(scenario: Scenario, tap: Tap, where: typeof OURS, n: number): Promise<string> {
  const target = scenario.v6
    ? bytes6(`fd${where.host}${"0".repeat(27)}1`)
    : Buffer.from([10, where.host, 0, 1]);
  const peer = new Peer(tap, address(scenario, where.net, n), target);
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${LIMIT_MS} ms`)), LIMIT_MS);
  });
  try {
    return await Promise.race([scenario.run(peer), limit]);
  } catch (error) {
    const { name, message, stack } = error as Error;
    return `ERROR ${name === "Error" ? message : stack}`;
  } finally {
    clearTimeout(timer);
  }
}

/** What both targets showed in each scenario whose name contains one of the words; all without words. */
export async function runScenarios(sandbox: Sandbox, words: readonly string[] = []): Promise<Outcome[]> {
  setMaxListeners(0, sandbox.signal);
  const scenarios = SCENARIOS.filter(
    one => words.length === 0 || words.some(word => one.name.includes(word)),
  );
  const { ours, linux, programs } = await makeTargets(sandbox);
  const poller = new Poller(new Arena(1 << 20));
  poller.add(ours.fd, EPOLLIN);
  poller.add(linux.fd, EPOLLIN);
  const taps = [new Tap(ours), new Tap(linux)] as const;
  const one = async (scenario: Scenario): Promise<Outcome> => {
    const n = SCENARIOS.indexOf(scenario) + 256;
    const [seen, oracle] = await Promise.all([
      attempt(scenario, taps[0], OURS, n),
      attempt(scenario, taps[1], LINUX, n),
    ]);
    return { scenario, ours: seen, linux: oracle };
  };
  const work = async (): Promise<Outcome[]> => {
    const outcomes = await Promise.all(scenarios.filter(scenario => !scenario.alone).map(one));
    for (const scenario of scenarios) if (scenario.alone) outcomes.push(await one(scenario));
    return outcomes;
  };
  const outcomes = await pump(poller, taps, work());
  for (const program of programs) if (!program.running) console.log(`# ended early:\n${program.tail(30)}`);
  return outcomes;
}
