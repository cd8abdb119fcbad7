/**
 * One download over a long and lossy path, by iperf3: czctl beside the kernel's CUBIC and BBR inside wireguard-go.
 * A relay between both ends of the tunnel makes the path; all meet the same delay, rate, queue and losses.
 */
import { fileURLToPath } from "node:url";
import { catalogText } from "../../test/lab/catalog.js";
import { Agent, Czctl } from "../../test/lab/czctl.js";
import type { Program } from "../../test/lab/program.js";
import { runIperf, startIperf } from "../../test/lab/programs.js";
import { AGENT_ADDRESS, AGENT_PORT, type Topology } from "../../test/lab/topology.js";
import { joinByWireguardGo } from "../../test/lab/wireguard-go.js";
import { type Contender, SERVICE_ADDRESS, SERVICE_PORT } from "../contender.js";
import type { Scenario } from "../scenario.js";

const RELAY: string = fileURLToPath(new URL("../relay.js", import.meta.url));
/** The laptop's side of the host in the middle. */
const RELAY_ENDPOINT = "192.0.2.1:51820";
const RATE_MBIT = 100;
/** Longer than elsewhere: the start-up is part of it, and not most of it. */
const START_UP_SECONDS = 1;
const QUEUE_MS = 50;
const SEED = 20_260_101;
const NO_DELAY: Path = { rttMs: 0, lossPercent: 0 };

interface Path {
  rttMs: number;
  lossPercent: number;
}

/** By contender's topology: what the kernel's sender is told to use. Ours has no kernel sender on the path. */
const congestions = new Map<Topology, string>();
const relays = new Map<Topology, Program>();

/** In place of the relay that is there. */
async function setPath(topology: Topology, path: Path): Promise<void> {
  await relays.get(topology)?.stop();
  const ends = [RELAY_ENDPOINT, `${AGENT_ADDRESS}:${AGENT_PORT}`];
  const figures = [path.rttMs / 2, path.lossPercent, RATE_MBIT, QUEUE_MS, SEED].map(String);
  const relay = topology.internet.spawn(process.execPath, [RELAY, ...ends, ...figures]);
  await relay.waitForLine(/ready/);
  relays.set(topology, relay);
}

const czctl: Contender = {
  name: "czctl",
  needs: ["/dev/net/tun"],
  async start(sandbox, topology) {
    const { laptop, cluster } = topology;
    await setPath(topology, NO_DELAY);
    const catalog = catalogText([
      {
        namespace: "bench",
        name: "speed",
        clusterIps: [SERVICE_ADDRESS],
        ports: [{ name: "tcp", protocol: "TCP", port: SERVICE_PORT }],
      },
    ]);
    const agent = await Agent.make(sandbox, cluster, { catalog, endpoint: RELAY_ENDPOINT });
    const client = new Czctl(laptop);
    await client.run(["space", "add", await agent.invite("laptop")]);
    await client.up();
    await client.waitUntilConnected();
    return { target: await client.address("speed.bench"), pids: async () => [] };
  },
};

function wireguard(congestion: "cubic" | "bbr"): Contender {
  return {
    name: `wireguard-go-${congestion}`,
    needs: ["/dev/net/tun", "wireguard-go", "wg"],
    async start(_sandbox, topology) {
      const { laptop, cluster } = topology;
      congestions.set(topology, congestion);
      await setPath(topology, NO_DELAY);
      await joinByWireguardGo(cluster, laptop, RELAY_ENDPOINT);
      return { target: SERVICE_ADDRESS, pids: async () => [] };
    },
  };
}

export const impaired: Scenario = {
  name: "impaired",
  rounds: [20, 66, 100].flatMap(rttMs => [0, 1, 3].map(loss => `${rttMs} ms, ${loss} % loss`)),
  needs: ["iperf3"],
  maxRuns: 3,
  contenders: [czctl, wireguard("cubic"), wireguard("bbr")],
  async prepare({ cluster }) {
    await startIperf(cluster, SERVICE_ADDRESS);
  },
  async measure(round, topology, { target }, seconds) {
    const [rttMs = 0, lossPercent = 0] = (round.match(/\d+/g) ?? []).map(Number);
    await setPath(topology, { rttMs, lossPercent });
    const congestion = congestions.get(topology);
    const extra = congestion === undefined ? [] : ["--congestion", congestion];
    const duration = seconds + START_UP_SECONDS;
    const { gigabitsPerSecond } = await runIperf(topology.laptop, target, "down", duration, extra);
    return [{ variant: round, unit: "Mbit/s", value: gigabitsPerSecond * 1000 }];
  },
};
